"""exp1 as users of PyTorch would write it.

Eager, with `autograd.grad`: a gradient with `create_graph`, and the gradient of its product with the
adjoint. `torch.compile` has no double backward. The weights are a list of tensors, updated in place;
the exponentials of the scales are taken out of the loop. The exact sweep reads the stored path; the
line's points are computed as it goes.
"""

import time

import numpy as np
import torch
from torch.autograd import grad
from torch.nn.functional import cross_entropy

torch.set_num_threads(1)


class Peer:
    """The training and the sweeps. Nothing is compiled."""

    name, version = "PyTorch", torch.__version__.split("+")[0]
    seconds_compiling = {}

    def __init__(self, work):
        self.work = work
        self.batches = torch.as_tensor(work.batches)
        split = lambda x, y: (torch.as_tensor(x), torch.as_tensor(y).long())
        self.train, self.valid = split(*work.train), split(*work.valid)
        flat = lambda tree: [
            None if x is None else torch.as_tensor(x) for layer in tree for x in layer
        ]
        self.w0, self.t = flat(work.w0), flat(work.t)
        # Python's numbers, which PyTorch's kernels take as they are.
        self.l2, self.rate = float(work.l2), float(work.rate)
        self.momentum = float(work.momentum)

    def scales(self):
        return [None if t is None else t.exp() for t in self.t]

    def nll(self, z, scales, x, labels):
        w = [z if scale is None else z * scale for z, scale in zip(z, scales)]
        for weights, biases in zip(w[:-2:2], w[1:-2:2]):
            x = torch.tanh(torch.addmm(biases, x, weights))
        return cross_entropy(torch.addmm(w[-1], x, w[-2]), labels)

    def loss(self, z, scales, batch):
        squares = sum((z * z).sum() for z in z)
        nll = self.nll(z, scales, self.train[0][batch], self.train[1][batch])
        return nll + self.l2 * squares

    def forward(self, keep):
        scales = self.scales()
        z = [w.clone().requires_grad_() for w in self.w0]
        v, path = [torch.zeros_like(w) for w in self.w0], []
        for batch in self.batches:
            if keep:
                path.append([z.detach().clone() for z in z])
            g = grad(self.loss(z, scales, batch), z)
            with torch.no_grad():
                for z_i, v_i, g_i in zip(z, v, g):
                    v_i.mul_(self.momentum).sub_(g_i, alpha=1 - self.momentum)
                    z_i.add_(v_i, alpha=self.rate)
        return [z.detach() for z in z], path

    def backward(self, w_last, path):
        """The sweep over the stored path, or along the line where it is None."""
        steps = self.work.steps
        scales = [s if s is None else s.requires_grad_() for s in self.scales()]
        tuned = [s for s in scales if s is not None]
        z = [w.clone().requires_grad_() for w in w_last]
        outer = grad(self.nll(z, scales, *self.valid), z + tuned)
        d_z, d_scales = list(outer[: len(z)]), list(outer[len(z) :])
        d_v = [torch.zeros_like(w) for w in w_last]
        for t in reversed(range(steps)):
            if path is None:
                z = [torch.lerp(first, last, t / steps) for first, last in zip(self.w0, w_last)]
            else:
                z = path[t]
            z = [z.requires_grad_() for z in z]
            for d_v_i, d_z_i in zip(d_v, d_z):
                d_v_i.add_(d_z_i, alpha=self.rate)
            g = grad(self.loss(z, scales, self.batches[t]), z, create_graph=True)
            products = grad(g, z + tuned, d_v)
            for d, product in zip(d_z + d_scales, products):
                d.sub_(product, alpha=1 - self.momentum)
            for d_v_i in d_v:
                d_v_i.mul_(self.momentum)
        return [d * s.detach() for d, s in zip(d_scales, tuned)]

    def round(self):
        """Seconds of each call, and the hypergradients."""
        seconds, results = {}, {}

        def timed(name, call, *arguments):
            begin = time.perf_counter()
            results[name] = call(*arguments)
            seconds[name] = time.perf_counter() - begin
            return results[name]

        w_last, _ = timed("forward", self.forward, False)
        _, path = timed("forward, path kept", self.forward, True)
        timed("exact", self.backward, w_last, path)
        timed("line", self.backward, w_last, None)
        flat = lambda x: np.concatenate([x.numpy().ravel() for x in x])
        return seconds, {name: flat(results[name]) for name in ("exact", "line")}
