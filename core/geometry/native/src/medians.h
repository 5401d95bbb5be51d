// The geometric median of points, and the median of a masked set of numbers; one problem per lane.

#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "solver.h"

namespace ablate {

// Batcher's merge exchange: the comparisons that sort `count` numbers, whatever they are.
class SortingNetwork {
  public:
    explicit SortingNetwork(int count) {
        for (int p = 1; p < count; p *= 2)
            for (int k = p; k >= 1; k /= 2)
                for (int j = k % p; j + k < count; j += 2 * k)
                    for (int i = 0; i < k && i + j + k < count; ++i)
                        if ((i + j) / (2 * p) == (i + j + k) / (2 * p)) exchanges_.emplace_back(i + j, i + j + k);
    }

    template <class T>
    void sort(Lanes<T>* values) const {
        for (const auto& [low, high] : exchanges_) {
            const Lanes<T> a = values[low], b = values[high];
            values[low] = smaller(a, b);
            values[high] = larger(a, b);
        }
    }

  private:
    std::vector<std::pair<std::int16_t, std::int16_t>> exchanges_;
};

// The two middle values of the valid ones, which come first in sorted order; the same one twice for an odd count.
template <class T>
struct Middle {
    Lanes<T> lower{}, upper{};

    Middle() = default;
    Middle(const Lanes<T>* sorted, int size, Mask<T> num_valid) {
        for (int i = 0; i < size; ++i) {
            lower = (num_valid - 1) / 2 == i ? sorted[i] : lower;
            upper = num_valid / 2 == i ? sorted[i] : upper;
        }
    }
};

// The sum of distances around a place, as `core.geometry.median` has it: distances are sqrt(d^2 + smoothing^2).
template <class T>
struct Expansion {
    Lanes<T> cost{}, stiffness{}, pull[3]{};
    Symmetric<T> hessian{};

    Expansion(const Lanes<T> centre[3], const Lanes<T>* points, const Mask<T>* valid, int count, T smoothing) {
        for (int p = 0; p < count; ++p) {
            Lanes<T> d[3], square = splat(smoothing * smoothing);
            for (int i = 0; i < 3; ++i) {
                d[i] = points[3 * p + i] - centre[i];
                square += d[i] * d[i];
            }
            const Lanes<T> inverse = valid[p] ? inverse_sqrt(square) : Lanes<T>{};
            const Lanes<T> cube = inverse * inverse * inverse;
            cost += square * inverse;
            stiffness += inverse;
            for (int i = 0; i < 3; ++i) pull[i] += inverse * d[i];
            for (int i = 0, entry = 0; i < 3; ++i)
                for (int j = i; j < 3; ++j) hessian.at[entry++] -= cube * d[i] * d[j];
        }
        stiffness = stiffness > 0 ? stiffness : splat(T(1));
        // Not quite singular for points on a line.
        constexpr T margin = sizeof(T) == 4 ? T(1e-6) : T(1e-9);
        for (int i : {0, 3, 5}) hessian.at[i] += stiffness * (1 + margin);
    }
};

template <class T>
struct MedianSettings {
    T tolerance;
    T smoothing;
    int max_steps;
};

// Minimise the sum of distances to the valid points, from `centre` on. Newton's step is tried, then shorter and shorter
// ones, then Weiszfeld's, which never climbs; a step is taken where the sum does not grow. A lane is done when Newton's
// step is short: Weiszfeld's also is where the minimum lies almost on a point, and still far.
template <class T>
void geometric_median(Lanes<T> centre[3], const Lanes<T>* points, const Mask<T>* valid, int count,
                      const MedianSettings<T>& settings) {
    // Sums of distances that differ by less are equal but for rounding.
    constexpr T slack = sizeof(T) == 4 ? T(1e-6) : T(1e-12);
    constexpr T shortest = T(0.01);
    Expansion<T> here(centre, points, valid, count, settings.smoothing);
    Lanes<T> length = splat(T(1));
    Mask<T> is_moving = length > 0;
    for (int step = 0; step < settings.max_steps; ++step) {
        Lanes<T> newton[3], moved[3], determinant;
        Mask<T> is_positive;
        here.hessian.inverse(determinant, is_positive).times(here.pull, newton);
        const Lanes<T> distance = newton[0] * newton[0] + newton[1] * newton[1] + newton[2] * newton[2];
        is_moving &= ~(distance <= settings.tolerance * settings.tolerance);
        if (!any(is_moving)) break;
        const Mask<T> is_newton = (length > shortest) & is_positive;
        for (int i = 0; i < 3; ++i) {
            const Lanes<T> change = is_newton ? length * newton[i] : here.pull[i] / here.stiffness;
            moved[i] = is_moving ? centre[i] + change : centre[i];
        }
        const Expansion<T> there(moved, points, valid, count, settings.smoothing);
        const Mask<T> is_taken = is_moving & (~is_newton | (there.cost <= here.cost * (1 + slack)));
        for (int i = 0; i < 3; ++i) {
            centre[i] = is_taken ? moved[i] : centre[i];
            here.pull[i] = is_taken ? there.pull[i] : here.pull[i];
        }
        for (int i = 0; i < 6; ++i) here.hessian.at[i] = is_taken ? there.hessian.at[i] : here.hessian.at[i];
        here.cost = is_taken ? there.cost : here.cost;
        here.stiffness = is_taken ? there.stiffness : here.stiffness;
        length = is_taken ? splat(T(1)) : length / 4;
    }
}

}  // namespace ablate
