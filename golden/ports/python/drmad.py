"""drmad's kernels and whole runs in NumPy, after docs/porting.md: its sections, in its order.

Vectors are arrays of float32. The arithmetic is the first argument, `A`: the function `plain` or `fused`. Nothing is
changed in place: what a kernel changes, it returns.
"""

import math

import numpy as np

f32, f64 = np.float32, np.float64


def plain(a, b, c):
    """A product and a sum, each rounded."""
    return a * b + c


def fused(a, b, c):
    """One rounding. The product is exact in float64. Its sum with c is rounded to odd, so that the rounding to float32
    that follows is that of the exact sum."""
    if isinstance(c, Dual) or isinstance(a, Dual) or isinstance(b, Dual):
        a, b, c = Dual.of(a), Dual.of(b), Dual.of(c)
        return Dual(fused(a.x, b.x, c.x), fused(a.x, b.dot, fused(a.dot, b.x, c.dot)))
    p, c = np.asarray(a, f64) * np.asarray(b, f64), np.asarray(c, f64)
    s = np.atleast_1d(p + c)
    part = s - p
    error = (p - (s - part)) + (c - part)
    even = s.view(np.int64) % 2 == 0
    away = np.where((error > 0) == (s > 0), 1, -1)
    odd = (s.view(np.int64) + np.where(np.isfinite(s) & (error != 0) & even, away, 0)).view(f64)
    return odd.astype(f32).reshape(np.shape(p + c))


def hexes(words):
    """Numbers from their bits."""
    return np.array([int(word, 16) for word in words.split()], np.uint32).view(f32)


def bits(x):
    return np.asarray(x, f32).view(np.uint32)


# Sums


def tree(n, add, width=()):
    """The sum of n terms: `add(i, lanes)` adds those from i on to the lanes, as far as they go."""
    lanes = np.zeros((32,) + width, f32)
    for i in range(0, n, 32):
        m = min(32, n - i)
        lanes[:m] = add(slice(i, i + m), lanes[:m])
    for half in (16, 8, 4, 2, 1):
        lanes = lanes[:half] + lanes[half : 2 * half]
    return lanes[0]


def total(x):
    return tree(len(x), lambda i, lanes: lanes + x[i])


def dot(A, x, y):
    return tree(len(x), lambda i, lanes: A(x[i], y[i], lanes))


def product64(x, y):
    s = f64(0)
    for x, y in zip(x, y):
        s = s + f64(x) * f64(y)
    return s


def norm(x):
    return np.sqrt(product64(x, x))


def cosine(x, y):
    m = norm(x) * norm(y)
    return product64(x, y) / m if m > 0 else f64(0)


def matmul(A, a, b, c):
    """c + a b for matrices as they multiply: a transposed operand is given transposed."""
    for k in range(a.shape[1]):
        c = A(a[:, k, None], b[None, k, :], c)
    return c


def shifted(A, mean, w, bias):
    return A(-mean, add_rows(w, np.zeros(w.shape[1], f32)), bias)


def sparse_product(A, indices, values, w, y):
    for i, value in zip(indices, values):
        y = A(value, w[i], y)
    return y


def sparse_outer(A, indices, values, d, g):
    g = g.copy()
    for i, value in zip(indices, values):
        g[i] = A(value, d, g[i])
    return g


# Scaled copies and sums


def combine(A, a, x):
    y = np.zeros(x.shape[1], f32)
    for a, x in zip(a, x):
        y = A(a, x, y)
    return y


def add_rows(x, y):
    for row in x:
        y = y + row
    return y


def add_row_sums(x, h, add=lambda x, lanes: lanes + x):
    """h_r + the sum of row r over the tree, whose lanes take terms by `add`; x may be several arrays."""
    x = x if isinstance(x, tuple) else (x,)
    rows, columns = x[0].shape
    if columns == 1:
        return add(*(x[:, 0] for x in x), h)
    return h + tree(columns, lambda i, lanes: add(*(x.T[i] for x in x), lanes), (rows,))


def add_row_dots(A, x, y, h):
    return add_row_sums((x, y), h, A)


def add_scaled_products(A, s, d, g, z, h_u, h_d, m):
    m = add_row_sums((d, g, z, h_u), m, lambda d, g, z, h_u, lanes: A(z, h_u, A(d, g, lanes)))
    return A(s[:, None], h_u, h_d), m


def weights(i, n):
    i = min(i, n)
    return f32(n - i) / f32(n), f32(i) / f32(n)


def between(A, i, n, x0, x1):
    a, b = weights(i, n)
    return x0 if i == 0 else x1 if i >= n else A(b, x1, a * x0)


def bend(A, g, n, x0, x1, f0, f1, y):
    chord = f32(-(g[0] + g[1]) / f64(n))
    return A(f32(g[0]), f0, A(f32(g[1]), f1, A(chord, x1 - x0, y)))


# Elementary functions

R, H, L = hexes("4b400000 3f317200 35bfbe8e")
LOG2_E, LEAST_NORMAL, TWO_24 = hexes("3fb8aa3b 00800000 4b800000")
EXP = hexes("3ab7f79f 3c092bec 3d2aa978 3e2aaa33 3f000000")
LN = hexes("bdff0877 3e101d0a bdfb73a3 3e0f3c8e be2abeb0 3e4ceb6c be7fffc4 3eaaaa77 bf000000")
TANH = hexes("b401657c b81683b2 ba7968a3 3d5b460f 3f540000"), hexes("35511dd8 39ac698f 3cd40b50 3eef2f96 3f800000")
(TANH_CONSTANT,) = hexes("3e300000")
PROBIT = (
    hexes("389067de 3aee3a63 3cb3af7a 3e2c68b4 3f5dd083 40206c99"),
    hexes("35ada323 393c4555 3af526d9 3d03cdf4 3dabc3ca 3f800000"),
)
MIDDLE, UNIT, PIXEL = hexes("4affffff 33800000 3b808081")


def horner(A, c, x):
    s = c[0]
    for c in c[1:]:
        s = A(s, x, c)
    return s


def clamp(x, low, high):
    x = np.where(x > high, high, x)
    return np.where(x < low, low, x).astype(f32)


def power_of_two(j):
    return ((j + 127).astype(np.uint32) << np.uint32(23)).view(f32)


def exp(A, x):
    x = clamp(x, f32(-104), f32(89))
    t = A(x, LOG2_E, R)
    n, k = t - R, bits(t).astype(np.int64) - int(bits(R))
    r = A(n, -L, A(n, -H, x))
    p = 1 + A(r * r, horner(A, EXP, r), r)
    h = k >> 1
    return p * power_of_two(h) * power_of_two(k - h)


def ln(A, x):
    small = x < LEAST_NORMAL
    i = (bits(np.where(small, x * TWO_24, x)).astype(np.int64) - 0x3F2AAAAB) & 0xFFFFFFFF
    signed = np.where(i >= 2**31, i - 2**32, i)
    e = (signed >> 23).astype(f32) + np.where(small, f32(-24), f32(0))
    f = ((i & 0x007FFFFF) + 0x3F2AAAAB).astype(np.uint32).view(f32) - 1
    y = A(e, H, f + A(f * f, horner(A, LN, f), e * L))
    y = np.where(x < f32(np.inf), y, x)
    return np.where(x == 0, f32(-np.inf), np.where(x < 0, f32(np.nan), y)).astype(f32)


def tanh(A, x):
    x = clamp(x, f32(-10), f32(10))
    y = x * x
    return clamp(x * (TANH_CONSTANT + horner(A, TANH[0], y) / horner(A, TANH[1], y)), f32(-1), f32(1))


def probit(A, q):
    a = np.abs(q)
    w = -ln(A, (f32(0.5) - a) * (f32(0.5) + a) * f32(4))
    x = q * horner(A, PROBIT[0], w) / horner(A, PROBIT[1], w)
    return np.where(a == f32(0.5), q * f32(np.inf), x).astype(f32)


def power(x, n):
    y = f32(1)
    while n > 0:
        if n & 1:
            y = x * y
        x, n = x * x, n >> 1
    return y


def slope_of_tanh(A, y):
    return A(-y, y, np.ones_like(y))


def tanh_adjoint_r(A, y, r_y, d, r_d):
    slope = slope_of_tanh(A, y)
    return d * slope, A(-(y + y) * r_y, d, r_d * slope)


def softmax(A, z):
    """The logits less the greatest, probabilities and log sums."""
    z = z - z.max(axis=1)[:, None]
    e = exp(A, z)
    total = add_rows(e.T, np.zeros(len(z), f32))
    others = e.copy()
    others[np.arange(len(z)), z.argmax(axis=1)] = 0
    return z, e / total[:, None], ln_1p(A, add_rows(others.T, np.zeros(len(z), f32)))


def ln_1p(A, x):
    u = 1 + x
    return ln(A, u) - ((u - 1) - x) / u


def add_with_rest(x, y, rest):
    t = x + rest
    s = y + t
    of_t = s - y
    return s, (y - (s - of_t)) + (t - of_t)


def softmax_r(A, p, r):
    mean = np.zeros(len(p), f32)
    for k in range(p.shape[1]):
        mean = A(p[:, k], r[:, k], mean)
    return p * (r - mean[:, None])


# Steps: `by` is (rate, momentum)


def momentum_step(A, by, g, v, w):
    rate, momentum = by
    v = A(momentum - 1, g, momentum * v)
    return v, A(rate, v, w)


def momentum_adjoint(A, by, d_w, d_v):
    rate, momentum = by
    d = A(rate, d_w, d_v)
    return momentum * d, (momentum - 1) * d


def momentum_undo(A, by, g, v, w):
    rate, momentum = by
    return 1 / momentum * A(1 - momentum, g, v), A(-rate, v, w)


def nesterov_step(A, by, g, v, w):
    rate, momentum = by
    push = (momentum - 1) * g
    v = A(momentum, v, push)
    return v, A(rate, A(momentum, v, push), w)


def nesterov_adjoint(A, by, g, v, d_w, d_v):
    rate, momentum = by
    push = (momentum - 1) * g
    new = A(momentum, v, push)
    d_u = rate * d_w
    d = A(momentum, d_u, d_v)
    d_rate = total(d_w * A(momentum, new, push))
    d_momentum = total(A(d, v + g, d_u * (new + g)))
    return d_rate, d_momentum, momentum * d, (momentum - 1) * (d + d_u)


class Dual:
    """A pair of a number and its tangent."""

    def __init__(self, x, dot):
        self.x, self.dot = x, dot

    @staticmethod
    def of(x):
        if isinstance(x, Dual):
            return x
        x = np.asarray(x, f32)
        return Dual(x, np.zeros_like(x))

    def __add__(self, b):
        b = Dual.of(b)
        return Dual(self.x + b.x, self.dot + b.dot)

    def __sub__(self, b):
        b = Dual.of(b)
        return Dual(self.x - b.x, self.dot - b.dot)

    def __rsub__(self, a):
        return Dual.of(a) - self

    def __neg__(self):
        return Dual(-self.x, -self.dot)

    def __mul__(self, b):
        b = Dual.of(b)
        return Dual(self.x * b.x, self.x * b.dot + self.dot * b.x)

    __rmul__ = __mul__

    def __truediv__(self, b):
        q = self.x / b.x
        return Dual(q, (self.dot - q * b.dot) / b.x)

    def __rtruediv__(self, a):
        return Dual.of(a) / self

    def root(self):
        """The square root where the number is positive, else 0."""
        r = np.where(self.x > 0, np.sqrt(np.maximum(self.x, 0)), f32(0))
        return Dual(r, np.where(r == 0, f32(0), self.dot / (r + r)).astype(f32))


class Adam:
    """The constants of step t, numbers or pairs; g, m, n, w are of the same kind."""

    def __init__(self, t, rate, b1, b2, eps, decay):
        self.rate, self.b1, self.b2, self.eps, self.decay = rate, b1, b2, eps, decay
        before = power(b1, t)
        self.c1 = 1 / (1 - before * b1)
        self.c2 = 1 / (1 - power(b2, t + 1))
        self.d_c1 = self.c1 * self.c1 * f32(t + 1) * before
        self.kept = 1 - rate * decay

    def moved(self, A, g, m, n):
        m = A(self.b1, m, (1 - self.b1) * g)
        n = A(self.b2, n, (1 - self.b2) * g * g)
        s = self.c2 * n
        root = s.root() if isinstance(s, Dual) else np.where(s > 0, np.sqrt(np.maximum(s, 0)), f32(0))
        under = root + self.eps
        return m, n, root, under, self.c1 * m / under

    def step(self, A, g, m, n, w):
        m, n, _, _, u = self.moved(A, g, m, n)
        return m, n, A(-self.rate, u, self.kept * w)

    def adjoint(self, A, g, m, n, w, d_w, d_m, d_n):
        new_m, _, root, under, u = self.moved(A, g, m, n)
        d_u = -self.rate * d_w
        by_m = d_m + d_u * self.c1 / under
        by_n = np.where(root > 0, d_n - d_u * u * self.c2 / ((root + root) * under), d_n)
        d_rate = total(-(d_w * A(self.decay, w, u)))
        d_b1 = total(A(by_m, m - g, -self.rate * d_w * new_m / under * self.d_c1))
        twice = (1 - self.b2) + (1 - self.b2)
        d_g = A(1 - self.b1, by_m, twice * g * by_n)
        return d_rate, d_b1, self.kept * d_w, self.b1 * by_m, self.b2 * by_n, d_g


# Random numbers

M64 = 2**64 - 1
WEIGHTS, BATCHES, CHOICE = 1, 2, 3


def rotated(x, by):
    return (x << by | x >> (32 - by)) & 0xFFFFFFFF


def quarter(s, a, b, c, d):
    for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & 0xFFFFFFFF
        s[z] = rotated(s[z] ^ s[x], by)


def random_word(seed, stream, position):
    key = []
    for _ in range(8):
        seed = (seed * 0x5851F42D4C957F2D + 0xA17654E46FBE17F3) & M64
        key.append(rotated(((seed >> 18 ^ seed) >> 27) & 0xFFFFFFFF, 32 - (seed >> 59)))
    block, word = divmod(position, 16)
    start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574] + key
    start += [x & 0xFFFFFFFF for x in (block, block >> 32, stream, stream >> 32)]
    s = list(start)
    for _ in range(4):
        for j in range(4):
            quarter(s, j, 4 + j, 8 + j, 12 + j)
        for j in range(4):
            quarter(s, j, 4 + (j + 1) % 4, 8 + (j + 2) % 4, 12 + (j + 3) % 4)
    return (s[word] + start[word]) & 0xFFFFFFFF


def permuted(x):
    z = (x + 0x9E3779B97F4A7C15) & M64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & M64
    z = (z ^ z >> 27) * 0x94D049BB133111EB & M64
    return z ^ z >> 31


def mix(seed, counters):
    seed = permuted(seed)
    for counter in counters:
        seed = permuted(seed ^ counter)
    return seed


def below(n, word):
    return word * n >> 32


def batch_of(seed, examples, size, t):
    batch = []
    for i in range(t * size, (t + 1) * size):
        epoch, place = divmod(i, examples)
        offset = below(examples, random_word(seed, BATCHES, 64 * epoch))
        strides = (1 + below(examples, random_word(seed, BATCHES, 64 * epoch + j)) for j in range(1, 64))
        stride = next((stride for stride in strides if math.gcd(stride, examples) == 1), 1)
        batch.append((place * stride + offset) % examples)
    return np.array(batch, np.uint32)


def choose(seed, n, m):
    pool = list(range(n))
    for i in range(m):
        j = i + below(n - i, random_word(seed, CHOICE, i))
        pool[i], pool[j] = pool[j], pool[i]
    return np.array(pool[:m], np.uint32)


# Groups


class Groups:
    """Blocks (start, rows, columns, first), `first` None where there are no hyperparameters."""

    def __init__(self, widths, by, biases):
        self.blocks, self.weights, self.hypers, following = [], 0, 0, 0
        for layer in range(len(widths) - 1):
            for is_bias in (False, True):
                rows, columns = (1 if is_bias else widths[layer]), widths[layer + 1]
                n = rows * columns
                first = 0 if by == 0 else layer if by == 1 else following
                rows, columns = (n, 1) if by == 4 else (rows, columns) if by == 3 else (1, n)
                if is_bias and not biases:
                    rows, columns, first = 1, n, None
                else:
                    following = first + rows
                    self.hypers = max(self.hypers, following)
                self.blocks.append((self.weights, rows, columns, first))
                self.weights += n

    def each(self):
        """Slice of the weights, shape, and slice of the hyperparameters of each block, or None."""
        for start, rows, columns, first in self.blocks:
            own = None if first is None else slice(first, first + rows)
            yield slice(start, start + rows * columns), (rows, columns), own

    def map(self):
        where = np.full(self.weights, -1, np.int32)
        for place, (rows, columns), own in self.each():
            if own:
                where[place] = np.repeat(np.arange(own.start, own.stop), columns)
        return where


def initial_weights(seed, groups, log_scales, first=0, count=None):
    where = groups.map()
    chosen = range(first, groups.weights if count is None else first + count)
    words = np.array([random_word(seed, WEIGHTS, i) for i in chosen], np.uint32)
    scale = np.array([f32(0) if where[i] < 0 else exp(plain, log_scales[where[i : i + 1]])[0] for i in chosen], f32)
    return scale * probit(plain, ((words >> np.uint32(8)).astype(f32) - MIDDLE) * UNIT)


# Objectives


# Examples whose terms are added one after another.
EXAMPLES_OF_BLOCK = 1024


class Network:
    """A tanh network with softmax loss, on inputs or, with a mean, on bytes, which may be taken for sparse rows."""

    def __init__(self, widths, microbatch, inputs, labels, mean=None, sparse=False):
        self.widths, self.microbatch, self.labels, self.mean, self.sparse = widths, microbatch, labels, mean, sparse
        self.given = inputs.reshape(-1, widths[0])

    def inputs(self, A, piece):
        x = self.given[piece]
        return x if self.mean is None else A(x.astype(f32), PIXEL, -self.mean)

    def rows(self, piece, others):
        """The sparse rows of a piece, each with its row of another matrix."""
        for row, other in zip(self.given[piece], others):
            indices = np.flatnonzero(row)
            yield indices, row[indices].astype(f32) * PIXEL, other

    def affine(self, A, l, piece, x, matrix, biases):
        if l > 0 or not self.sparse:
            return matmul(A, x, matrix, np.repeat(biases[None], len(piece), 0))
        start = np.repeat(shifted(A, self.mean, matrix, biases)[None], len(piece), 0)
        return np.array([sparse_product(A, *of, matrix, z) for *of, z in self.rows(piece, start)])

    def add_gradient(self, A, l, piece, x, d, matrix, biases):
        """In place; of sparse rows without the mean's part."""
        biases[:] = add_rows(d, biases)
        if l > 0 or not self.sparse:
            matrix[:] = matmul(A, x.T, d, matrix)
            return
        for *of, d in self.rows(piece, d):
            matrix[:] = sparse_outer(A, *of, d, matrix)

    def layers(self, w):
        """Matrices and biases, as views of a vector of weights."""
        start = 0
        for inputs, outputs in zip(self.widths, self.widths[1:]):
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            yield w[start:middle].reshape(inputs, outputs), w[middle:end]
            start = end

    def run(self, A, w, batch, d=None, h_d=None):
        """Loss and gradient; with d also h_d + H d."""
        share, loss, g = f32(1) / f32(len(batch)), (f32(0), f32(0)), np.zeros_like(w)
        h_d = None if d is None else h_d.copy()
        w, d = list(self.layers(w)), None if d is None else list(self.layers(d))
        if len(batch) <= EXAMPLES_OF_BLOCK:
            loss = self.block(A, w, batch, share, loss, g, d, h_d)
        else:
            rests = [np.zeros_like(g), np.zeros_like(g)]
            for start in range(0, len(batch), EXAMPLES_OF_BLOCK):
                own = np.zeros_like(g), None if d is None else np.zeros_like(g)
                loss = self.block(A, w, batch[start : start + EXAMPLES_OF_BLOCK], share, loss, own[0], d, own[1])
                g, rests[0] = add_with_rest(own[0], g, rests[0])
                if d is not None:
                    h_d, rests[1] = add_with_rest(own[1], h_d, rests[1])
            g, h_d = g + rests[0], None if d is None else h_d + rests[1]
        if self.sparse:
            matrix, biases = next(self.layers(g))
            matrix[:] = A(-self.mean, biases, matrix)
        return (loss[0] + loss[1]) * share, g, h_d

    def block(self, A, w, batch, share, loss, g, d, h_d):
        """Adds a block's part to g and h_d, in place; returns the loss, a sum and its rest."""
        g_layers = list(self.layers(g))
        h_layers = None if d is None else list(self.layers(h_d))
        none = lambda rows, columns: np.zeros((rows, columns), f32)
        for start in range(0, len(batch), self.microbatch):
            piece = batch[start : start + self.microbatch]
            n, labels = len(piece), self.labels[piece]
            a, r_a = [self.inputs(A, piece)], [None]
            for l, layer in enumerate(w):
                z = self.affine(A, l, piece, a[l], *layer)
                a.append(tanh(A, z))
            z, a[-1], log_sums = softmax(A, z)
            for log_sum, z, label in zip(log_sums, z, labels):
                loss = add_with_rest(log_sum - z[label], *loss)
            adjoint = a[-1].copy()
            adjoint[np.arange(n), labels] -= f32(1)
            adjoint = adjoint * share
            if d is not None:
                for l, r_layer in enumerate(d):
                    r_z = self.affine(A, l, piece, a[l], *r_layer)
                    if l > 0:
                        r_z = matmul(A, r_a[l], w[l][0], r_z)
                    r_a.append(r_z * slope_of_tanh(A, a[l + 1]))
                r_adjoint = share * softmax_r(A, a[-1], r_z)
            for l in reversed(range(len(w))):
                self.add_gradient(A, l, piece, a[l], adjoint, *g_layers[l])
                if d is not None:
                    self.add_gradient(A, l, piece, a[l], r_adjoint, *h_layers[l])
                    h_matrix, _ = h_layers[l]
                    if l > 0:
                        h_matrix[:] = matmul(A, r_a[l].T, adjoint, h_matrix)
                    elif self.sparse:
                        h_matrix[:] = A(-self.mean, add_rows(r_adjoint, np.zeros_like(h_matrix[0])), h_matrix)
                if l == 0:
                    continue
                width = self.widths[l]
                before = matmul(A, adjoint, w[l][0].T, none(n, width))
                if d is None:
                    adjoint = before * slope_of_tanh(A, a[l])
                else:
                    r_before = matmul(A, r_adjoint, w[l][0].T, none(n, width))
                    r_before = matmul(A, adjoint, d[l][0].T, r_before)
                    adjoint, r_adjoint = tanh_adjoint_r(A, a[l], r_a[l], before, r_before)
        return loss


class Objective:
    """A network, with scaled weights (groups or None) and a penalty (1: L1, 2: L2, by groups) if there are."""

    def __init__(self, network, scales, penalty, penalties):
        self.network, self.scales, self.penalty, self.penalties = network, scales, penalty, penalties
        self.own = slice(scales.hypers if scales else 0, None)

    def scaled(self, s, x):
        x = x.copy()
        for place, shape, own in self.scales.each():
            if own:
                x[place] = (s[own, None] * x[place].reshape(shape)).ravel()
        return x

    def inner(self, A, w, h, batch, d=None, h_d=None, m_d=None):
        """Loss, g, d_h, h_d and m_d without the penalty, whose part of d_h is 0."""
        d_h = np.zeros_like(h)
        if not self.scales:
            loss, g, h_d = self.network.run(A, w, batch, d, h_d)
            return loss, g, d_h, h_d, m_d
        u = None if d is None else self.scaled(h, d)
        loss, g, h_u = self.network.run(A, self.scaled(h, w), batch, u, np.zeros_like(w))
        h_d, m_d = (None, None) if d is None else (h_d.copy(), m_d.copy())
        for place, shape, own in self.scales.each():
            of = lambda x: x[place].reshape(shape)
            if own:
                d_h[own] = add_row_dots(A, of(w), of(g), d_h[own])
            if d is not None and own:
                new, m_d[own] = add_scaled_products(A, h[own], of(d), of(g), of(w), of(h_u), of(h_d), m_d[own])
                h_d[place] = new.ravel()
            elif d is not None:
                h_d[place] += h_u[place]
        return loss, self.scaled(h, g), d_h, h_d, m_d

    def slope(self, w):
        return w + w if self.penalty == 2 else np.sign(w)

    def gradient(self, A, w, h, batch, on=True):
        loss, g, d_h, _, _ = self.inner(A, w, h, batch)
        if not (self.penalty and on):
            return loss, g, d_h
        c, sums = h[self.own], np.zeros(self.penalties.hypers, f32)
        for place, shape, own in self.penalties.each():
            if own:
                x = w[place].reshape(shape)
                sums[own] = add_row_sums(x * x if self.penalty == 2 else np.abs(x), sums[own])
                g[place] = A(c[own, None], self.slope(x), g[place].reshape(shape)).ravel()
        d_h[self.own] = sums
        return loss + dot(A, c, sums), g, d_h

    def second_order(self, A, w, h, batch, d, h_d, m_d):
        _, g, _, h_d, m_d = self.inner(A, w, h, batch, d, h_d, m_d)
        if not self.penalty:
            return g, h_d, m_d
        c, curvature, m_d = h[self.own], f32(2 if self.penalty == 2 else 0), m_d.copy()
        m = m_d[self.own]
        for place, shape, own in self.penalties.each():
            if own:
                x, along = self.slope(w[place].reshape(shape)), d[place].reshape(shape)
                g[place] = A(c[own, None], x, g[place].reshape(shape)).ravel()
                h_d[place] = A(c[own, None], curvature * along, h_d[place].reshape(shape)).ravel()
                m[own] = add_row_dots(A, x, along, m[own])
        return g, h_d, m_d


# Quantised differences

IN_A_WORD = {3: 20, 7: 11, 11: 9, 15: 8, 255: 4}
BLOCK_WORDS = {levels: -(-80 // k) for levels, k in IN_A_WORD.items()}
BLOCK = {levels: BLOCK_WORDS[levels] * k for levels, k in IN_A_WORD.items()}


def encode(levels, x):
    k, m = IN_A_WORD[levels], f32(levels // 2)
    top = np.abs(x).max(initial=f32(0))
    step = top / m
    inverse = m / top if step > LEAST_NORMAL else f32(0)
    digits = bits(clamp(x * inverse, -m, m) + R).astype(np.int64) - int(bits(R)) + levels // 2
    code = [int(bits(step))] + [0] * BLOCK_WORDS[levels]
    for i in reversed(range(len(x))):
        code[1 + i // k] = code[1 + i // k] * levels + int(digits[i])
    return np.array(code, np.uint32)


def decode(A, levels, code, y):
    k, m = IN_A_WORD[levels], levels // 2
    q = [int(code[1 + i // k]) // levels ** (i % k) % levels - m for i in range(len(y))]
    return A(code[:1].view(f32)[0], np.array(q, f32), y)


# Fixed point


def ratio_of(momentum):
    (n0, d0), (n1, d1), rest = (1, 0), (0, 1), momentum
    while rest > 0:
        inverse, most = 1 / rest, (1024 - d0) // d1
        fits = inverse < most + 1
        digit = int(inverse) if fits else most
        n, d = digit * n1 + n0, digit * d1 + d0
        if not fits:
            return (n, d) if abs(n / d - momentum) < abs(n1 / d1 - momentum) else (n1, d1)
        (n0, d0), (n1, d1), rest = (n1, d1), (n, d), inverse - digit
    return n1, d1


def grown(n, d, bound):
    return (bound + 1) * d // n


def to_fixed(x, bits):
    return np.rint(x.astype(f64) * 2.0**bits).astype(np.int64)


def to_float(i, bits):
    return (i.astype(f64) * 2.0**-bits).astype(f32)


class Turn:
    """The constants of a step in fixed point."""

    def __init__(self, rate, momentum, weight_bits, velocity_bits):
        self.n, self.d = ratio_of(float(momentum))
        alpha = float(rate) * 2.0 ** (weight_bits - velocity_bits)
        exponent = math.frexp(alpha)[1] - 1 if alpha else -1023
        self.shift = min(29 - exponent, 62)
        self.rate = round(alpha * 2.0**self.shift)
        self.share = (self.d - self.n) / self.d * 2.0**velocity_bits

    def motion(self, v):
        return (v * self.rate + (1 << self.shift) // 2) >> self.shift

    def kick(self, g):
        return np.rint(g.astype(f64) * self.share).astype(np.int64)

    def step(self, g, w, v, x):
        q, r = v // self.d, v % self.d
        y = x * self.d + r
        v = q * self.n + y % self.n - self.kick(g)
        return w + self.motion(v), v, y // self.n

    def undo_kick(self, g, v, x):
        k = v + self.kick(g)
        y = x * self.n + k % self.n
        return k // self.n * self.d + y % self.d, y // self.d


# Runs


def knot(steps, intervals, spacing, k):
    if k in (0, intervals):
        return steps if k else 0
    share = np.array([f32(k) / f32(intervals)])
    step = int((exp(plain, spacing * ln(plain, share)) * f32(steps) + f32(0.5))[0])
    return min(max(step, k), steps - (intervals - k))


class Schedule:
    """Rates and momenta of each step and group."""

    def __init__(self, groups, rates, momenta):
        self.groups, self.tables = groups, (rates, momenta)

    def each(self, t):
        """The pieces of the weights, where their rate and momentum stand, and these."""
        for place, (rows, columns), own in self.groups.each():
            for row in range(rows if own else 0):
                group, start = own.start + row, place.start + row * columns
                places = [group if len(x) == self.groups.hypers else t * self.groups.hypers + group for x in self.tables]
                yield slice(start, start + columns), places, tuple(x[i] for x, i in zip(self.tables, places))


class Tape:
    def __init__(self, run):
        self.seen = []

    def see(self, t, w, v):
        self.seen.append((w.copy(), v.copy()))

    def finish(self, w):
        pass

    def recall(self, t):
        return self.seen[t]


class Line(Tape):
    def __init__(self, run):
        self.run = run

    def see(self, t, w, v):
        pass

    def finish(self, w):
        self.w_T = w.copy()

    def recall(self, t):
        run, w0 = self.run, self.run.w0
        return between(run.A, t, run.steps, w0, self.w_T), velocity(run, t, run.steps, w0, self.w_T)


def velocity(run, t, n, left, right):
    """That before step t of a trajectory from left to right in n steps."""
    v = (right - left) / f32(n)
    if t == 0:
        return np.zeros_like(v)
    for place, _, (rate, _) in run.schedule.each(t - 1):
        v[place] = v[place] / rate
    return v


class Hats:
    def __init__(self, run, levels, intervals, spacing):
        self.run, self.levels, self.K = run, levels, intervals
        self.knots = [knot(run.steps, intervals, spacing, k) for k in range(intervals + 1)]
        self.u, self.rows, self.j = [f32(0)], [], 0
        self.left, self.right = np.zeros_like(run.w0), np.zeros_like(run.w0)
        block = BLOCK[levels]
        self.blocks = [slice(i, i + block) for i in range(0, len(run.w0), block)]

    def row(self, k):
        x = self.run.w0.copy()
        for codes in self.rows[:k]:
            for place, code in zip(self.blocks, codes):
                x[place] = decode(self.run.A, self.levels, code, x[place])
        return x

    def length(self, k):
        return self.knots[k + 1] - self.knots[k]

    def close(self, k, b):
        if k == 0:
            return
        n = float(self.length(k - 1))
        before, itself, after = (n * n - 1) / (6 * n), (n - 1) * (2 * n - 1) / (6 * n), 0.0
        if k < self.K:
            n = float(self.length(k))
            itself, after = itself + (n + 1) * (2 * n + 1) / (6 * n), (n * n - 1) / (6 * n)
        else:
            itself += 1
        last = float(self.u[k - 1])
        pivot = itself - before * last
        self.u.append(f32(after / pivot))
        share = 1 / (pivot * (1 + float(self.u[k])))
        row = self.row(k - 1)
        x = self.run.A(f32(-before * (1 + last) * share), row, f32(share) * b)
        self.rows.append([encode(self.levels, x[place] - row[place]) for place in self.blocks])

    def see(self, t, w, v):
        if t == self.knots[self.j + 1]:
            self.close(self.j, self.left)
            self.left, self.right, self.j = self.right, np.zeros_like(w), self.j + 1
        fall, rise = weights(t - self.knots[self.j], self.length(self.j))
        if self.j > 0:
            self.left = self.run.A(fall, w, self.left)
        if t > self.knots[self.j]:
            self.right = self.run.A(rise, w, self.right)

    def finish(self, w):
        self.close(self.K - 1, self.left)
        self.close(self.K, self.run.A(f32(1), w, self.right))
        self.j, self.left = self.K, self.row(self.K)

    def recall(self, t):
        while t < self.knots[self.j]:
            self.j -= 1
            self.right, u = self.left, self.u[self.j]
            self.left = self.run.A(-u, self.right, (1 + u) * self.row(self.j))
        n = self.length(self.j)
        w = between(self.run.A, t - self.knots[self.j], n, self.left, self.right)
        return w, velocity(self.run, t, n, self.left, self.right)


class Reversible:
    def __init__(self, run, weight_bits, velocity_bits):
        self.run, self.bits = run, (weight_bits, velocity_bits)
        self.w = to_fixed(run.w0, weight_bits)
        self.v, self.x = np.zeros_like(self.w), np.zeros_like(self.w)
        self.bound, self.spills = 0, []

    def views(self):
        return to_float(self.w, self.bits[0]), to_float(self.v, self.bits[1])

    def see(self, t, w, v):
        pass

    def finish(self, w):
        pass

    def each(self, t):
        for place, _, by in self.run.schedule.each(t):
            yield place, Turn(*by, *self.bits)

    def step(self, t, g):
        while self.bound >= 2**21:
            self.spills.append((t, self.x & 255))
            self.x, self.bound = self.x >> 8, self.bound >> 8
        bound = 0
        for i, turn in self.each(t):
            self.w[i], self.v[i], self.x[i] = turn.step(g[i], self.w[i], self.v[i], self.x[i])
            bound = max(bound, grown(turn.n, turn.d, self.bound))
        self.bound = bound
        return self.views()

    def recall(self, t):
        for i, turn in self.each(t):
            self.w[i] -= turn.motion(self.v[i])
        _, g, _ = self.run.gradient(t, self.views()[0])
        for i, turn in self.each(t):
            self.v[i], self.x[i] = turn.undo_kick(g[i], self.v[i], self.x[i])
        while self.spills and self.spills[-1][0] == t:
            self.x = self.x << 8 | self.spills.pop()[1]
        return self.views()


class Run:
    """A training and its hypergradient. `batches` is (seed, examples, size)."""

    def __init__(self, A, objective, h, steps, batches, w0, schedule):
        self.A, self.objective, self.h, self.steps, self.w0 = A, objective, h, steps, w0
        self.schedule = schedule
        self.batches = [batch_of(*batches, t) for t in range(steps)]

    def gradient(self, t, w):
        return self.objective.gradient(self.A, w, self.h, self.batches[t])

    def hypergradient(self, path, valid):
        """Losses, w_T, the validation loss, d_rates, d_momenta, d_h and d_w0."""
        A, w, v, losses = self.A, self.w0.copy(), np.zeros_like(self.w0), []
        own_steps = isinstance(path, Reversible)
        if own_steps:
            w, _ = path.views()
        for t in range(self.steps):
            path.see(t, w, v)
            loss, g, _ = self.gradient(t, w)
            losses.append(loss)
            if own_steps:
                w, v = path.step(t, g)
                continue
            for i, _, by in self.schedule.each(t):
                v[i], w[i] = momentum_step(A, by, g[i], v[i], w[i])
        path.finish(w)
        w_T = w.copy()

        def taken(by):
            """The rate and the momentum of the step that was taken."""
            if not own_steps:
                return by
            n, d = ratio_of(float(by[1]))
            return by[0], f32(n / d)

        valid_loss, d_w, d_h = self.objective.gradient(A, w, self.h, valid, on=False)
        d_rates, d_momenta = (np.zeros_like(table) for table in self.schedule.tables)
        d_v, d_g = np.zeros_like(w), np.zeros_like(w)
        for t in reversed(range(self.steps)):
            for i, (place, _), _ in self.schedule.each(t):
                d_rates[place] += dot(A, d_w[i], v[i])
            w, v = path.recall(t)
            for i, _, by in self.schedule.each(t):
                d_v[i], d_g[i] = momentum_adjoint(A, taken(by), d_w[i], d_v[i])
            g, d_w, d_h = self.objective.second_order(A, w, self.h, self.batches[t], d_g, d_w, d_h)
            for i, (_, place), by in self.schedule.each(t):
                both = dot(A, d_g[i], v[i]) + dot(A, d_g[i], g[i])
                d_momenta[place] += both / (taken(by)[1] - 1)
        return np.array(losses, f32), w_T, valid_loss, d_rates, d_momenta, d_h, d_w
