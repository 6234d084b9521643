//! Counts the instructions of every kernel and holds them to `limits.txt`.

use gates::{Variant, limit};
use gungraun::prelude::*;
use gungraun::{Bench, BinaryBenchmark, BinaryBenchmarkGroup, Callgrind, EventKind};

/// A kernel's count, with a limit unless the table is to be renewed.
fn gate(kernel: &str, variant: Variant, limit: Option<u64>) -> Bench {
    let mut callgrind = Callgrind::with_args([
        "--collect-atstart=no",
        "--toggle-collect=*counted*",
        "--cache-sim=no",
    ]);
    if let Some(limit) = limit {
        callgrind.hard_limits([(EventKind::Ir, limit)]);
    }
    let mut config = BinaryBenchmarkConfig::default();
    config.tool(callgrind);
    let mut command = gungraun::Command::new(env!("CARGO_BIN_EXE_gates"));
    command.args(["run", variant.name(), kernel]);
    let mut bench = Bench::new(variant.name());
    bench.config(config).command(command);
    bench
}

fn gates(group: &mut BinaryBenchmarkGroup) {
    let renew = std::env::var_os("RENEW").is_some();
    for kernel in Variant::Baseline.kernels() {
        let mut benchmark = BinaryBenchmark::new(kernel.name);
        for variant in Variant::ALL {
            let limit = (!renew).then(|| limit(kernel.name, variant));
            benchmark.bench(gate(kernel.name, variant, limit));
        }
        group.binary_benchmark(benchmark);
    }
}

binary_benchmark_group!(
    name = kernels,
    benchmarks = |group: &mut BinaryBenchmarkGroup| gates(group)
);

main!(binary_benchmark_groups = kernels);
