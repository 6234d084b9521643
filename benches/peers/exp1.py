"""Times the work called exp1 in JAX, in PyTorch and in drmad, in turn, on one thread.

    python exp1.py --drmad target/release/drmad --rounds 5

exp1 is the experiment `mnist-scales`: a network 784-50-50-50-10, a scale for each weight, batches of
50, 1000 steps. `mnist-units` is the same with a scale for each unit. in_jax.py and in_torch.py do in
float32 what their users would write; ours runs with sparse inputs (its default) and with dense ones,
which is what the others read. Forward is the training; backward begins with the validation gradient
over 5,000 examples. `exact` reads the stored path, `line` is DrMAD's line in as many steps, and `hats`
is our default, held against the others' exact sweep, as neither has anything like it. All run on one
processor, one after the other in each round, on the same examples, batches and initial weights.
Compilation is timed apart.

Before any ratio is printed all exact hypergradients must agree with float64 (see dump.py), and all
lines with the line in float64. Hats are an approximation: their angle is printed.

A ratio is the other's time divided by ours: above 1 we are faster. The ratio of the smallest times is
the one to trust on a busy machine; the median and the range of the rounds' ratios say how busy. They
are written to speed.json, and drawn in speed.svg.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

# Before anything that starts threads is imported.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np

import dump as reference

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPERIMENTS = ("mnist-scales", "mnist-units")
PEERS = {"jax": "JAX", "torch": "PyTorch"}
INPUTS = ("sparse", "dense")
METHODS = ("line", "tape", "hats")
COSINE = 0.9999
# What is compared: a name, the other's time, and our method's forward or backward.
PAIRS = [
    ("forward", "forward", ("line", 0)),
    ("forward, path kept", "forward, path kept", ("tape", 0)),
    ("forward, hats kept", "forward, path kept", ("hats", 0)),
    ("exact backward", "exact", ("tape", 1)),
    ("line backward", "line", ("line", 1)),
    ("hats backward", "exact", ("hats", 1)),
]
# The ratios that we want to reach.
GOALS = {("JAX", "dense"): 2.5, ("JAX", "sparse"): 5.0, ("PyTorch", "sparse"): 8.0}
real = np.float32


class Work:
    """What a dump holds, as the others want it: float32, a tree of (weights, biases) of each layer."""

    def __init__(self, dump):
        meta = dump.meta
        self.layers, self.steps, self.batches = meta["layers"], meta["steps"], dump.batches
        names = "rate momentum l2 input_mean"
        self.rate, self.momentum, self.l2, mean = (real(meta[name]) for name in names.split())
        examples = lambda images, labels: (images.astype(real) / real(255) - mean, labels)
        self.train, self.valid = examples(*dump.train), examples(*dump.valid)
        self.w0, self.t = self.tree(dump.w0), self.tree(dump.hyper)

    def tree(self, x):
        """A number for each weight; of numbers for each unit a column, and None for the biases."""
        parts, start, units = [], 0, len(x) == sum(self.layers[:-1])
        for n, m in zip(self.layers, self.layers[1:]):
            m, biases = (1, 0) if units else (m, m)
            middle, end = start + n * m, start + n * m + biases
            parts.append((x[start:middle].reshape(n, m), x[middle:end] if biases else None))
            start = end
        return parts


def drmad(args, experiment, inputs, method, *more):
    """Runs the harness; seconds forward and backward."""
    command = [args.drmad, "hypergradient", "--experiment", experiment, "--inputs", inputs]
    command += ["--method", method, "--steps", str(args.steps), "--arithmetic", args.arithmetic]
    output = subprocess.run([*command, *more], check=True, stdout=subprocess.PIPE, text=True).stdout
    fields = dict(line.split(None, 1) for line in output.splitlines())
    return float(fields["forward_seconds"]), float(fields["backward_seconds"])


def check(args, experiment, folder):
    """The others, compiled, and all cosines to float64."""
    dumps, cosines = {}, {}
    for inputs in INPUTS:
        for method in METHODS:
            place = f"{folder}/{inputs}/{method}"
            drmad(args, experiment, inputs, method, "--dump", place)
            dumps[inputs, method] = reference.Dump(place, args.mnist)
    first = dumps["sparse", "tape"]
    problem = reference.Problem(first)
    w, v, _, exact = problem.exact()
    line = problem.line(w, v, args.steps)
    want = {"tape": exact, "exact": exact, "hats": exact, "line": line}
    for (inputs, method), dump in dumps.items():
        cosines[f"drmad {method}, {inputs}"] = reference.angle(dump.hypergradient, want[method])
    peers = [importlib.import_module(f"in_{name}").Peer(Work(first)) for name in args.peers]
    for peer in peers:
        for method, got in peer.round()[1].items():
            cosines[f"{peer.name} {method}"] = reference.angle(got, want[method])
    return peers, cosines


def compare(args, experiment):
    """Prints the ratios of an experiment; returns them, or None where a hypergradient is off."""
    print(f"\n{experiment}")
    with tempfile.TemporaryDirectory() as folder:
        peers, cosines = check(args, experiment, folder)
    for name, (cosine, norms) in cosines.items():
        print(f"{name:<24} cosine to float64 {cosine:.9f}  norms {norms:.6f}")
    if not all(cosine > COSINE for name, (cosine, _) in cosines.items() if "hats" not in name):
        print("the hypergradients disagree: no times")
        return None
    for peer in peers:
        for name, seconds in peer.seconds_compiling.items():
            print(f"{peer.name} compiled {name} in {seconds:.1f} s")

    seconds = {}
    for _ in range(args.rounds):
        for peer in peers:
            for name, time in peer.round()[0].items():
                seconds.setdefault((peer.name, name), []).append(time)
        for inputs in INPUTS:
            for method in METHODS:
                for which, time in enumerate(drmad(args, experiment, inputs, method)):
                    seconds.setdefault((inputs, method, which), []).append(time)

    rows = []
    for peer in peers:
        print(f"{'seconds, min and median':<28} {peer.name:>13} {'drmad':>13}  ratios")
        for inputs in INPUTS:
            for work, key, (method, which) in PAIRS:
                theirs, ours = seconds[peer.name, key], seconds[inputs, method, which]
                ratios = np.divide(theirs, ours)
                row = {
                    "work": work,
                    "peer": peer.name,
                    "inputs": inputs,
                    "peer_seconds": theirs,
                    "seconds": ours,
                    "ratio_of_min": min(theirs) / min(ours),
                    "min": ratios.min(),
                    "median": np.median(ratios),
                    "max": ratios.max(),
                }
                print(
                    f"{work + ', ' + inputs:<28}"
                    f" {min(theirs):6.3f} {np.median(theirs):6.3f}"
                    f" {min(ours):6.3f} {np.median(ours):6.3f}"
                    f"  of min {row['ratio_of_min']:5.2f}  min {row['min']:5.2f}"
                    f"  median {row['median']:5.2f}  max {row['max']:5.2f}"
                )
                rows.append(row)
    compiling = {peer.name: peer.seconds_compiling for peer in peers}
    return {
        "cosines": {name: cosine for name, (cosine, _) in cosines.items()},
        "seconds_compiling": compiling,
        "ratios": rows,
        "peers": {peer.name: peer.version for peer in peers},
    }


def processor():
    """Its name, as the system has it."""
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def draw(result, file):
    """A panel for each experiment and peer: the median ratio of each work, and its range."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "speed", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    experiments, peers = result["experiments"], list(result["peers"])
    colours = {"sparse": "#0072b2", "dense": "#d55e00"}
    works = [work for work, _, _ in PAIRS if "kept" not in work]
    figure, axes = pyplot.subplots(
        len(experiments),
        len(peers),
        figsize=(4 * len(peers), 0.6 + 2.1 * len(experiments)),
        sharey=True,
        sharex="col",
        squeeze=False,
        layout="constrained",
    )
    for row, (experiment, found) in zip(axes, experiments.items()):
        for axis, peer in zip(row, peers):
            axis.set_title(f"{experiment}, {peer} {result['peers'][peer]}")
            axis.axvline(1, color="black", linewidth=0.8)
            for inputs, colour in colours.items():
                goal = GOALS.get((peer, inputs))
                if goal:
                    axis.axvline(goal, color=colour, linestyle="--", linewidth=0.8)
                for ratio in found["ratios"]:
                    if (ratio["peer"], ratio["inputs"]) != (peer, inputs):
                        continue
                    if ratio["work"] in works:
                        y = works.index(ratio["work"]) + (0.12 if inputs == "dense" else -0.12)
                        axis.plot([ratio["min"], ratio["max"]], [y, y], color=colour)
                        axis.plot(ratio["median"], y, "o", color=colour, markersize=5)
            axis.set_yticks(range(len(works)), works)
            axis.set_ylim(len(works) - 0.5, -0.5)
            axis.set_xlim(left=0)
            axis.grid(axis="x", alpha=0.3)
    for axis, peer in zip(axes[-1], peers):
        axis.set_xlabel(f"{peer}'s time / ours (dashed: goal)")
    for inputs, colour in colours.items():
        axes[0][-1].plot([], [], "o-", color=colour, markersize=5, label=f"{inputs} inputs")
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    figure.savefig(file, metadata={"Date": None})


def main():
    """Prints the ratios; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drmad", default="target/release/drmad", help="the harness")
    parser.add_argument("--experiments", nargs="+", choices=EXPERIMENTS, default=EXPERIMENTS)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument(
        "--quick", action="store_true", help="20 steps, one round: the ratios mean nothing"
    )
    parser.add_argument("--arithmetic", choices=("fused", "plain"), default="fused")
    parser.add_argument("--cpu", type=int, default=0, help="the processor to run on")
    parser.add_argument("--mnist", type=pathlib.Path, default=reference.DATA)
    where = "folder of speed.json and speed.svg [default: docs; of --quick target/speed]"
    parser.add_argument("--out", type=pathlib.Path, help=where)
    args = parser.parse_args()
    if args.quick:
        args.steps, args.rounds = 20, 1
    out = args.out or ROOT / ("target/speed" if args.quick else "docs")
    os.sched_setaffinity(0, {args.cpu})

    result = {
        "steps": args.steps,
        "rounds": args.rounds,
        "arithmetic": args.arithmetic,
        "processor": processor(),
        "peers": {},
        "experiments": {},
    }
    print(f"{args.rounds} rounds, {args.steps} steps, {args.arithmetic}, {result['processor']}")
    for experiment in args.experiments:
        found = compare(args, experiment)
        if found is None:
            return 1
        result["peers"] = found.pop("peers")
        result["experiments"][experiment] = found
    result["load"] = os.getloadavg()[0]
    print(f"\nload {result['load']:.1f}")
    out.mkdir(parents=True, exist_ok=True)
    (out / "speed.json").write_text(json.dumps(result, indent=1) + "\n")
    draw(result, out / "speed.svg")
    print(f"wrote {out}/speed.json and {out}/speed.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
