"""The works of `benches/device.rs` as users of JAX would write them: `jit`, `scan` and, for replicas, `vmap`.

Prints a line of JSON for each work. f32 without TF32 (`jax_default_matmul_precision = highest`). The backward pass
is the exact one, over the stored path. `--quick` does small forms on whatever JAX runs on.

    pip install "jax[cuda12]" && python benches/peers/gpu.py
"""

import argparse
import json
import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_default_matmul_precision", "highest")

WORKS = [
    ("one small training", [784, 50, 50, 50, 10], 50, 1000, 1),
    ("1,000 rates of the chaos figure", [784, 200, 50, 10], 250, 50, 1000),
    ("a network of 10 million weights", [784, 2800, 2800, 10], 1000, 40, 1),
]


def loss(w, x, y):
    *hidden, last = w
    for weights, biases in hidden:
        x = jnp.tanh(x @ weights + biases)
    x = jax.nn.log_softmax(x @ last[0] + last[1])
    return -jnp.mean(jnp.take_along_axis(x, y[:, None], 1))


def step(state, batch, rate, x, y):
    w, v = state
    g = jax.grad(loss)(w, x[batch], y[batch])
    v = jax.tree.map(lambda v, g: 0.9 * v - 0.1 * g, v, g)
    return (jax.tree.map(lambda w, v: w + rate * v, w, v), v), None


def train(rate, w0, batches, x, y):
    state = w0, jax.tree.map(jnp.zeros_like, w0)
    (w, _), _ = jax.lax.scan(partial(step, rate=rate, x=x, y=y), state, batches)
    return w


def outer(rate, w0, batches, x, y, outside):
    return loss(train(rate, w0, batches, x, y), *outside)


def timed(call, *arguments):
    compiled = jax.jit(call).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    print(json.dumps({"device": str(jax.devices()[0].device_kind), "jax": jax.__version__}))
    random = np.random.default_rng(1)
    images = np.where(random.random((4000, 784)) < 0.2, random.random((4000, 784)), 0).astype(np.float32) - 0.13
    labels = np.arange(4000, dtype=np.int32) % 10
    x, y, outside = jnp.asarray(images[:3000]), jnp.asarray(labels[:3000]), (images[3000:], labels[3000:])
    for name, widths, batch, steps, replicas in WORKS:
        if quick:
            widths, batch, steps, replicas = [784, 8, 10], 5, 10, min(replicas, 3)
        w0 = [
            (jnp.asarray(random.normal(0, 0.05, (a, b)), jnp.float32), jnp.zeros(b, jnp.float32))
            for a, b in zip(widths, widths[1:])
        ]
        batches = jnp.asarray(random.integers(0, 3000, (steps, batch)), jnp.int32)
        rates = jnp.linspace(0.05, 0.15, replicas, dtype=jnp.float32)
        forward, whole = train, jax.value_and_grad(outer)
        if replicas > 1:
            forward = jax.vmap(forward, (0, None, None, None, None))
            whole = jax.vmap(whole, (0, None, None, None, None, None))
            rate = rates
        else:
            rate = rates[0]
        line = {"work": name, "replicas": replicas, "steps": steps}
        line["forward_seconds"] = timed(forward, rate, w0, batches, x, y)
        try:
            line["forward_and_back_seconds"] = timed(whole, rate, w0, batches, x, y, outside)
        except Exception as error:  # the stored path of a thousand replicas may not fit
            line["forward_and_back"] = str(error).splitlines()[0][:200]
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
