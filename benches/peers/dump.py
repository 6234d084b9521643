"""Computes a dumped hypergradient again, in JAX and float64, and compares.

    drmad hypergradient --experiment mnist-units --method tape --steps 100 --dump DIR
    python dump.py DIR

Of the dump only the settings, the positions of examples, the batches, the initial weights, the
hyperparameters and their groups are used; training, validation loss and hypergradient are made
from scratch. The exact hypergradient comes from plain reverse-mode differentiation through the
whole training. For the methods `line` and `line-published` the sweep along the straight line is
recomputed too, from the dumped first and last weights.

The exit code is 1 where the last weights or the validation loss are off, or an exact method's
hypergradient, or a line's from the line recomputed here; of other methods the angle is reported.
Float32 and float64 trainings drift apart, as every step rounds the weights and multiplies earlier
roundings by I - alpha H: `--float32` shows how far JAX's own float32 drifts.
"""

import argparse
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import zstandard

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)

DATA = pathlib.Path(__file__).resolve().parents[2] / "host-tests" / "data"
EXACT = ("tape", "checkpoints", "reversible")
LINES = ("line", "line-published")
# Relative errors against float64. Measured for float32, T from 100 to 2000: weights 1.0e-6,
# loss 4e-7, hypergradient 7.6e-6 (the lines' 5e-6); JAX's float32 is of that order. Two
# batches exchanged in 100 steps make 1.4e-5, 3e-6 and 2.4e-4.
WEIGHTS, LOSS, HYPERGRADIENT = 5e-6, 5e-6, 1e-4


def read_idx(folder, name, header):
    """The bytes of an IDX file after its header, raw or in one Zstandard frame."""
    raw, packed = folder / name, folder / f"{name}.zst"
    if raw.exists():
        content = raw.read_bytes()
    else:
        content = zstandard.ZstdDecompressor().decompress(packed.read_bytes())
    return np.frombuffer(content, np.uint8, offset=header)


class Dump:
    """A dump and the images it speaks of."""

    def __init__(self, folder, mnist=DATA):
        folder, mnist = pathlib.Path(folder), pathlib.Path(mnist)
        self.meta = json.loads((folder / "meta.json").read_text())
        names = "train_index valid_index batches group w0 wT hyper hypergradient"
        for name in names.split():
            setattr(self, name, np.load(folder / f"{name}.npy"))
        images = read_idx(mnist, "train-images-idx3-ubyte", 16).reshape(-1, 784)
        labels = read_idx(mnist, "train-labels-idx1-ubyte", 8).astype(np.int32)
        self.train = images[self.train_index], labels[self.train_index]
        self.valid = images[self.valid_index], labels[self.valid_index]


class Problem:
    """The functions of an experiment, on numbers of type `real`."""

    def __init__(self, dump, real=np.float64):
        meta = dump.meta
        self.real, self.layers = real, meta["layers"]
        # The settings are float32 numbers written in decimal.
        number = lambda name: real(np.float32(meta[name]))
        self.rate, self.momentum = number("rate"), number("momentum")
        self.l2, self.mean = number("l2"), number("input_mean")
        self.kind = meta["experiment"]
        self.steps, self.group = meta["steps"], jnp.asarray(dump.group)
        self.groups = int(dump.group.max()) + 1
        self.batches = jnp.asarray(dump.batches, jnp.int32)
        self.train = tuple(map(jnp.asarray, dump.train))
        self.valid = tuple(map(jnp.asarray, dump.valid))
        self.w0, self.h = jnp.asarray(dump.w0, real), jnp.asarray(dump.hyper, real)

    def by_weight(self, x, default=0.0):
        """The number of each weight's group; `default` where it has none."""
        return jnp.append(x, self.real(default))[self.group]

    def nll(self, w, images, labels):
        x = images.astype(self.real) / self.real(255) - self.mean
        start, last = 0, len(self.layers) - 2
        for l, (n, m) in enumerate(zip(self.layers, self.layers[1:])):
            x = x @ w[start : start + n * m].reshape(n, m) + w[start + n * m :][:m]
            start += (n + 1) * m
            x = x if l == last else jnp.tanh(x)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(x), labels[:, None], 1)
        return -jnp.mean(chosen)

    def outer_loss(self, w, h, data):
        if self.kind in ("mnist-units", "mnist-scales"):
            w = w * jnp.exp(self.by_weight(h))
        return self.nll(w, *data)

    def inner_loss(self, w, h, batch, data):
        loss = self.outer_loss(w, h, (data[0][batch], data[1][batch]))
        if self.kind in ("mnist-units", "mnist-scales"):
            return loss + self.l2 * jnp.sum(w * w)
        if self.kind in ("mnist-l2-units", "mnist-l2"):
            return loss + jnp.sum(self.by_weight(jnp.exp(h)) * w * w)
        return loss

    def schedule(self, h):
        """Initial weights, and the rates and momenta of each step and group (or of each step)."""
        if self.kind != "schedules":
            return self.w0, *(jnp.full((self.steps, 1), x) for x in (self.rate, self.momentum))
        scales, rates, momenta = jnp.split(h, [self.groups, self.groups * (1 + self.steps)])
        # w0 of the dump has its scale already: only the derivative is added here.
        w0 = self.w0 * jnp.exp(self.by_weight(scales - jax.lax.stop_gradient(scales)))
        shape = self.steps, self.groups
        return w0, jnp.exp(rates).reshape(shape), jax.nn.sigmoid(momenta).reshape(shape)

    def spread(self, x):
        """One number for each weight, or one for all, of a row of the schedule."""
        return x if x.size == 1 else self.by_weight(x)

    def step(self, w, v, h, rate, momentum, batch, data):
        g = jax.grad(self.inner_loss)(w, h, batch, data)
        rate, momentum = self.spread(rate), self.spread(momentum)
        v = momentum * v - (1 - momentum) * g
        return w + rate * v, v

    def walk(self, h, data):
        """The last weights and velocity."""

        @jax.checkpoint
        def body(state, now):
            return self.step(*state, h, *now, data), None

        w0, rates, momenta = self.schedule(h)
        state = w0, jnp.zeros_like(w0)
        return jax.lax.scan(body, state, (rates, momenta, self.batches))[0]

    def exact(self):
        """Last weights and velocity, outer loss, and its hypergradient."""

        def outer(h, train, valid):
            w, v = self.walk(h, train)
            return self.outer_loss(w, h, valid), (w, v)

        call = jax.jit(jax.value_and_grad(outer, has_aux=True))
        (loss, (w, v)), hypergradient = call(self.h, self.train, self.valid)
        return w, v, loss, hypergradient

    def line(self, w_last, v_last, backward):
        """The sweep in `backward` steps along the line from the first weights to `w_last`."""
        w0, rates, momenta = self.schedule(self.h)
        outer = jax.grad(self.outer_loss, argnums=(0, 1))

        def sweep(train, valid):
            def body(state, now):
                d_w, d_v, d_h, v_next = state
                s, rate, momentum, before, batch = now
                rate, momentum = self.spread(rate), self.spread(momentum)
                w = (1 - s / backward) * w0 + s / backward * w_last
                v = jnp.where(s > 0, (w_last - w0) / self.steps / self.spread(before), 0)
                d_rate = d_w * v_next * rate  # by the log rate
                d_v = d_v + rate * d_w
                gradient = lambda w, h: jax.grad(self.inner_loss)(w, h, batch, train)
                g, pull = jax.vjp(gradient, w, self.h)
                d_momentum = d_v * (v + g) * momentum * (1 - momentum)  # by the logit
                more_w, more_h = pull(-(1 - momentum) * d_v)
                return (d_w + more_w, momentum * d_v, d_h + more_h, v), (d_rate, d_momentum)

            d_w, d_h = outer(w_last, self.h, valid)
            before = jnp.concatenate([rates[:1], rates[:-1]])
            tables = (x[:backward] for x in (rates, momenta, before, self.batches))
            now = jnp.arange(backward, dtype=self.real), *tables
            state = d_w, jnp.zeros_like(d_w), d_h, v_last
            state, rows = jax.lax.scan(body, state, now, reverse=True)
            return state[0], state[2], rows

        d_w, d_h, rows = jax.jit(sweep)(self.train, self.valid)
        if self.kind != "schedules":
            return d_h
        total = lambda x: jnp.zeros(self.groups, self.real).at[self.group].add(x)
        rows = [jax.lax.map(total, x) for x in rows]
        rows = [jnp.pad(x, ((0, self.steps - backward), (0, 0))).ravel() for x in rows]
        return jnp.concatenate([total(d_w * w0), *rows])


def error(got, want):
    """The relative error of a number or a vector."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def angle(got, want):
    """The cosine between two vectors and the ratio of their norms."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    norms = np.linalg.norm(got), np.linalg.norm(want)
    return np.dot(got / norms[0], want / norms[1]), norms[0] / norms[1]


def report(name, got, want, problem):
    """Prints a line for each kind of hyperparameter; returns whether all of them agree."""
    parts, cuts = [""], []
    if problem.kind == "schedules":
        parts = [", scales", ", rates", ", momenta"]
        cuts = [problem.groups, problem.groups * (1 + problem.steps)]
    agree = True
    for part, a, b in zip(parts, np.split(got, cuts), np.split(np.asarray(want), cuts)):
        cosine, ratio = angle(a, b)
        print(
            f"{name + part:<40} cosine {cosine:.9f}  norms {ratio:.6g}"
            f"  relative error {error(a, b):.1e}"
        )
        agree &= bool(error(a, b) < HYPERGRADIENT)
    return agree


def main():
    """Prints the comparison; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dump", type=pathlib.Path, help="folder that `--dump` wrote")
    parser.add_argument("--mnist", type=pathlib.Path, default=DATA, help="folder of IDX files")
    parser.add_argument("--float32", action="store_true", help="JAX in float32 beside")
    args = parser.parse_args()
    dump = Dump(args.dump, args.mnist)
    meta, problem = dump.meta, Problem(dump)
    method, steps = meta["method"], meta["steps"]
    print(meta["experiment"], method, meta["arithmetic"], f"T = {steps}")
    w, v, loss, exact = problem.exact()
    drift = error(dump.wT, w)
    print(f"{'wT':<40} relative error {drift:.1e}")
    off = error(meta["valid_loss"], loss)
    print(f"{'valid_loss':<40} relative error {off:.1e}  ({meta['valid_loss']}, {loss:.9f})")
    failed = not (drift < WEIGHTS and off < LOSS)
    agrees = report("to exact float64", dump.hypergradient, exact, problem)
    failed |= method in EXACT and not agrees
    if method in LINES:
        backward = steps if method == "line" else max(steps // 10, 1)
        line = problem.line(jnp.asarray(dump.wT, np.float64), v, backward)
        failed |= not report("to float64 line", dump.hypergradient, line, problem)
    if args.float32:
        w32, _, _, exact32 = Problem(dump, np.float32).exact()
        print(f"{'wT of JAX float32':<40} relative error {error(w32, w):.1e}")
        report("JAX float32 to exact float64", np.asarray(exact32), exact, problem)
    print("disagrees" if failed else "agrees")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
