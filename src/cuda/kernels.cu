// The entry points over replicas: a team each. Those of golden vectors are in source/check.cuh.
#include "source/run.cuh"
#include "source/check.cuh"

struct Teams {
    const Replica* replicas;
    u32 blocks, count;
};

template <class F>
__device__ __forceinline__ void each_replica(const void* args, u32 barrier, F f) {
    const Teams& teams = *(const Teams*)args;
    u32 number = blockIdx.x / teams.blocks;
    if (number >= teams.count) return;
    const Replica replica = teams.replicas[number];
    Team team(teams.blocks, replica.arrived + barrier);
    f(team, replica);
}

extern "C" __global__ void BOUNDED walk_replicas(const void* args) {
    each_replica(args, 0, [](Team& team, const Replica& replica) { walk(team, replica); });
}

extern "C" __global__ void BOUNDED sweep_replicas(const void* args) {
    each_replica(args, 1, [](Team& team, const Replica& replica) { sweep(team, replica); });
}

// Whether both sides mean the same by a replica.
extern "C" __global__ void sizes(const void* args) {
    u32* sizes = (u32*)args;
    sizes[0] = sizeof(Replica), sizes[1] = sizeof(Status), sizes[2] = sizeof(Teams);
    sizes[3] = SHARED_NUMBERS * sizeof(float), sizes[4] = MOST_THREADS;
}
