"""check.py FILE...: computes every golden vector again in both arithmetics and compares all words. Prints how many
files passed; fails where one did not, or is of a kernel that the port does not know."""

import json
import sys

import numpy as np

import drmad
from drmad import f32, fused, plain

TYPES = {"f32": np.float32, "u32": np.uint32, "i32": np.int32, "f64": np.float64, "u64": np.uint64}


def array(kind, words):
    """An array from words in hex; two words are one number with the high one first."""
    whole = "".join(words.split())
    size = 2 * np.dtype(TYPES[kind]).itemsize
    parts = [int(whole[i : i + size], 16) for i in range(0, len(whole), size)]
    return np.array(parts, np.uint64 if size == 16 else np.uint32).view(TYPES[kind])


class Inputs:
    """Inputs by name: arrays as attributes, scalars by `one`, integers by `int`."""

    def __init__(self, file):
        self.arrays = {}
        for key, words in file.items():
            role, _, rest = key.partition(" ")
            if role == "in":
                kind, name = rest.split(" ")
                self.arrays[name] = array(kind, words)

    def __getattr__(self, name):
        return self.arrays[name].copy()

    def one(self, name):
        (x,) = self.arrays[name]
        return x

    def int(self, name):
        return int(self.one(name))

    def groups(self, name):
        return drmad.Groups([int(k) for k in self.widths], self.int(name + "_by"), self.int(name + "_biases"))


KERNELS = {}


def kernel(*names):
    def add(f):
        for name in names:
            KERNELS[name] = f
        return f

    return add


# Each takes an arithmetic, the inputs and the kernel's name, and returns results by name.


@kernel("reduce")
def _(A, i, _):
    return {
        "sum": drmad.total(i.x),
        "dot": drmad.dot(A, i.x, i.y),
        "norm": drmad.norm(i.x),
        "cosine": drmad.cosine(i.x, i.y),
        "all_finite": np.isfinite(i.y).all(),
    }


@kernel("all_finite")
def _(A, i, _):
    return {"all_finite": np.isfinite(i.x).all()}


@kernel("matmul")
def _(A, i, _):
    rows, inner, columns, form = (i.int(name) for name in ("rows", "inner", "columns", "form"))
    a = i.a.reshape(inner, rows).T if form == 1 else i.a.reshape(rows, inner)
    b = i.b.reshape(columns, inner).T if form == 2 else i.b.reshape(inner, columns)
    c = i.c.reshape(rows, columns)
    return {"accumulated": drmad.matmul(A, a, b, c), "product": drmad.matmul(A, a, b, np.zeros_like(c))}


@kernel("sparse")
def _(A, i, _):
    w = i.w.reshape(-1, len(i.y))
    return {
        "shifted": drmad.shifted(A, i.one("mean"), w, i.bias),
        "product": drmad.sparse_product(A, i.indices, i.values, w, i.y),
        "outer": drmad.sparse_outer(A, i.indices, i.values, i.y, w),
    }


@kernel("add_scaled")
def _(A, i, _):
    return {"y": A(i.one("a"), i.x, i.y), "scaled": i.one("a") * i.x}


@kernel("rows")
def _(A, i, _):
    y = i.y.reshape(len(i.a), -1)
    return {
        "add_outer": A(i.a[:, None], i.x[None], y),
        "combine": drmad.combine(A, i.a, y),
        "add_to_rows": A(i.one("alpha"), i.x[None], y),
        "add_rows": drmad.add_rows(i.x[:81].reshape(-1, 3), i.a),
        "repeat": np.resize(i.a, 11),
    }


@kernel("by_rows")
def _(A, i, _):
    d, h_u, x, y = (x.reshape(len(i.a), i.int("columns")) for x in (i.d, i.h_u, i.x, i.y))
    h_d, m = drmad.add_scaled_products(A, i.a, d, y, x, h_u, y, i.h)
    return {
        "scale_rows": i.a[:, None] * x,
        "add_scaled_rows": A(i.a[:, None], x, y),
        "add_row_dots": drmad.add_row_dots(A, x, y, i.h),
        "add_row_sums": drmad.add_row_sums(x, i.h),
        "products_h_d": h_d,
        "products_m": m,
    }


@kernel("between")
def _(A, i, _):
    at = i.int("i"), i.int("n")
    return {"weights": drmad.weights(*at), "y": drmad.between(A, *at, i.x0, i.x1)}


@kernel("bend")
def _(A, i, _):
    return {"y": drmad.bend(A, i.g, i.int("n"), i.x0, i.x1, i.f0, i.f1, i.y)}


@kernel("exp", "ln", "tanh")
def _(A, i, name):
    return {"y": getattr(drmad, name)(A, i.x)}


@kernel("probit")
def _(A, i, _):
    return {"y": drmad.probit(A, i.q)}


@kernel("many_exp", "many_ln", "many_tanh", "many_probit")
def _(A, i, name):
    function, at = getattr(drmad, name.removeprefix("many_")), np.arange(i.int("count"))
    y = function(A, (i.int("first") + 2 * at).astype(f32) * i.one("scale"))
    factors = (2 * at + 1).astype(np.uint64)
    return {"sum": np.sum(factors * y.view(np.uint32).astype(np.uint64), dtype=np.uint64)}


@kernel("power")
def _(A, i, _):
    return {"y": [drmad.power(x, int(n)) for x, n in zip(i.x, i.n)]}


@kernel("tanh_adjoint")
def _(A, i, _):
    d, r_d = drmad.tanh_adjoint_r(A, i.y, i.r_y, i.d, i.r_d)
    return {"d": d, "r_d": r_d}


@kernel("softmax")
def _(A, i, _):
    classes = i.int("classes")
    z, p, log_sums = drmad.softmax(A, i.z.reshape(-1, classes))
    return {"z": z, "p": p, "log_sums": log_sums, "r": drmad.softmax_r(A, p, i.r.reshape(-1, classes))}


@kernel("momentum_step", "nesterov_step", "momentum_undo")
def _(A, i, name):
    v, w = getattr(drmad, name)(A, (i.one("rate"), i.one("momentum")), i.g, i.v, i.w)
    return {"v": v, "w": w}


@kernel("momentum_adjoint")
def _(A, i, _):
    d_v, d_g = drmad.momentum_adjoint(A, (i.one("rate"), i.one("momentum")), i.d_w, i.d_v)
    return {"d_v": d_v, "d_g": d_g}


@kernel("nesterov_adjoint")
def _(A, i, _):
    results = drmad.nesterov_adjoint(A, (i.one("rate"), i.one("momentum")), i.g, i.v, i.d_w, i.d_v)
    return dict(zip(("d_rate", "d_momentum", "d_v", "d_g"), results))


def dual(i, *names):
    """Pairs of inputs; scalars are arrays of one."""
    return (drmad.Dual(i.arrays[name], i.arrays[name + "_dot"]) for name in names)


@kernel("momentum_tangent", "nesterov_tangent")
def _(A, i, name):
    step = getattr(drmad, name.replace("tangent", "step"))
    rate, momentum, g, v, w = dual(i, "rate", "momentum", "g", "v", "w")
    v, w = step(A, (rate, momentum), g, v, w)
    return {"v_dot": v.dot, "w_dot": w.dot}


def adam(i):
    return drmad.Adam(i.int("t"), *(i.one(name) for name in ("rate", "b1", "b2", "eps", "decay")))


@kernel("adam_step")
def _(A, i, _):
    return dict(zip("mnw", adam(i).step(A, i.g, i.m, i.n, i.w)))


@kernel("adam_adjoint")
def _(A, i, _):
    results = adam(i).adjoint(A, i.g, i.m, i.n, i.w, i.d_w, i.d_m, i.d_n)
    return dict(zip(("d_rate", "d_b1", "d_w", "d_m", "d_n", "d_g"), results))


@kernel("adam_tangent")
def _(A, i, _):
    rate, b1 = dual(i, "rate", "b1")
    b2, eps, decay = (drmad.Dual(i.arrays[name], np.zeros(1, f32)) for name in ("b2", "eps", "decay"))
    m, n, w = drmad.Adam(i.int("t"), rate, b1, b2, eps, decay).step(A, *dual(i, "g", "m", "n", "w"))
    return {"m_dot": m.dot, "n_dot": n.dot, "w_dot": w.dot}


@kernel("chacha8")
def _(A, i, _):
    position, count = i.int("position"), i.int("count")
    return {"words": [drmad.random_word(i.int("seed"), i.int("stream"), position + k) for k in range(count)]}


@kernel("mix")
def _(A, i, _):
    return {"mixed": np.array([drmad.mix(i.int("seed"), [int(c) for c in i.counters])], np.uint64)}


@kernel("batches")
def _(A, i, _):
    of = i.int("seed"), i.int("examples"), i.int("size")
    return {"batches": [drmad.batch_of(*of, t) for t in range(i.int("steps"))]}


@kernel("choose")
def _(A, i, _):
    return {"chosen": drmad.choose(i.int("seed"), i.int("pool"), i.int("count"))}


@kernel("groups")
def _(A, i, _):
    return {"map": i.groups("groups").map()}


@kernel("normal")
def _(A, i, _):
    groups, seed = i.groups("groups"), i.int("seed")
    w0 = drmad.initial_weights(seed, groups, i.log_scales)
    d = np.zeros(groups.hypers, f32)
    for place, shape, own in groups.each():
        if own:
            d[own] = drmad.add_row_dots(plain, w0[place].reshape(shape), i.d_w[place].reshape(shape), d[own])
    return {
        "w0": w0,
        "part": drmad.initial_weights(seed, groups, i.log_scales, i.int("first"), i.int("count")),
        "d_log_scales": d,
        "w_dot": np.where(groups.map() == i.int("group"), w0, f32(0)),
    }


@kernel("grid")
def _(A, i, _):
    steps, intervals = i.int("steps"), i.int("intervals")
    return {"knots": [drmad.knot(steps, intervals, i.one("spacing"), k) for k in range(intervals + 1)]}


def objective(i):
    network = drmad.Network([int(k) for k in i.widths], i.int("microbatch"), i.x, i.labels)
    scales = i.groups("scales") if i.int("scaled") else None
    return drmad.Objective(network, scales, i.int("penalty"), i.groups("penalties"))


@kernel("objective")
def _(A, i, _):
    o = objective(i)
    loss, g, d_h = o.gradient(A, i.w, i.h, i.batch)
    beside, h_d, m_d = o.second_order(A, i.w, i.h, i.batch, i.d, np.zeros_like(i.w), np.zeros_like(i.h))
    assert (beside.view(np.uint32) == g.view(np.uint32)).all()
    results = {"loss": loss, "g": g, "h_d": h_d}
    return {**results, "d_h": d_h, "m_d": m_d} if len(i.h) else results


@kernel("objective_pixels")
def _(A, i, _):
    widths = [int(k) for k in i.widths]
    o = drmad.Network(widths, i.int("microbatch"), i.bytes, i.labels, i.one("mean"), i.int("sparse") == 1)
    loss, g, _ = o.run(A, i.w, i.batch)
    _, beside, h_d = o.run(A, i.w, i.batch, i.d, np.zeros_like(i.w))
    assert (beside.view(np.uint32) == g.view(np.uint32)).all()
    return {"loss": loss, "g": g, "h_d": h_d}


@kernel("quantise")
def _(A, i, _):
    code = drmad.encode(i.int("levels"), i.x)
    return {"code": code, "y": drmad.decode(A, i.int("levels"), code, i.y)}


@kernel("ratio")
def _(A, i, _):
    ratios = [drmad.ratio_of(float(momentum)) for momentum in i.momentum]
    n, d = zip(*ratios)
    return {"n": n, "d": d, "grown": [drmad.grown(n, d, int(b)) for (n, d), b in zip(ratios, i.bound)]}


@kernel("reversible_step")
def _(A, i, _):
    bits = i.int("weight_bits"), i.int("velocity_bits")
    turn = drmad.Turn(i.one("rate"), i.one("momentum"), *bits)
    start, before = drmad.to_fixed(i.start, bits[0]), (i.fixed_v.astype(np.int64), i.x.astype(np.int64))
    w, v, x = turn.step(i.g, start, *before)
    undone_w = w - turn.motion(v)
    undone = turn.undo_kick(i.g, v, x)
    assert all((a == b).all() for a, b in zip((undone_w, *undone), (start, *before)))
    return {
        "start": start,
        "fixed_w": w,
        "fixed_v": v,
        "x": x,
        "w": drmad.to_float(w, bits[0]),
        "v": drmad.to_float(v, bits[1]),
        "undone_w": drmad.to_float(undone_w, bits[0]),
        "spilled_x": undone[1] >> 8,
        "spilled_bytes": undone[1] & 255,
    }


@kernel("run_tape", "run_line", "run_hats", "run_reversible")
def _(A, i, name):
    batches = tuple(i.int("batches_" + name) for name in ("seed", "examples", "size"))
    w0 = drmad.initial_weights(i.int("initial_seed"), i.groups("initial"), i.log_scales)
    schedule = drmad.Schedule(i.groups("schedule"), i.rates, i.momenta)
    run = drmad.Run(A, objective(i), i.h, i.int("steps"), batches, w0, schedule)
    if name == "run_tape":
        path = drmad.Tape(run)
    elif name == "run_line":
        path = drmad.Line(run)
    elif name == "run_hats":
        path = drmad.Hats(run, i.int("levels"), i.int("intervals"), i.one("spacing"))
    else:
        path = drmad.Reversible(run, i.int("weight_bits"), i.int("velocity_bits"))
    names = ("losses", "w_T", "valid_loss", "d_rates", "d_momenta", "d_h", "d_w0")
    return {"batches": run.batches, "w0": w0, **dict(zip(names, run.hypergradient(path, i.valid)))}


def differences(file):
    """What differs in a vector, as text."""
    if file["kernel"] not in KERNELS:
        return [f"no kernel {file['kernel']}"]
    found = []
    for A in (plain, fused):
        results = KERNELS[file["kernel"]](A, Inputs(file), file["kernel"])
        for key, words in file.items():
            role, _, rest = key.partition(" ")
            if role not in ("out", A.__name__):
                continue
            kind, name = rest.split(" ")
            want, got = array(kind, words), np.ravel(results.pop(name))
            # Numbers of another type would be rounded before they are compared.
            assert np.issubdtype(got.dtype, np.integer) == (kind[0] != "f") or got.dtype == bool, key
            assert kind[0] != "f" or got.dtype == want.dtype, key
            if len(got) != len(want) or got.astype(want.dtype).tobytes() != want.tobytes():
                found.append(f"{A.__name__}, {name} differs")
        found += [f"{A.__name__}, {name}: no such result in the file" for name in results]
    return found


def main(paths):
    np.seterr(all="ignore")
    passed = 0
    for path in paths:
        with open(path) as f:
            found = differences(json.load(f))
        for what in found:
            print(f"{path}: {what}", file=sys.stderr)
        passed += not found
    print(f"{passed} of {len(paths)} vectors passed")
    return not paths or passed != len(paths)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
