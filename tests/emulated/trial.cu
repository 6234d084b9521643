// What tries an emulation: small kernels with one thing each that a GPU's threads do, and some that are wrong.

struct Trial {
    float *x, *y;
    u32* arrived;
    u32 n;
};

// y = y + 0.1 x.
extern "C" __global__ void add_scaled(const void* args) {
    const Trial& trial = *(const Trial*)args;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < trial.n; i += gridDim.x * blockDim.x) {
        trial.y[i] = mul_add(0.1f, trial.x[i], trial.y[i]);
    }
}

// Each block's part of x, turned round n times, by way of shared memory.
extern "C" __global__ void turn_round(const void* args) {
    const Trial& trial = *(const Trial*)args;
    SHARED(float, numbers);
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    trial.y[i] = trial.x[i];
    for (u32 k = 0; k < trial.n; k += 1) {
        numbers[threadIdx.x] = trial.y[i];
        __syncthreads();
        trial.y[i] = numbers[blockDim.x - 1 - threadIdx.x] + 1.0f;
        __syncthreads();
    }
}

// The same without its barriers.
extern "C" __global__ void turn_round_at_once(const void* args) {
    const Trial& trial = *(const Trial*)args;
    SHARED(float, numbers);
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    numbers[threadIdx.x] = trial.x[i];
    trial.y[i] = numbers[blockDim.x - 1 - threadIdx.x];
}

// The sum of each warp, n times over, in floats and in integers.
extern "C" __global__ void sum_warps(const void* args) {
    const Trial& trial = *(const Trial*)args;
    u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    float x = trial.x[i];
    for (u32 k = 0; k < trial.n; k += 1) {
        float sum = x;
        u32 count = 1;
        for (u32 half = 16; half > 0; half /= 2) {
            sum = sum + __shfl_down_sync(~0u, sum, half);
            count += __shfl_down_sync(~0u, count, half);
        }
        __syncwarp();
        x = x + __shfl_sync(~0u, sum, 0) / (float)__shfl_sync(~0u, count, 0);
    }
    trial.y[i] = x;
}

// x goes n times once round all threads of all blocks, which wait for each other.
extern "C" __global__ void send_round(const void* args) {
    const Trial& trial = *(const Trial*)args;
    u32 i = blockIdx.x * blockDim.x + threadIdx.x, size = gridDim.x * blockDim.x, due = 0;
    float *from = trial.x, *to = trial.y;
    for (u32 k = 0; k < trial.n; k += 1) {
        to[(i + 1) % size] = from[i] + 1.0f;
        float* other = from;
        from = to, to = other;
        __syncthreads();
        due += gridDim.x;
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd(trial.arrived, 1u);
            while ((i32)(*(volatile u32*)trial.arrived - due) < 0) pause();
            __threadfence();
        }
        __syncthreads();
    }
}

// What nobody has written.
extern "C" __global__ void look(const void* args) {
    const Trial& trial = *(const Trial*)args;
    SHARED(float, numbers);
    trial.y[threadIdx.x] = numbers[threadIdx.x];
}

extern "C" __global__ void return_before_a_barrier(const void*) {
    if (threadIdx.x == 3) return;
    __syncthreads();
}

extern "C" __global__ void wait_for_different_things(const void*) {
    if (threadIdx.x % 2 == 0) {
        __syncwarp();
    } else {
        __shfl_sync(~0u, 1.0f, 0);
    }
}

extern "C" __global__ void wait_for_a_part(const void*) { __syncwarp(1u); }

extern "C" __global__ void wait_for_nothing(const void* args) {
    const Trial& trial = *(const Trial*)args;
    while (*(volatile u32*)trial.arrived == 0) pause();
}

// One number more than the block has.
extern "C" __global__ void write_beyond(const void*) {
    SHARED(float, numbers);
    numbers[threadIdx.x + 1] = 1.0f;
}

extern "C" __global__ void fill_the_stack(const void* args) {
    const Trial& trial = *(const Trial*)args;
    volatile float numbers[(64 << 10) / sizeof(float)];
    for (u32 i = 0; i < trial.n; i += 1) numbers[i] = 1.0f;
    trial.y[threadIdx.x] = numbers[trial.n / 2];
}
