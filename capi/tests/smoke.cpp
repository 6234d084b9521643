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
    std::vector<size_t> widths{4, 5, 3};
    std::vector<float> features = std::vector<float>(30 * 4);
    std::vector<uint8_t> labels = std::vector<uint8_t>(30);
    std::vector<uint32_t> valid;
    std::vector<float> h;
    float rate = 0.3f, momentum = 0.9f, log_scale = -1.0f;
    drmad_run run{};

    explicit Tuning(int32_t arithmetic) {
        done(drmad_normal(11, 0.0f, 0, features.data(), features.size()));
        for (size_t i = 0; i < labels.size(); i++) {
            const float *x = &features[4 * i];
            labels[i] = static_cast<uint8_t>(x[0] > x[1] ? 0 : x[2] > x[3] ? 1 : 2);
        }
        for (uint32_t i = 20; i < 30; i++) valid.push_back(i);
        run.abi = DRMAD_ABI;
        run.arithmetic = arithmetic;
        run.widths = widths.data();
        run.widths_len = widths.size();
        run.features = features.data();
        run.labels = labels.data();
        run.examples = labels.size();
        run.train = 20;
        run.valid = valid.data();
        run.valid_len = valid.size();
        run.batch = 5;
        run.scale = {DRMAD_SHARE_UNIT, 0};
        run.l2 = 1e-3f;
        run.rates = &rate;
        run.momenta = &momentum;
        run.rates_len = run.momenta_len = 1;
        run.steps = 60;
        run.log_scales = &log_scale;
        run.log_scales_len = 1;
        drmad_size sizes{};
        done(drmad_sizes(&run, &sizes));
        h.assign(sizes.hypers, 1.0f);
        run.h = h.data();
        run.h_len = h.size();
    }

    std::vector<float> losses(int meta_steps) {
        std::vector<float> d_h(h.size()), m(h.size()), second(h.size()), all;
        drmad_method hats{};
        drmad_result results{};
        results.d_h = d_h.data();
        results.d_h_len = d_h.size();
        size_t words = 0;
        done(drmad_hypergradient_required_len(&run, &hats, &results, &words));
        std::vector<uint32_t> memory(words);
        drmad_outer adam{};
        adam.rate = 0.05f;
        const drmad_set positive{DRMAD_CONVEX_NON_NEGATIVE, 0, 0, 0};
        for (int step = 0; step < meta_steps; step++) {
            done(drmad_hypergradient(&run, &hats, memory.data(), memory.size(), &results));
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
