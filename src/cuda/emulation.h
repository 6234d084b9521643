// A GPU's threads on a processor: the same sources, compiled as C++.
//
// Each thread is a fiber with a stack of its own. One runs at a time, to its next barrier, shuffle or pause; the
// order in which those of a launch take turns is ascending, descending, or shuffled anew in each round. A result
// that depends on the order shows a barrier that is missing. Blocks run one after another, or, in a cooperative
// launch, in turns.
//
// Refused, with a message: a barrier that not all threads come to, and waiting for what no other thread can do.
// Not shown: how fast a GPU is, and reordering of its memory's reads and writes between barriers.
#define DRMAD_EMULATED 1
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;

#define __device__
#define __global__
#define __forceinline__ inline
#define CALLED inline
#define MOST_THREADS 256
#define BOUNDED
#define SHARED(type, name) type* name = (type*)emulation::now->shared_memory()

namespace emulation {

struct Dimension {
    u32 x;
};

constexpr u32 WARP = 32;
constexpr size_t STACK = 128 << 10;

enum State : u8 { READY, AT_BARRIER, AT_WARP, DONE };

#if defined(__x86_64__)
typedef void* Context;
extern "C" void emulation_switch(Context* from, Context to);
// What a call must leave as it was, and the stack's place.
__asm__(R"(
.text
.globl emulation_switch
.hidden emulation_switch
emulation_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
inline void turn_to(Context& from, Context& to) { emulation_switch(&from, to); }
inline void begin(Context& context, char* stack, void (*entry)()) {
    void** top = (void**)(stack + STACK);
    *--top = nullptr;  // the entry never returns
    *--top = (void*)entry;
    for (int i = 0; i < 6; i += 1) *--top = nullptr;
    context = top;
}
#else
typedef ucontext_t Context;
inline void turn_to(Context& from, Context& to) { swapcontext(&from, &to); }
inline void begin(Context& context, char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}
#endif

struct Fiber {
    Context context;
    u32 block, thread;
    State state;
    bool paused;
    u8 turn;  // which half of its warp's places it writes to next
};

struct Warp {
    u32 waiting;
    float places[2][WARP];
};

struct Block {
    u32 waiting;
    std::vector<Warp> warps;
    std::vector<float> shared;
};

struct Launch;
extern thread_local Launch* now;
extern thread_local Dimension thread, block, blocks, threads;

struct Launch {
    void (*kernel)(const void*);
    const void* args;
    u32 threads, first, count;  // blocks `first ..` are alive
    std::vector<Fiber> fibers;
    std::vector<Block> alive;
    Context host;
    Fiber* current = nullptr;
    bool moved = false;  // whether some fiber came further than a pause in this round

    void* shared_memory() { return alive[current->block - first].shared.data(); }
    Block& own() { return alive[current->block - first]; }

    void leave() { turn_to(current->context, host); }

    void barrier() {
        Block& block = own();
        current->state = AT_BARRIER;
        moved = true;
        if (++block.waiting == threads) {
            block.waiting = 0;
            for (Fiber& fiber : fibers) {
                if (fiber.block == current->block) fiber.state = READY;
            }
        }
        leave();
    }

    void warp_barrier() {
        Warp& warp = own().warps[current->thread / WARP];
        current->state = AT_WARP;
        moved = true;
        if (++warp.waiting == WARP) {
            warp.waiting = 0;
            Fiber* first = current - current->thread % WARP;
            for (u32 i = 0; i < WARP; i += 1) first[i].state = READY;
            // Whoever comes last goes on.
            return;
        }
        leave();
    }

    float shuffle(float x, u32 from) {
        float* places = own().warps[current->thread / WARP].places[current->turn];
        current->turn ^= 1;
        places[current->thread % WARP] = x;
        warp_barrier();
        return places[from < WARP ? from : current->thread % WARP];
    }
};

inline void run_fiber() {
    now->kernel(now->args);
    now->current->state = DONE;
    now->moved = true;
    now->leave();
    abort();  // a fiber that is done gets no turn
}

}  // namespace emulation

#define threadIdx emulation::thread
#define blockIdx emulation::block
#define blockDim emulation::threads
#define gridDim emulation::blocks

inline void __syncthreads() { emulation::now->barrier(); }
inline float __shfl_down_sync(u32, float x, u32 by) {
    return emulation::now->shuffle(x, threadIdx.x % emulation::WARP + by);
}
inline float __shfl_sync(u32, float x, u32 from) { return emulation::now->shuffle(x, from); }
inline void __threadfence() {}
inline u32 atomicAdd(u32* sum, u32 x) {
    u32 before = *sum;
    *sum += x;
    return before;
}
inline void pause() {
    emulation::now->current->paused = true;
    emulation::now->leave();
}
inline u32 __float_as_uint(float x) {
    u32 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(u32 bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline float mul_add(float a, float b, float c) {
#if FUSED
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

namespace emulation {

thread_local Launch* now = nullptr;
thread_local Dimension thread, block, blocks, threads;

// Runs blocks `first ..`, `count` of them, in turns; returns why it cannot, or null.
inline const char* run(Launch& launch, u32 shared, u32 order, u64& seed, std::vector<std::unique_ptr<char[]>>& stacks) {
    u32 size = launch.threads * launch.count;
    launch.fibers.assign(size, Fiber{});
    launch.alive.assign(launch.count, Block{});
    while (stacks.size() < size) stacks.emplace_back(new char[STACK]);
    for (Block& block : launch.alive) {
        block.warps.assign(launch.threads / WARP, Warp{});
        // What nobody has written is no number.
        block.shared.assign((shared + 3) / 4, std::nanf(""));
    }
    std::vector<u32> turns(size);
    for (u32 i = 0; i < size; i += 1) {
        Fiber& fiber = launch.fibers[i];
        fiber.block = launch.first + i / launch.threads;
        fiber.thread = i % launch.threads;
        turns[i] = order == 1 ? size - 1 - i : i;
        // The stack's end must lie at a multiple of 16.
        char* stack = stacks[i].get();
        begin(fiber.context, stack - ((uintptr_t)stack & 15), run_fiber);
    }
    now = &launch;
    u32 left = size, idle = 0;
    while (left > 0) {
        if (order == 2) {
            for (u32 i = size; i > 1; i -= 1) {
                seed = seed * 6364136223846793005ull + 1442695040888963407ull;
                std::swap(turns[i - 1], turns[(u32)(seed >> 33) % i]);
            }
        }
        bool any = false;
        launch.moved = false;
        for (u32 i : turns) {
            Fiber& fiber = launch.fibers[i];
            if (fiber.state != READY) continue;
            any = true;
            fiber.paused = false;
            launch.current = &fiber;
            thread.x = fiber.thread, block.x = fiber.block;
            turn_to(launch.host, fiber.context);
            left -= fiber.state == DONE;
        }
        if (!any && left > 0) return "some threads wait at a barrier that others do not come to";
        idle = launch.moved ? 0 : idle + 1;
        if (idle > 100000) return "a thread waits for what no other does";
    }
    return nullptr;
}

}  // namespace emulation

// Runs a kernel; returns null, or why it cannot. `order` is 0, 1 or 2: ascending, descending, shuffled.
extern "C" const char* emulate(void (*kernel)(const void*), u32 blocks, u32 threads, u32 shared, u32 cooperative,
                               u32 order, u64 seed, const void* args) {
    if (threads == 0 || threads % emulation::WARP != 0) return "the threads of a block are no multiple of 32";
    static thread_local std::vector<std::unique_ptr<char[]>> stacks;
    emulation::blocks.x = blocks, emulation::threads.x = threads;
    emulation::Launch launch;
    launch.kernel = kernel, launch.args = args, launch.threads = threads;
    launch.count = cooperative ? blocks : 1;
    for (launch.first = 0; launch.first < blocks; launch.first += launch.count) {
        if (const char* why = emulation::run(launch, shared, order, seed, stacks)) return why;
    }
    return nullptr;
}
