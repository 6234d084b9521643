// A tanh network with softmax loss, its gradient and its R-operator (models/mlp.rs, which has the mathematics
// and the order of arithmetic; models/output_loss.rs; models/learned.rs).
//
// A piece of a batch lies in the replica's scratch: which examples (`example`), which images (`image`), and,
// where images are lists of the pixels that are not black, those lists once more by pixel, which the sums over
// the batch go through: list `i` has the examples in which pixel `i` is not black, ascending, with its byte.
#pragma once
#include "groups.cuh"
#include "math.cuh"
#include "matmul.cuh"

struct Layer {
    u32 inputs, outputs;
    u32 start;   // its first weight
    u32 before;  // the sum of the widths before its inputs
};

struct Network {
    const Layer* layers;
    u32 depth, microbatch, weights, units;
    __device__ u32 inputs() const { return layers[0].inputs; }
    __device__ u32 classes() const { return layers[depth - 1].outputs; }
};

// All images of a file, and a chosen set of them.
struct Images {
    const u8* pixels;   // of all images, in full; null where there are features
    const float* features;
    const u8* labels;
    const u32* chosen;
    const u32* starts;  // lists, image i from starts[i] to starts[i + 1]; null where there are none
    const u16* indices;
    const u8* bytes;
    u32 count;
    float mean;
};

// What of the examples is a hyperparameter.
enum Tuned : u32 { NOTHING, WEIGHTS, INPUTS };

struct Scratch {
    u32 *example, *image;     // microbatch
    u32 *counts, *lists;      // inputs, inputs x microbatch: (example << 8) | byte
    float* a;                 // microbatch x units: inputs (where they are not lists), then each layer's outputs
    float* r_a;               // microbatch x (units - inputs): the tangents of the outputs
    float *d, *d_before;      // 2 x microbatch x widest: adjoints, then their tangents
    float *log_sums, *losses, *shares, *pulled;  // microbatch
    float *shifted, *r_shifted;                  // what the products of the first layer begin with
    float *sums;              // of a layer's r_d
    float *w, *u, *h_u, *g;   // weights: of scaled weights
    float *dropped;           // weights: what is dropped where the curvature is negative
    float *penalties;         // a sum for each penalty
    // Of batches of more than a block: what the present block adds to a gradient, to `H d` and to the derivatives by
    // what is tuned of the examples, and what the sums so far lack.
    float *block_g, *rest_g, *block_h_d, *rest_h_d, *block_d_h, *rest_d_h;
};

// Examples as one loss sees them.
struct Examples {
    Images images;
    u32 tuned;
    u32 hypers;  // how many numbers of h are theirs, or lie beside them
    __device__ bool lists() const { return images.starts != nullptr && tuned != INPUTS; }
    __device__ u32 label(u32 example) const { return images.labels[images.chosen[example]]; }
};

// Examples whose terms are added one after another (models/blocks.rs).
constexpr u32 BLOCK = 1024;

// A piece of a batch: n examples, which are divided by the number of the whole batch. It is the first of a block or
// not, and the last of a batch that is one block or not.
struct Piece {
    u32 n;
    float share;
    bool first, last;
};

// A vector that the examples of a batch are summed into, where these are more than a block (models/blocks.rs);
// otherwise the total is all that there is of it.
struct Sum {
    float *total, *block, *rest;
    u32 n;
    bool blocks;

    __device__ Sum(float* total, float* block, float* rest, u32 n, bool blocks)
        : total(total), block(block), rest(rest), n(total ? n : 0), blocks(blocks) {}

    __device__ float* here() const { return blocks && total ? block : total; }
    // Not followed by a barrier.
    __device__ void open(const Team& team) const {
        if (!blocks) return;
        team.each(n, [&](u32 i) { block[i] = rest[i] = 0.0f; });
    }
    // Ends a block. Not followed by a barrier.
    __device__ void close(const Team& team) const {
        if (!blocks) return;
        team.each(n, [&](u32 i) {
            Total sum = {total[i], rest[i]};
            sum.add(block[i]);
            total[i] = sum.sum, rest[i] = sum.rest, block[i] = 0.0f;
        });
    }
    // Ends the sum. Not followed by a barrier.
    __device__ void finish(const Team& team) const {
        if (!blocks) return;
        team.each(n, [&](u32 i) { total[i] = total[i] + rest[i]; });
    }
};

constexpr float UNIT = 1.0f / 255.0f;

// Lists the piece's pixels, or gathers its inputs; followed by a barrier. The first layer's products begin with
// `shifted` of `w`, and with `r_shifted` of `r_w` where there is one.
CALLED void take_piece(Team& team, const Network& net, const Examples& examples, const Scratch& s,
                                  const Piece& piece, const float* w, const float* r_w, const float* h) {
    const Images& images = examples.images;
    u32 inputs = net.inputs(), outputs = net.layers[0].outputs, n = piece.n;
    if (!examples.lists()) {
        team.each(n * inputs, [&](u32 x) {
            u32 e = x / inputs, i = x % inputs;
            u64 of_image = (u64)s.image[e] * inputs + i;
            s.a[x] = examples.tuned == INPUTS ? h[(u64)s.example[e] * inputs + i]
                     : images.features        ? images.features[of_image]
                                              : mul_add((float)images.pixels[of_image], UNIT, -images.mean);
        });
        team.sync();
        return;
    }
    // The few long sums first: whoever has none goes on to the lists.
    u32 sums = r_w ? 2 * outputs : outputs;
    team.each(sums + inputs, [&](u32 x) {
        if (x < sums) {
            const float* of = x < outputs ? w : r_w;
            u32 j = x < outputs ? x : x - outputs;
            float sum = 0.0f;
#pragma unroll 8
            for (u32 i = 0; i < inputs; i += 1) sum = sum + of[i * outputs + j];
            (x < outputs ? s.shifted : s.r_shifted)[j] = mul_add(-images.mean, sum, of[inputs * outputs + j]);
            return;
        }
        u32 i = x - sums, count = 0;
        for (u32 e = 0; e < n; e += 1) {
            u32 byte = images.pixels[(u64)s.image[e] * inputs + i];
            if (byte != 0) {
                s.lists[(u64)i * net.microbatch + count] = e << 8 | byte;
                count += 1;
            }
        }
        s.counts[i] = count;
    });
    team.sync();
}

// put(e, j, z_ej) for z = x W + b of the first layer on lists. Not followed by a barrier.
template <class Put>
__device__ __forceinline__ void lists_product(const Team& team, const Network& net, const Images& images,
                                              const Scratch& s, u32 n, const float* w, const float* start, Put put) {
    u32 outputs = net.layers[0].outputs;
    team.each(n * outputs, [&](u32 x) {
        u32 e = x / outputs, j = x % outputs, image = s.image[e];
        float sum = start[j];
        u32 end = images.starts[image + 1];
#pragma unroll 4
        for (u32 k = images.starts[image]; k < end; k += 1) {
            float value = (float)images.bytes[k] * UNIT;
            sum = mul_add(value, w[(u32)images.indices[k] * outputs + j], sum);
        }
        put(e, j, sum);
    });
}

// g += p' d of the first layer on lists, and where `mean` is not 0 less mean times `sums`; begins with 0 where
// `fresh`. Not followed by a barrier.
__device__ __forceinline__ void lists_outer(const Team& team, const Network& net, const Scratch& s, const float* d,
                                            float* g, bool fresh, float mean, const float* sums) {
    u32 outputs = net.layers[0].outputs;
    team.each(net.inputs() * outputs, [&](u32 x) {
        u32 i = x / outputs, j = x % outputs;
        float sum = fresh ? 0.0f : g[x];
        u32 count = s.counts[i];
        const u32* list = s.lists + (u64)i * net.microbatch;
        for (u32 k = 0; k < count; k += 1) {
            u32 entry = list[k];
            sum = mul_add((float)(entry & 255u) * UNIT, d[(entry >> 8) * outputs + j], sum);
        }
        g[x] = sums ? mul_add(-mean, sums[j], sum) : sum;
    });
}

// The sums over the batch of a layer's adjoints, added to `g` or to 0. Not followed by a barrier.
__device__ __forceinline__ void add_rows(const Team& team, u32 n, u32 columns, const float* d, const float* from,
                                         float* g) {
    team.each(columns, [&](u32 j) {
        float sum = from ? from[j] : 0.0f;
#pragma unroll 4
        for (u32 e = 0; e < n; e += 1) sum = sum + d[e * columns + j];
        g[j] = sum;
    });
}

__device__ __forceinline__ float* activations(const Scratch& s, u32 n, u32 before) { return s.a + (u64)n * before; }

// Takes the greatest off the logits and writes their probabilities; returns ln sum exp z.
__device__ __forceinline__ float softmax_row(float* z, float* p, u32 classes) {
    float top = z[0], sum = 0.0f, others = 0.0f;
    bool found = false;
    for (u32 k = 0; k < classes; k += 1) top = z[k] > top ? z[k] : top;
    for (u32 k = 0; k < classes; k += 1) {
        z[k] = z[k] - top;
        p[k] = exp_of(z[k]);
        sum = sum + p[k];
        if (found || z[k] < 0.0f) {
            others = others + p[k];
        } else {
            found = true;
        }
    }
    for (u32 k = 0; k < classes; k += 1) p[k] = p[k] / sum;
    return ln_1p_of(others);
}

// The mean of the logits' tangents under the probabilities.
__device__ __forceinline__ float softmax_mean(const float* p, const float* r_z, u32 classes) {
    float mean = 0.0f;
    for (u32 k = 0; k < classes; k += 1) mean = mul_add(p[k], r_z[k], mean);
    return mean;
}

// From the tangents of the logits to those of the probabilities.
__device__ __forceinline__ void softmax_row_r(const float* p, const float* r_z, u32 classes, float* r_p) {
    float mean = softmax_mean(p, r_z, classes);
    for (u32 k = 0; k < classes; k += 1) r_p[k] = p[k] * (r_z[k] - mean);
}

// Fills the activations of a piece, and what a softmax makes of them; `s.d` has the logits less the greatest. An
// example's softmax is not followed by a barrier: the thread that goes on with it is its own.
CALLED void forward(Team& team, const Network& net, const Examples& examples, const Scratch& s,
                               const Piece& piece, const float* w) {
    u32 n = piece.n;
    for (u32 l = 0; l < net.depth; l += 1) {
        Layer layer = net.layers[l];
        const float *x = activations(s, n, layer.before), *biases = w + layer.start + layer.inputs * layer.outputs;
        float* z = activations(s, n, layer.before + layer.inputs);
        bool last = l + 1 == net.depth;
        auto put = [&](u32 e, u32 j, float sum) {
            // The last layer's place is that of the probabilities.
            (last ? s.d : z)[e * layer.outputs + j] = last ? sum : tanh_of(sum);
        };
        if (l == 0 && examples.lists()) {
            lists_product(team, net, examples.images, s, n, w, s.shifted, put);
        } else {
            Operands operands = {x, w + layer.start};
            product<NN>(team, {n, layer.inputs, layer.outputs}, &operands, 1,
                        [&](u32, u32 j) { return biases[j]; }, put);
        }
        team.sync();
    }
    u32 classes = net.classes();
    float* p_all = activations(s, n, net.units - classes);
    team.each(n, [&](u32 e) {
        s.log_sums[e] = softmax_row(s.d + e * classes, p_all + e * classes, classes);
    });
}

__device__ __forceinline__ float target(u32 label, u32 k) { return k == label ? 1.0f : 0.0f; }

// sum_k q_k (s - z_k).
__device__ __forceinline__ float unweighted(float log_sum, const float* z, u32 label, u32 classes) {
    float sum = 0.0f;
    for (u32 k = 0; k < classes; k += 1) sum = mul_add(target(label, k), log_sum - z[k], sum);
    return sum;
}

// Each example's loss, from the logits in `s.d`. Not followed by a barrier.
__device__ inline void losses(const Team& team, const Network& net, const Examples& examples, const Scratch& s, u32 n,
                              const float* h) {
    u32 classes = net.classes();
    team.each(n, [&](u32 e) {
        const float* z = s.d + e * classes;
        u32 label = examples.label(s.example[e]);
        s.losses[e] = examples.tuned == WEIGHTS
                          ? h[s.example[e]] * unweighted(s.log_sums[e], z, label, classes)
                          : s.log_sums[e] - z[label];
    });
}

// Puts the adjoint of the logits in their place, and into `s.pulled` the derivative by an example's weight. The
// thread of an example is that of its softmax. Not followed by a barrier.
__device__ inline void logits(const Team& team, const Network& net, const Examples& examples, const Scratch& s,
                              const Piece& piece, const float* h) {
    u32 classes = net.classes();
    const float* p_all = activations(s, piece.n, net.units - classes);
    team.each(piece.n, [&](u32 e) {
        float* d = s.d + e * classes;
        const float* p = p_all + e * classes;
        u32 label = examples.label(s.example[e]);
        if (examples.tuned != WEIGHTS) {
            for (u32 k = 0; k < classes; k += 1) d[k] = (k == label ? p[k] - 1.0f : p[k]) * piece.share;
            s.shares[e] = piece.share;
            return;
        }
        s.pulled[e] = piece.share * unweighted(s.log_sums[e], d, label, classes);
        float weight = h[s.example[e]] * piece.share, sum = 0.0f;
        for (u32 k = 0; k < classes; k += 1) sum = sum + target(label, k);
        for (u32 k = 0; k < classes; k += 1) d[k] = weight * mul_add(sum, p[k], -target(label, k));
        s.shares[e] = weight * sum;
    });
}

// The derivatives by weights of examples, in the order of the batch. An example may stand in it twice.
__device__ inline void pull_weights(const Team& team, const Scratch& s, u32 n, float* d_h) {
    if (!team.leads()) return;
    for (u32 e = 0; e < n; e += 1) {
        u32 i = s.example[e];
        d_h[i] = mul_add(s.pulled[e], 1.0f, d_h[i]);
    }
}

// The derivatives by inputs, likewise: each pixel by one thread. Not followed by a barrier.
__device__ inline void pull_inputs(const Team& team, const Network& net, const Scratch& s, u32 n, const float* d_x,
                                   float* d_h) {
    u32 inputs = net.inputs();
    team.each(inputs, [&](u32 i) {
        for (u32 e = 0; e < n; e += 1) {
            float* sum = d_h + (u64)s.example[e] * inputs + i;
            *sum = *sum + d_x[e * inputs + i];
        }
    });
}

// Adds the gradient of a piece by the weights to `g`, and where `d_h` is not null by what is tuned of the
// examples to it; adds the losses to `loss`, which is one thread's. Followed by a barrier.
CALLED void gradient_of_piece(Team& team, const Network& net, const Examples& examples, const Scratch& s,
                                         const Piece& piece, const float* w, const float* h, float* g, float* d_h,
                                         Total& loss) {
    u32 n = piece.n;
    take_piece(team, net, examples, s, piece, w, nullptr, h);
    forward(team, net, examples, s, piece, w);
    losses(team, net, examples, s, n, h);
    logits(team, net, examples, s, piece, h);
    team.sync();
    if (team.leads()) {
        for (u32 e = 0; e < n; e += 1) loss.add(s.losses[e]);
    }
    if (d_h && examples.tuned == WEIGHTS) pull_weights(team, s, n, d_h);
    float *d = s.d, *d_before = s.d_before;
    for (u32 l = net.depth; l-- > 0;) {
        Layer layer = net.layers[l];
        const float *a = activations(s, n, layer.before), *matrix = w + layer.start;
        float *g_matrix = g + layer.start, *g_biases = g_matrix + layer.inputs * layer.outputs;
        add_rows(team, n, layer.outputs, d, piece.first ? nullptr : g_biases, g_biases);
        if (l == 0 && examples.lists()) {
            // The mean's part takes the sums of the whole batch.
            if (piece.last) team.sync();
            lists_outer(team, net, s, d, g_matrix, piece.first, examples.images.mean,
                        piece.last ? g_biases : nullptr);
        } else {
            Operands operands = {a, d};
            product<TN>(team, {layer.inputs, n, layer.outputs}, &operands, 1,
                        [&](u32 i, u32 j) { return piece.first ? 0.0f : g_matrix[i * layer.outputs + j]; },
                        [&](u32 i, u32 j, float sum) { g_matrix[i * layer.outputs + j] = sum; });
        }
        bool by_inputs = l == 0 && d_h && examples.tuned == INPUTS;
        if (l > 0 || by_inputs) {
            Operands operands = {d, matrix};
            product<NT>(team, {n, layer.outputs, layer.inputs}, &operands, 1, [&](u32, u32) { return 0.0f; },
                        [&](u32 e, u32 i, float sum) {
                            u32 x = e * layer.inputs + i;
                            d_before[x] = l > 0 ? sum * tanh_slope(a[x]) : sum;
                        });
        }
        team.sync();
        if (by_inputs) {
            pull_inputs(team, net, s, n, d_before, d_h);
            team.sync();
        }
        float* swap = d;
        d = d_before;
        d_before = swap;
    }
}

// The mean's part of a gradient of several blocks, whose pieces leave it out. Not followed by a barrier.
__device__ inline void subtract_mean(const Team& team, const Network& net, const Examples& examples, float* g) {
    if (!examples.lists()) return;
    u32 outputs = net.layers[0].outputs, matrix = net.inputs() * outputs;
    team.each(matrix, [&](u32 x) { g[x] = mul_add(-examples.images.mean, g[matrix + x % outputs], g[x]); });
}

// The R-operator along `r_w` on a piece: adds `H r_w` to `h_d`, `M r_w` to `m_d`, and where `g` is not null the
// gradient to it. Followed by a barrier.
CALLED void products_of_piece(Team& team, const Network& net, const Examples& examples, const Scratch& s,
                                         const Piece& piece, const float* w, const float* h, const float* r_w,
                                         float* h_d, float* m_d, float* g) {
    u32 n = piece.n, inputs = net.inputs(), classes = net.classes();
    take_piece(team, net, examples, s, piece, w, r_w, h);
    forward(team, net, examples, s, piece, w);
    logits(team, net, examples, s, piece, h);
    for (u32 l = 0; l < net.depth; l += 1) {
        Layer layer = net.layers[l];
        const float *x = activations(s, n, layer.before), *y = activations(s, n, layer.before + layer.inputs);
        const float *matrix = w + layer.start, *r_matrix = r_w + layer.start;
        const float *r_biases = r_matrix + layer.inputs * layer.outputs;
        // The first layer's inputs have no tangents.
        const float* r_x = l > 0 ? s.r_a + (u64)n * (layer.before - inputs) : nullptr;
        float* r_z = s.r_a + (u64)n * (layer.before + layer.inputs - inputs);
        bool last = l + 1 == net.depth;
        auto put = [&](u32 e, u32 j, float sum) {
            u32 i = e * layer.outputs + j;
            r_z[i] = last ? sum : sum * tanh_slope(y[i]);
        };
        if (l == 0 && examples.lists()) {
            lists_product(team, net, examples.images, s, n, r_w, s.r_shifted, put);
        } else {
            Operands operands[2] = {{x, r_matrix}, {r_x, matrix}};
            product<NN>(team, {n, layer.inputs, layer.outputs}, operands, l > 0 ? 2 : 1,
                        [&](u32, u32 j) { return r_biases[j]; }, put);
        }
        team.sync();
    }
    // The tangents of the logits become those of their adjoints.
    const float* p_all = activations(s, n, net.units - classes);
    const float* r_z_all = s.r_a + (u64)n * (net.units - classes - inputs);
    float* r_d_all = s.d + (u64)n * classes;
    team.each(n, [&](u32 e) {
        const float *p = p_all + e * classes, *r_z = r_z_all + e * classes;
        float* r_d = r_d_all + e * classes;
        if (examples.tuned == WEIGHTS) {
            u32 label = examples.label(s.example[e]);
            s.pulled[e] = piece.share * unweighted(softmax_mean(p, r_z, classes), r_z, label, classes);
        }
        softmax_row_r(p, r_z, classes, r_d);
        for (u32 k = 0; k < classes; k += 1) r_d[k] = s.shares[e] * r_d[k];
    });
    team.sync();
    if (examples.tuned == WEIGHTS) pull_weights(team, s, n, m_d);
    float *both = s.d, *before = s.d_before;
    for (u32 l = net.depth; l-- > 0;) {
        Layer layer = net.layers[l];
        const float *a = activations(s, n, layer.before), *matrix = w + layer.start, *r_matrix = r_w + layer.start;
        const float* r_x = l > 0 ? s.r_a + (u64)n * (layer.before - inputs) : nullptr;
        const float *d = both, *r_d = both + (u64)n * layer.outputs;
        u32 of_biases = layer.start + layer.inputs * layer.outputs;
        float *h_matrix = h_d + layer.start, *h_biases = h_d + of_biases;
        bool lists = l == 0 && examples.lists();
        if (g) {
            float *g_matrix = g + layer.start, *g_biases = g + of_biases;
            add_rows(team, n, layer.outputs, d, piece.first ? nullptr : g_biases, g_biases);
            if (lists) {
                if (piece.last) team.sync();
                lists_outer(team, net, s, d, g_matrix, piece.first, examples.images.mean,
                            piece.last ? g_biases : nullptr);
            } else {
                Operands operands = {a, d};
                product<TN>(team, {layer.inputs, n, layer.outputs}, &operands, 1,
                            [&](u32 i, u32 j) { return piece.first ? 0.0f : g_matrix[i * layer.outputs + j]; },
                            [&](u32 i, u32 j, float sum) { g_matrix[i * layer.outputs + j] = sum; });
            }
        }
        add_rows(team, n, layer.outputs, r_d, h_biases, h_biases);
        if (lists) {
            // The mean's part of each piece has the sums of this piece alone.
            add_rows(team, n, layer.outputs, r_d, nullptr, s.sums);
            team.sync();
            lists_outer(team, net, s, r_d, h_matrix, false, examples.images.mean, s.sums);
        } else {
            Operands operands[2] = {{a, r_d}, {r_x, d}};
            product<TN>(team, {layer.inputs, n, layer.outputs}, operands, l > 0 ? 2 : 1,
                        [&](u32 i, u32 j) { return h_matrix[i * layer.outputs + j]; },
                        [&](u32 i, u32 j, float sum) { h_matrix[i * layer.outputs + j] = sum; });
        }
        bool by_inputs = l == 0 && examples.tuned == INPUTS;
        if (l > 0 || by_inputs) {
            float* r_before = before + (u64)n * layer.inputs;
            Shape shape = {n, layer.outputs, layer.inputs};
            Operands back = {d, matrix}, r_back[2] = {{r_d, matrix}, {d, r_matrix}};
            auto zero = [&](u32, u32) { return 0.0f; };
            product<NT>(team, shape, &back, 1, zero,
                        [&](u32 e, u32 i, float sum) { before[e * layer.inputs + i] = sum; });
            product<NT>(team, shape, r_back, 2, zero,
                        [&](u32 e, u32 i, float sum) { r_before[e * layer.inputs + i] = sum; });
            team.sync();
            if (by_inputs) {
                pull_inputs(team, net, s, n, r_before, m_d);
            } else {
                team.each(n * layer.inputs, [&](u32 x) {
                    float d = before[x];
                    r_before[x] = tanh_adjoint_r(a[x], r_x[x], d, r_before[x]);
                    before[x] = d * tanh_slope(a[x]);
                });
            }
        }
        team.sync();
        float* swap = both;
        both = before;
        before = swap;
    }
}
