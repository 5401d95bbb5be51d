// Points that the fast way is not certain of, solved again in float64, and singly where that does not settle it.

#pragma once

#include <limits>
#include <vector>

#include "jacobi.h"
#include "solver.h"

namespace ablate {

constexpr double NOT_A_NUMBER = std::numeric_limits<double>::quiet_NaN();
constexpr double INFINITE = std::numeric_limits<double>::infinity();

template <bool is_raw>
class SecondLook {
  public:
    explicit SecondLook(const Constants& constants) : constants_(constants) {}

    // Ask for the points of a mask; the lanes' numbers from `first_tag` on say which ones they are.
    template <class M>
    void ask(M wanted, int first_tag) {
        if (__builtin_expect(!any(wanted), 1)) return;
        for (int lane = 0; lane < int(sizeof wanted / sizeof wanted[0]); ++lane)
            if (wanted[lane]) tags_.push_back(first_tag + lane);
    }

    // Call `store(tag, point)` for each that exists; `make(tags, count)` gives the systems of as many as fit into
    // lanes of double. All share one metric.
    template <class Make, class Store>
    void answer(const Metric& metric, Make make, Store store) {
        const Norm<double, is_raw> norm(metric);
        for (std::size_t first = 0; first < tags_.size(); first += LANES<double>) {
            const int* tags = &tags_[first];
            const int count = int(std::min<std::size_t>(LANES<double>, tags_.size() - first));
            const System<double> systems = make(tags, count);
            Solution<double> solution;
            const Mask<double> is_certain =
                solve(systems, norm, Limits<double>::min_determinant, first_lanes<double>(count), solution);
            for (int lane = 0; lane < count; ++lane) {
                Point point = solution.lane(lane);
                if (is_certain[lane] || solve_one(systems.lane(lane), metric, constants_, point))
                    store(tags[lane], point);
            }
        }
        tags_.clear();
    }

  private:
    Constants constants_;
    std::vector<int> tags_;
};

}  // namespace ablate
