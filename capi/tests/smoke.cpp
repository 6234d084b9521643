// The interface from C++17: tunes the scale of each unit of a small network by Adam outside, on std::vector.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "drmad.h"

static void done(int32_t code) {
    if (code != DRMAD_ERROR_NONE) throw std::runtime_error(drmad_error_text(code));
}

static void expect(bool holds, const char *what) {
    if (!holds) throw std::runtime_error(what);
}

struct Tuning {
    static constexpr size_t INPUTS = 4, TRAIN = 20, EXAMPLES = 30;
    std::vector<drmad_layer> layers{{DRMAD_KIND_DENSE, 5}, {DRMAD_KIND_RELU, 0}, {DRMAD_KIND_DENSE, 3}};
    std::vector<drmad_tuned> tuned{{DRMAD_WHAT_SCALE, DRMAD_BY_UNIT, 0, DRMAD_PARAMETRISATION_NATURAL}};
    std::vector<float> features = std::vector<float>(EXAMPLES * INPUTS), h;
    std::vector<uint8_t> labels = std::vector<uint8_t>(EXAMPLES);
    drmad_method hats{};
    drmad_size sizes{};
    drmad_training training{};

    explicit Tuning(int32_t arithmetic) {
        done(drmad_normal(11, 0.0f, 0, features.data(), features.size()));
        for (size_t i = 0; i < labels.size(); i++) {
            const float *x = &features[INPUTS * i];
            labels[i] = static_cast<uint8_t>(x[0] > x[1] ? 0 : x[2] > x[3] ? 1 : 2);
        }
        training.abi = DRMAD_ABI;
        training.arithmetic = arithmetic;
        training.inputs = INPUTS;
        training.layers = layers.data();
        training.layers_len = layers.size();
        training.train.len = TRAIN;
        training.train.features = features.data();
        training.train.labels = labels.data();
        training.valid.len = EXAMPLES - TRAIN;
        training.valid.features = features.data() + TRAIN * INPUTS;
        training.valid.labels = labels.data() + TRAIN;
        training.tuned = tuned.data();
        training.tuned_len = tuned.size();
        training.l2 = 1e-3f;
        training.rate = 0.3f;
        training.momentum = 0.9f;
        training.log_scale = -1.0f;
        training.batch = 5;
        training.steps = 60;
        done(drmad_sizes(&training, &hats, &sizes));
        h.assign(sizes.hypers, 1.0f);
        training.h = h.data();
        training.h_len = h.size();
    }

    std::vector<float> losses(int meta_steps) {
        std::vector<float> d_h(h.size()), m(h.size()), second(h.size()), all;
        std::vector<uint32_t> memory(sizes.memory);
        drmad_result results{};
        results.d_h = d_h.data();
        results.d_h_len = d_h.size();
        drmad_outer adam{};
        adam.rate = 0.05f;
        const drmad_set positive{DRMAD_CONVEX_NON_NEGATIVE, 0, 0, 0};
        for (int step = 0; step < meta_steps; step++) {
            done(drmad_hypergradient(&training, &hats, memory.data(), memory.size(), &results));
            all.push_back(results.valid_loss);
            done(drmad_outer_adam(&adam, d_h.data(), m.data(), second.data(), h.data(), h.size()));
            done(drmad_project(&positive, h.data(), h.size()));
        }
        expect(adam.taken == static_cast<uint32_t>(meta_steps), "Adam counts its steps");
        return all;
    }
};

int main() try {
    for (int32_t arithmetic : {DRMAD_ROUNDING_PLAIN, DRMAD_ROUNDING_FUSED}) {
        const auto first = Tuning(arithmetic).losses(15), again = Tuning(arithmetic).losses(15);
        expect(first.size() == again.size() &&
                   std::memcmp(first.data(), again.data(), first.size() * sizeof(float)) == 0,
               "the same bits again");
        expect(first.back() < 0.9f * first.front(), "tuning lowers the validation loss");
        std::printf("validation loss %.4f, tuned %.4f\n", first.front(), first.back());
    }
    expect(drmad_sum(nullptr, 3, nullptr) == DRMAD_ERROR_NULL, "null is refused");
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "smoke.cpp: %s\n", error.what());
    return 1;
}
