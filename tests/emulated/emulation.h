// A GPU's threads on a processor: the same sources, compiled as C++.
//
// Each thread is a fiber with a stack of its own. One runs at a time, to its next barrier, shuffle or pause, and
// turns to the next itself. Turns are taken ascending, descending, or at random: a result that depends on them
// shows a barrier that is missing. Blocks run one after another, or, in a cooperative launch, in turns. What a
// launch knows belongs to the host's thread that made it, so several can run at the same time.
//
// Refused, with a message: a barrier that not all threads come to, a warp whose threads wait for different
// things, waiting for what no other thread can do, more shared memory used than asked for, a stack too small.
// Not shown: how fast a GPU is, and reordering of its memory's reads and writes between barriers.
#define DRMAD_EMULATED 1
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>
#include <sys/mman.h>
// -DDRMAD_UCONTEXT asks for the fallback everywhere.
#if !defined(DRMAD_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define DRMAD_UCONTEXT
#endif
#ifdef DRMAD_UCONTEXT
#include <ucontext.h>
#endif

// Only entry points are seen from outside, so that everything else can be compiled into its callers.
#pragma GCC visibility push(hidden)

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;

namespace emulation {

constexpr u32 WARP = 32;
constexpr u32 LARGEST_BLOCK = 1024;
// Bytes of a stack.
constexpr size_t STACK = 64 << 10;
// From one stack to the next. Were it a power of two, all stacks' tops would share a few lines of the cache.
constexpr size_t STRIDE = STACK + 320;
// What stands behind a block's shared memory, and how much of it.
constexpr u8 FENCE = 0xa5;
constexpr size_t FENCED = 64;

// A context is a place on a stack where a fiber goes on, or where it begins.
#ifdef DRMAD_UCONTEXT
typedef ucontext_t Context;
inline void turn(Context& from, Context& to) { swapcontext(&from, &to); }
inline void begin(Context& context, char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
}
#else
typedef void* Context;
// Below the stack's pointer lie up to 128 bytes that the compiler may have in use (the ABI's red zone). All
// registers that a call must preserve are told to be overwritten: so the compiler keeps those alone that it needs.
// A jump, unlike a return, leaves the processor's guesses of returns as they are.
__attribute__((always_inline)) inline void turn(Context& from, Context& to) {
#if defined(__x86_64__)
    register void** saved __asm__("rdi") = &from;
    register void* next __asm__("rsi") = to;
    __asm__ volatile(
        "leaq -128(%%rsp), %%rsp\n\t"
        "pushq %%rbp\n\t"
        "leaq 1f(%%rip), %%rax\n\t"
        "pushq %%rax\n\t"
        "movq %%rsp, (%%rdi)\n\t"
        "movq %%rsi, %%rsp\n\t"
        "popq %%rax\n\t"
        "jmpq *%%rax\n"
        "1:\n\t"
        "popq %%rbp\n\t"
        "leaq 128(%%rsp), %%rsp"
        : "+r"(saved), "+r"(next)
        :
        : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1", "xmm2",
          "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
          "xmm15", "memory", "cc");
#else
    register void** saved __asm__("x0") = &from;
    register void* next __asm__("x1") = to;
    __asm__ volatile(
        "stp x29, x30, [sp, #-32]!\n\t"
        "adr x2, 1f\n\t"
        "str x2, [sp, #16]\n\t"
        "mov x2, sp\n\t"
        "str x2, [x0]\n\t"
        "mov sp, x1\n\t"
        "ldr x2, [sp, #16]\n\t"
        "br x2\n"
        "1:\n\t"
        "hint #36\n\t"  // a place that may be jumped to
        "ldp x29, x30, [sp], #32"
        : "+r"(saved), "+r"(next)
        :
        : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
          "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "v0", "v1", "v2", "v3", "v4", "v5",
          "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21",
          "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "memory", "cc"
#if defined(__linux__) && !defined(__ANDROID__)
          , "x18"  // elsewhere it is the system's
#endif
    );
#endif
}
inline void begin(Context& context, char* stack, void (*entry)()) {
    void** top = (void**)(stack + STACK);
#if defined(__x86_64__)
    // The entry sees a stack as after a call, whose return address is null.
    *--top = nullptr;
    *--top = (void*)entry;
#else
    *--top = nullptr;
    *--top = (void*)entry;
    top -= 2;
#endif
    context = top;
}
#endif

struct Dimension {
    u32 x;
};

enum State : u8 { READY, AT_BARRIER, AT_WARP_BARRIER, AT_SHUFFLE, RETURNED };

struct Warp {
    u32 waiting;
    State for_what;
    u32 places[2][WARP];
};

struct Block {
    u32 waiting;
    char* shared;
};

struct Launch;

struct Fiber {
    Context context;
    Launch* launch;
    Block* own;
    Warp* warp;
    Dimension block, thread;
    State state;
    u8 half;  // of its warp's places, which the next shuffle takes; the other may still be read
};

struct Launch {
    void (*kernel)(const void*);
    const void* args;
    Dimension blocks, threads;
    u32 order;  // 0, 1 or 2: ascending, descending, at random
    u64 random;
    std::vector<Fiber> fibers;
    std::vector<Warp> warps;
    std::vector<Block> alive;
    // Fibers that can go on: a ring. None is in it twice.
    std::vector<u32> queue;
    u32 head, tail, mask;
    u32 left;    // fibers that have not returned
    u32 idle;    // pauses since one came further
    bool failed;
    char* why;
    Context host;
};

// The fiber that runs on this thread of the host. It is read anew after each turn.
static __thread Fiber* here;

constexpr size_t WORDS = 256;
[[noreturn]] inline void fail(Launch& launch, const char* format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(launch.why, WORDS, format, list);
    va_end(list);
    launch.failed = true;
    // What is on the fibers' stacks is given up.
    turn(here->context, launch.host);
    abort();
}

// No fiber can go on, and some have not returned.
[[noreturn]] inline void stuck(Launch& launch) {
    for (const Block& block : launch.alive) {
        u32 count[RETURNED + 1] = {}, number = 0;
        for (const Fiber& fiber : launch.fibers) {
            if (fiber.own == &block) count[fiber.state] += 1, number = fiber.block.x;
        }
        if (count[RETURNED] == launch.threads.x) continue;
        fail(launch,
             "a barrier that not all threads come to: of block %u %u wait at __syncthreads, %u at __syncwarp, %u at "
             "a shuffle, and %u have returned",
             number, count[AT_BARRIER], count[AT_WARP_BARRIER], count[AT_SHUFFLE], count[RETURNED]);
    }
    fail(launch, "no thread can go on");
}

__attribute__((always_inline)) inline void push(Launch& launch, u32 fiber) {
    launch.queue[launch.tail++ & launch.mask] = fiber;
}

// Fibers `first ..`, `count` of them, can go on.
inline void wake(Launch& launch, u32 first, u32 count) {
    Fiber* fibers = launch.fibers.data();
    for (u32 i = 0; i < count; i += 1) {
        u32 fiber = first + (launch.order == 1 ? count - 1 - i : i);
        fibers[fiber].state = READY;
        push(launch, fiber);
    }
}

// A number below n.
__attribute__((always_inline)) inline u32 draw(Launch& launch, u32 n) {
    launch.random = launch.random * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(((launch.random >> 32) * n) >> 32);
}

// Which fiber goes on.
__attribute__((always_inline)) inline Fiber* next(Launch& launch) {
    u32 waiting = launch.tail - launch.head;
    if (waiting == 0) stuck(launch);
    u32* queue = launch.queue.data();
    u32& first = queue[launch.head++ & launch.mask];
    if (launch.order == 2) {
        u32& other = queue[(launch.head - 1 + draw(launch, waiting)) & launch.mask];
        u32 fiber = other;
        other = first;
        return &launch.fibers[fiber];
    }
    return &launch.fibers[first];
}

// Goes on as `to`, until this fiber is woken. Expanded in place wherever a kernel waits: there the processor
// guesses right where the others go on, for they come from the same place.
__attribute__((always_inline)) inline void go_on(Fiber* to) {
    Fiber& fiber = *here;
    if (to == &fiber) return;
    here = to;
    turn(fiber.context, to->context);
}

// Each of the following is one way to wait, and says which fiber goes on.
__attribute__((noinline)) inline Fiber* at_barrier() {
    Fiber& fiber = *here;
    Launch& launch = *fiber.launch;
    fiber.state = AT_BARRIER;
    launch.idle = 0;
    if (++fiber.own->waiting == launch.threads.x) {
        fiber.own->waiting = 0;
        wake(launch, (u32)(&fiber - launch.fibers.data()) - fiber.thread.x, launch.threads.x);
    }
    return next(launch);
}

inline Fiber* with_warp(Launch& launch, Fiber& fiber, u32 mask, State what) {
    Warp& warp = *fiber.warp;
    if (mask != ~0u) fail(launch, "a mask of some threads of a warp: %#x", mask);
    if (warp.waiting == 0) warp.for_what = what;
    if (warp.for_what != what) {
        fail(launch, "threads of warp %u of block %u wait at a shuffle, and others at __syncwarp",
             fiber.thread.x / WARP, fiber.block.x);
    }
    fiber.state = what;
    launch.idle = 0;
    if (++warp.waiting == WARP) {
        warp.waiting = 0;
        wake(launch, (u32)(&fiber - launch.fibers.data()) - fiber.thread.x % WARP, WARP);
    }
    return next(launch);
}

__attribute__((noinline)) inline Fiber* at_warp_barrier(u32 mask) {
    return with_warp(*here->launch, *here, mask, AT_WARP_BARRIER);
}

// Nobody writes to this half of the places again before all have passed another shuffle.
__attribute__((noinline)) inline Fiber* at_shuffle(u32 mask, u32 word) {
    Fiber& fiber = *here;
    fiber.half ^= 1;
    fiber.warp->places[fiber.half][fiber.thread.x % WARP] = word;
    return with_warp(*fiber.launch, fiber, mask, AT_SHUFFLE);
}

__attribute__((noinline)) inline Fiber* at_rest() {
    Fiber& fiber = *here;
    Launch& launch = *fiber.launch;
    // Each has had many turns, and none came to a barrier or an end.
    if (++launch.idle > 4096 + 256 * launch.left) {
        fail(launch, "a thread waits for what no other does: %u of block %u", fiber.thread.x, fiber.block.x);
    }
    push(launch, (u32)(&fiber - launch.fibers.data()));
    return next(launch);
}

// The word of lane `from`.
template <class T>
__attribute__((always_inline)) inline T shuffle(u32 mask, T x, u32 from) {
    static_assert(sizeof(T) == sizeof(u32), "a shuffle moves 32 bits");
    u32 word;
    memcpy(&word, &x, sizeof word);
    go_on(at_shuffle(mask, word));
    memcpy(&x, &here->warp->places[here->half][from], sizeof x);
    return x;
}

[[noreturn]] inline void run_fiber() {
    Launch& launch = *here->launch;
    launch.kernel(launch.args);
    Fiber& fiber = *here;
    fiber.state = RETURNED;
    launch.idle = 0;
    launch.left -= 1;
    if (launch.left == 0) {
        turn(fiber.context, launch.host);
    } else {
        go_on(next(launch));
    }
    abort();  // who has returned gets no turn
}

// Zeroed memory, and only what was touched of it takes place.
struct Region {
    char* bytes = nullptr;
    size_t length = 0;

    Region() = default;
    Region(const Region&) = delete;
    Region& operator=(const Region&) = delete;
    ~Region() { release(); }

    void release() {
        if (bytes) munmap(bytes, length);
        bytes = nullptr;
        length = 0;
    }

    void reserve(size_t want) {
        if (want <= length) return;
        release();
#ifdef MAP_NORESERVE
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#else
        int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#endif
        void* got = mmap(nullptr, want, PROT_READ | PROT_WRITE, flags, -1, 0);
        if (got == MAP_FAILED) throw std::bad_alloc();
#ifdef MADV_NOHUGEPAGE
        madvise(got, want, MADV_NOHUGEPAGE);
#endif
        bytes = (char*)got;
        length = want;
    }
};

// The bottom of a stack. Below the first is room for what would overflow it.
inline char* stack_of(const Region& stacks, u32 fiber) { return stacks.bytes + (fiber + 1) * STRIDE; }

inline bool all(const char* bytes, size_t count, u8 value) {
    for (size_t i = 0; i < count; i += 1) {
        if ((u8)bytes[i] != value) return false;
    }
    return true;
}

// Runs blocks `first ..` in turns.
inline void run(Launch& launch, u32 first, u32 shared, Region& stacks, std::vector<char>& memory) {
    u32 size = (u32)launch.fibers.size(), threads = launch.threads.x;
    size_t part = memory.size() / launch.alive.size();
    // What nobody has written is no number.
    memset(memory.data(), 0xff, memory.size());
    for (size_t i = 0; i < launch.alive.size(); i += 1) {
        launch.alive[i] = {0, memory.data() + i * part};
        memset(launch.alive[i].shared + shared, FENCE, FENCED);
    }
    launch.warps.assign(size / WARP, Warp{});
    launch.head = launch.tail = launch.idle = 0;
    launch.left = size;
    for (u32 i = 0; i < size; i += 1) {
        Fiber& fiber = launch.fibers[i];
        fiber.launch = &launch;
        fiber.own = &launch.alive[i / threads];
        fiber.warp = &launch.warps[i / WARP];
        fiber.block.x = first + i / threads;
        fiber.thread.x = i % threads;
        fiber.half = 0;
        begin(fiber.context, stack_of(stacks, i), run_fiber);
    }
    wake(launch, 0, size);
    here = next(launch);
    turn(launch.host, here->context);
    here = nullptr;
    if (launch.failed) return;
    for (size_t i = 0; i < launch.alive.size(); i += 1) {
        if (!all(launch.alive[i].shared + shared, FENCED, FENCE)) {
            launch.failed = true;
            snprintf(launch.why, WORDS, "block %u wrote beyond its %u bytes of shared memory", first + (u32)i, shared);
        }
    }
    for (u32 i = 0; i < size; i += 1) {
        // No thread has come that far down its stack.
        if (!all(stack_of(stacks, i), 64, 0)) {
            launch.failed = true;
            snprintf(launch.why, WORDS, "a thread needs a stack of more than %zu bytes", STACK);
            stacks.release();
            break;
        }
    }
}

}  // namespace emulation

#define __device__
#define __global__ __attribute__((visibility("default")))
#define __forceinline__ inline
#define CALLED inline
#define MOST_THREADS 256
#define BOUNDED
#define SHARED(type, name) type* name = (type*)emulation::here->own->shared

#define threadIdx emulation::here->thread
#define blockIdx emulation::here->block
#define blockDim emulation::here->launch->threads
#define gridDim emulation::here->launch->blocks

__attribute__((always_inline)) inline void __syncthreads() { emulation::go_on(emulation::at_barrier()); }
__attribute__((always_inline)) inline void __syncwarp(u32 mask = ~0u) {
    emulation::go_on(emulation::at_warp_barrier(mask));
}
// Of a lane that does not exist each gets what it gave.
template <class T>
__attribute__((always_inline)) inline T __shfl_down_sync(u32 mask, T x, u32 by) {
    u32 lane = threadIdx.x % emulation::WARP;
    return emulation::shuffle(mask, x, by < emulation::WARP - lane ? lane + by : lane);
}
template <class T>
__attribute__((always_inline)) inline T __shfl_sync(u32 mask, T x, u32 from) {
    return emulation::shuffle(mask, x, from % emulation::WARP);
}
inline void __threadfence() {}
inline u32 atomicAdd(u32* sum, u32 x) {
    u32 before = *sum;
    *sum += x;
    return before;
}
__attribute__((always_inline)) inline void pause() { emulation::go_on(emulation::at_rest()); }
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
    return __builtin_fmaf(a, b, c);
#else
    return a * b + c;
#endif
}

// Runs a kernel; returns null, or why it cannot, which lasts until this thread's next launch. `order` is 0, 1 or
// 2: ascending, descending, at random.
extern "C" __global__ const char* emulate(void (*kernel)(const void*), u32 blocks, u32 threads, u32 shared,
                                          u32 cooperative, u32 order, u64 seed, const void* args) {
    using namespace emulation;
    static thread_local Region stacks;
    static thread_local char why[WORDS];
    if (threads == 0 || threads % WARP != 0 || threads > LARGEST_BLOCK) {
        snprintf(why, sizeof why, "%u threads in a block: it must be a multiple of %u up to %u", threads, WARP,
                 LARGEST_BLOCK);
        return why;
    }
    if (blocks == 0) return "a launch of no blocks";
    try {
        u32 alive = cooperative ? blocks : 1, size = alive * threads, ring = 1;
        while (ring < size) ring *= 2;
        Launch launch{};
        launch.kernel = kernel, launch.args = args, launch.blocks.x = blocks, launch.threads.x = threads;
        launch.order = order, launch.random = seed, launch.mask = ring - 1, launch.why = why;
        launch.fibers.resize(size);
        launch.alive.resize(alive);
        launch.queue.resize(ring);
        size_t part = (shared + FENCED + 127) / 128 * 128;
        std::vector<char> memory(alive * part);
        // Blocks that run one after another take their turns in this order, too.
        std::vector<u32> firsts(cooperative ? 1 : blocks);
        for (u32 i = 0; i < firsts.size(); i += 1) {
            u32 j = order == 2 ? draw(launch, i + 1) : i;
            firsts[i] = firsts[j];
            firsts[j] = order == 1 ? blocks - alive - i : i;
        }
        stacks.reserve((size + 1) * STRIDE);
        for (u32 first : firsts) {
            run(launch, first, shared, stacks, memory);
            if (launch.failed) return why;
        }
        return nullptr;
    } catch (const std::bad_alloc&) {
        snprintf(why, sizeof why, "no memory for %u blocks of %u threads", blocks, threads);
        return why;
    }
}
