"""exp1 as users of JAX would write it.

`jit` and `lax.scan`, the weights as a tree, the exponentials of the scales taken out of the loop. The
exact sweep reads the stored path; the line's points are computed as it goes.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np

real = np.float32
tree_map = jax.tree.map


class Peer:
    """The training and the sweeps, compiled."""

    name, version = "JAX", jax.__version__

    def __init__(self, work):
        self.work = work
        self.batches = jnp.asarray(work.batches, jnp.int32)
        self.data = tuple((jnp.asarray(x), jnp.asarray(y)) for x, y in (work.train, work.valid))
        self.w0, self.t = tree_map(jnp.asarray, (work.w0, work.t))
        zeros = tree_map(jnp.zeros_like, self.w0)
        path = tree_map(lambda x: jnp.zeros((work.steps, *x.shape), x.dtype), self.w0)
        train, back = (self.w0, self.t, *self.data), (zeros, self.t, *self.data)
        self.seconds_compiling = {}
        self.calls = {
            "forward": self.compile("forward", self.forward, train, False),
            "forward, path kept": self.compile("forward, path kept", self.forward, train, True),
            "exact": self.compile("exact", self.backward, (*back, path), False),
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

    def nll(self, z, scales, x, labels):
        scaled = lambda z, scale: z if scale is None else z * scale
        *hidden, last = [tuple(map(scaled, *layer)) for layer in zip(z, scales)]
        for weights, biases in hidden:
            x = jnp.tanh(x @ weights + biases)
        x = jax.nn.log_softmax(x @ last[0] + last[1])
        return -jnp.mean(jnp.take_along_axis(x, labels[:, None], 1))

    def gradient(self, z, scales, batch, train):
        def loss(z):
            squares = sum(jnp.sum(x * x) for x in jax.tree.leaves(z))
            return self.nll(z, scales, train[0][batch], train[1][batch]) + self.work.l2 * squares

        return jax.grad(loss)(z)

    def forward(self, w0, t, train, valid, keep):
        rate, momentum = self.work.rate, self.work.momentum
        scales = tree_map(jnp.exp, t)

        def body(state, batch):
            z, v = state
            g = self.gradient(z, scales, batch, train)
            v_next = tree_map(lambda v, g: momentum * v - (1 - momentum) * g, v, g)
            z_next = tree_map(lambda z, v: z + rate * v, z, v_next)
            return (z_next, v_next), z if keep else None

        state = w0, tree_map(jnp.zeros_like, w0)
        (z, _), path = jax.lax.scan(body, state, self.batches)
        return z, path

    def backward(self, w_last, t, train, valid, path, line):
        """The sweep over the stored path, or along the line from the weights `path`."""
        rate, momentum = self.work.rate, self.work.momentum
        scales = tree_map(jnp.exp, t)

        def body(state, now):
            (d_z, d_v, d_scales), (batch, b, z) = state, now
            if line:
                z = tree_map(lambda first, last: (1 - b) * first + b * last, path, w_last)
            d_v = tree_map(lambda v, z: v + rate * z, d_v, d_z)
            d_g = tree_map(lambda v: (momentum - 1) * v, d_v)
            gradient = lambda z, scales: self.gradient(z, scales, batch, train)
            h_d, m_d = jax.vjp(gradient, z, scales)[1](d_g)
            d_v = tree_map(lambda v: momentum * v, d_v)
            return (tree_map(jnp.add, d_z, h_d), d_v, tree_map(jnp.add, d_scales, m_d)), None

        d_z, d_scales = jax.grad(self.nll, argnums=(0, 1))(w_last, scales, *valid)
        state = d_z, tree_map(jnp.zeros_like, d_z), d_scales
        b = jnp.arange(self.work.steps, dtype=real) / real(self.work.steps)
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
