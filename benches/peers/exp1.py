"""Times the work called exp1 in JAX and in drmad, in turn, on one thread.

    python exp1.py --drmad target/release/drmad --rounds 5

exp1 is the experiment `mnist-scales`: a network 784-50-50-50-10, a scale for each weight, batches
of 50, 1000 steps. JAX does what its users would write: float32, `jit` and `lax.scan`, the weights
as a tree, the exponentials of the scales taken out of the loop; its exact sweep reads the stored
path, its line is recomputed as it goes. Forward is the training; backward begins with the
validation gradient over 5,000 examples. Both programs run on one processor, one after the other in
each round, on the same examples, batches and initial weights. Compilation is timed apart.

Before any ratio is printed both exact hypergradients must agree with float64 (see dump.py), and
both lines with the line in float64.

A ratio is JAX's time divided by ours: above 1 we are faster. The ratio of the smallest times is
the one to trust on a busy machine; the median and the range of the rounds' ratios say how busy.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# Before JAX is imported.
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import jax
import jax.numpy as jnp
import numpy as np

import dump as reference

COSINE = 0.9999
real = np.float32
tree_map = jax.tree.map


class Jax:
    """The training and the sweeps, compiled."""

    def __init__(self, dump):
        meta = dump.meta
        self.layers, self.steps = meta["layers"], meta["steps"]
        names = "rate momentum l2 input_mean"
        self.rate, self.momentum, self.l2, self.mean = (real(meta[n]) for n in names.split())
        self.batches = jnp.asarray(dump.batches, jnp.int32)
        self.data = self.examples(dump.train), self.examples(dump.valid)
        self.w0, self.t = self.tree(dump.w0), self.tree(dump.hyper)
        zeros = tree_map(jnp.zeros_like, self.w0)
        path = [tree_map(lambda x: jnp.zeros((self.steps, *x.shape), x.dtype), self.w0)]
        train, back = (self.w0, self.t, *self.data), (zeros, self.t, *self.data)
        self.seconds_compiling = {}
        self.calls = {
            "forward": self.compile("forward", self.forward, train, False),
            "forward, path kept": self.compile("forward, path kept", self.forward, train, True),
            "exact": self.compile("exact", self.backward, (*back, path[0]), False),
            "line": self.compile("line", self.backward, (*back, self.w0), True),
        }

    def compile(self, name, function, arguments, choice):
        begin = time.perf_counter()
        call = jax.jit(lambda *arguments: function(*arguments, choice))
        traced = call.trace(*arguments)
        assert "f64" not in str(traced.jaxpr), "float64 has crept in"
        compiled = traced.lower().compile()
        self.seconds_compiling[name] = time.perf_counter() - begin
        return compiled

    def examples(self, split):
        images = split[0].astype(real) / real(255) - self.mean
        return jnp.asarray(images), jnp.asarray(split[1])

    def tree(self, x):
        """The flat vector as (weights, biases) of each layer."""
        parts, start = [], 0
        for n, m in zip(self.layers, self.layers[1:]):
            middle, end = start + n * m, start + n * m + m
            parts.append((jnp.asarray(x[start:middle]).reshape(n, m), jnp.asarray(x[middle:end])))
            start = end
        return parts

    def nll(self, z, scales, x, labels):
        *hidden, last = tree_map(jnp.multiply, z, scales)
        for weights, biases in hidden:
            x = jnp.tanh(x @ weights + biases)
        x = jax.nn.log_softmax(x @ last[0] + last[1])
        return -jnp.mean(jnp.take_along_axis(x, labels[:, None], 1))

    def gradient(self, z, scales, batch, train):
        def loss(z):
            squares = sum(jnp.sum(x * x) for x in jax.tree.leaves(z))
            return self.nll(z, scales, train[0][batch], train[1][batch]) + self.l2 * squares

        return jax.grad(loss)(z)

    def forward(self, w0, t, train, valid, keep):
        scales = tree_map(jnp.exp, t)

        def body(state, batch):
            z, v = state
            g = self.gradient(z, scales, batch, train)
            v_next = tree_map(lambda v, g: self.momentum * v - (1 - self.momentum) * g, v, g)
            z_next = tree_map(lambda z, v: z + self.rate * v, z, v_next)
            return (z_next, v_next), z if keep else None

        state = w0, tree_map(jnp.zeros_like, w0)
        (z, _), path = jax.lax.scan(body, state, self.batches)
        return z, path

    def backward(self, w_last, t, train, valid, path, line):
        """The sweep over the stored path, or along the line from the weights `path`."""
        scales = tree_map(jnp.exp, t)

        def body(state, now):
            (d_z, d_v, d_scales), (batch, b, z) = state, now
            if line:
                z = tree_map(lambda first, last: (1 - b) * first + b * last, path, w_last)
            d_v = tree_map(lambda v, z: v + self.rate * z, d_v, d_z)
            d_g = tree_map(lambda v: (self.momentum - 1) * v, d_v)
            gradient = lambda z, scales: self.gradient(z, scales, batch, train)
            h_d, m_d = jax.vjp(gradient, z, scales)[1](d_g)
            d_v = tree_map(lambda v: self.momentum * v, d_v)
            return (tree_map(jnp.add, d_z, h_d), d_v, tree_map(jnp.add, d_scales, m_d)), None

        d_z, d_scales = jax.grad(self.nll, argnums=(0, 1))(w_last, scales, *valid)
        state = d_z, tree_map(jnp.zeros_like, d_z), d_scales
        b = jnp.arange(self.steps, dtype=real) / real(self.steps)
        now = self.batches, b, None if line else path
        (_, _, d_scales), _ = jax.lax.scan(body, state, now, reverse=True)
        return tree_map(jnp.multiply, d_scales, scales)

    def round(self):
        """Seconds of each call, and the hypergradients."""
        seconds, results = {}, {}

        def timed(name, *arguments):
            begin = time.perf_counter()
            results[name] = jax.block_until_ready(self.calls[name](*arguments))
            seconds[name] = time.perf_counter() - begin
            return results[name]

        w_last, _ = timed("forward", self.w0, self.t, *self.data)
        _, path = timed("forward, path kept", self.w0, self.t, *self.data)
        timed("exact", w_last, self.t, *self.data, path)
        timed("line", w_last, self.t, *self.data, self.w0)
        flat = lambda x: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(x)])
        return seconds, {name: flat(results[name]) for name in ("exact", "line")}


def drmad(args, method, *more):
    """Runs the harness; seconds forward and backward."""
    command = [args.drmad, "hypergradient", "--experiment", "mnist-scales", "--method", method]
    command += ["--steps", str(args.steps), "--arithmetic", args.arithmetic, *more]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    fields = dict(line.split(None, 1) for line in output.splitlines())
    return float(fields["forward_seconds"]), float(fields["backward_seconds"])


def agree(name, got, want):
    cosine, ratio = reference.angle(got, want)
    print(f"{name:<34} cosine to float64 {cosine:.9f}  norms {ratio:.6f}")
    return cosine > COSINE


def check(args, folder):
    """JAX compiled, after all hypergradients agreed with float64."""
    dumps = {}
    for method in ("tape", "line"):
        drmad(args, method, "--dump", f"{folder}/{method}")
        dumps[method] = reference.Dump(f"{folder}/{method}", args.mnist)
    problem = reference.Problem(dumps["tape"])
    w, v, _, exact = problem.exact()
    line = problem.line(w, v, args.steps)
    ours = Jax(dumps["tape"])
    results = ours.round()[1]
    agreed = [
        agree("drmad tape", dumps["tape"].hypergradient, exact),
        agree("JAX exact", results["exact"], exact),
        agree("drmad line", dumps["line"].hypergradient, line),
        agree("JAX line", results["line"], line),
    ]
    return ours if all(agreed) else None


def main():
    """Prints the ratios; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--drmad", default="target/release/drmad", help="the harness")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--arithmetic", choices=("fused", "plain"), default="fused")
    parser.add_argument("--cpu", type=int, default=0, help="the processor to run on")
    parser.add_argument("--mnist", type=pathlib.Path, default=reference.DATA)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.cpu})
    with tempfile.TemporaryDirectory() as folder:
        peer = check(args, folder)
    if peer is None:
        print("the hypergradients disagree: no times")
        return 1
    for name, seconds in peer.seconds_compiling.items():
        print(f"JAX compiled {name} in {seconds:.1f} s")

    # What is compared: a name, JAX's time and ours, each measured once a round.
    pairs = [
        ("forward", "forward", ("line", 0)),
        ("forward, path kept", "forward, path kept", ("tape", 0)),
        ("exact backward", "exact", ("tape", 1)),
        ("line backward", "line", ("line", 1)),
        ("exact backward against hats", "exact", ("hats", 1)),
    ]
    rows = {name: [] for name, _, _ in pairs}
    for _ in range(args.rounds):
        theirs, _ = peer.round()
        ours = {method: drmad(args, method) for method in ("tape", "line", "hats")}
        for name, key, (method, which) in pairs:
            rows[name].append((theirs[key], ours[method][which]))

    load = os.getloadavg()[0]
    print(f"{args.rounds} rounds, {args.steps} steps, {args.arithmetic}, load {load:.1f}; seconds")
    print(f"{'':<28} {'JAX min median':>15} {'drmad min median':>17} {'of min':>7} {'ratios':>9}")
    for name, row in rows.items():
        theirs, ours = np.array(row).T
        ratios = theirs / ours
        low, middle, high = ratios.min(), np.median(ratios), ratios.max()
        print(
            f"{name:<28} {theirs.min():>8.3f} {np.median(theirs):>6.3f}"
            f" {ours.min():>10.3f} {np.median(ours):>6.3f} {theirs.min() / ours.min():>7.2f}"
            f"   min {low:.2f} median {middle:.2f} max {high:.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
