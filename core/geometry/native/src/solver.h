// The homogeneous DLT as a shifted 3x3 system, and its adjoint.
//
// With M = [[N, -b], [-b^T, c]] the sum of the rows' outer products, the point Y minimises (Y, 1)^T M (Y, 1) over
// q(Y) = |Y + offset|^2 + unit, so that (N - l) Y = b + l offset for the smallest l with
// f(l) = c - b.Y - l (offset.Y + |offset|^2 + unit) = 0.
// The quartic det(N - l) f(l) has real roots only: Newton's steps from 0 climb to the smallest one and never cross it.
// Their length needs no coefficients: 1 / (q / f + trace((N - l)^-1)).

#pragma once

#include <limits>

#include "lanes.h"
#include "rig.h"

namespace ablate {

constexpr int MAX_NEWTON_STEPS = 12;

// How far a precision is trusted.
template <class T>
struct Limits;
template <>
struct Limits<float> {
    // det(N - l) / trace(N)^3 below which a point is solved again in float64. Two cameras reach it 24 degrees apart.
    static constexpr float min_determinant = 5e-3f;
    // Newton ends when the next step would move the point by about this squared, relative to its distance.
    static constexpr float last_step = 3e-4f;
};
template <>
struct Limits<double> {
    static constexpr double min_determinant = 1e-6;
    static constexpr double last_step = 1e-8;
};

// A symmetric 3x3 matrix: xx, xy, xz, yy, yz, zz.
template <class T>
struct Symmetric {
    Lanes<T> at[6];

    void times(const Lanes<T> v[3], Lanes<T> result[3]) const {
        result[0] = at[0] * v[0] + at[1] * v[1] + at[2] * v[2];
        result[1] = at[1] * v[0] + at[3] * v[1] + at[4] * v[2];
        result[2] = at[2] * v[0] + at[4] * v[1] + at[5] * v[2];
    }

    // The inverse; gives the determinant, and whether the leading minors tell that the matrix is positive definite.
    Symmetric inverse(Lanes<T>& determinant, Mask<T>& is_positive) const {
        Symmetric result;
        result.at[0] = at[3] * at[5] - at[4] * at[4];
        result.at[1] = at[2] * at[4] - at[1] * at[5];
        result.at[2] = at[1] * at[4] - at[2] * at[3];
        result.at[3] = at[0] * at[5] - at[2] * at[2];
        result.at[4] = at[1] * at[2] - at[0] * at[4];
        result.at[5] = at[0] * at[3] - at[1] * at[1];
        determinant = at[0] * result.at[0] + at[1] * result.at[1] + at[2] * result.at[2];
        is_positive = (at[0] > 0) & (result.at[5] > 0) & (determinant > 0);
        const Lanes<T> factor = T(1) / determinant;
        for (Lanes<T>& entry : result.at) entry *= factor;
        return result;
    }
};

// The sum of r r^T over rows, per point.
template <class T>
struct System {
    Symmetric<T> n{};
    Lanes<T> b[3]{};
    Lanes<T> c{};

    // Add the two rows of a detection, times a weight.
    void add(const View<T>& view, Lanes<T> x, Lanes<T> y, Lanes<T> weight) {
        const Lanes<T> pixel[2] = {x - view.origin[0], y - view.origin[1]};
        for (int i = 0; i < 2; ++i) {
            Lanes<T> row[4];
            for (int j = 0; j < 4; ++j) row[j] = weight * (pixel[i] * view.depth[j] - view.image[i][j]);
            n.at[0] += row[0] * row[0];
            n.at[1] += row[0] * row[1];
            n.at[2] += row[0] * row[2];
            n.at[3] += row[1] * row[1];
            n.at[4] += row[1] * row[2];
            n.at[5] += row[2] * row[2];
            for (int j = 0; j < 3; ++j) b[j] -= row[j] * row[3];
            c += row[3] * row[3];
        }
    }

    void set_lane(int lane, const OneSystem& one) {
        for (int i = 0; i < 6; ++i) n.at[i][lane] = one.n[i];
        for (int i = 0; i < 3; ++i) b[i][lane] = one.b[i];
        c[lane] = one.c;
    }

    OneSystem lane(int lane) const {
        OneSystem one;
        for (int i = 0; i < 6; ++i) one.n[i] = n.at[i][lane];
        for (int i = 0; i < 3; ++i) one.b[i] = b[i][lane];
        one.c = c[lane];
        return one;
    }

    void add(const System& other, Lanes<T> factor) {
        for (int i = 0; i < 6; ++i) n.at[i] += factor * other.n.at[i];
        for (int i = 0; i < 3; ++i) b[i] += factor * other.b[i];
        c += factor * other.c;
    }
};

// A point of the scene's frame and the inverse of N - l there, which is what the adjoint needs.
template <class T>
struct Solution {
    Lanes<T> y[3];
    Symmetric<T> inverse;

    Point lane(int lane) const {
        Point point;
        for (int i = 0; i < 3; ++i) point.y[i] = y[i][lane];
        for (int i = 0; i < 6; ++i) point.inverse[i] = inverse.at[i][lane];
        return point;
    }
    void set_lane(int lane, const Point& point) {
        for (int i = 0; i < 3; ++i) y[i][lane] = T(point.y[i]);
        for (int i = 0; i < 6; ++i) inverse.at[i][lane] = T(point.inverse[i]);
    }
    // NaN where there is no point.
    void lose(Mask<T> is_lost) {
        for (Lanes<T>& entry : y) entry = is_lost ? splat(std::numeric_limits<T>::quiet_NaN()) : entry;
    }
};

// The metric with numbers of type T. `is_raw` is known to the compiler, so that the scene metric costs nothing.
template <class T, bool is_raw>
struct Norm {
    T offset[3];
    T unit;

    explicit Norm(const Metric& metric) {
        for (int i = 0; i < 3; ++i) offset[i] = T(metric.offset[i]);
        unit = T(metric.unit);
    }

    Lanes<T> squared(const Lanes<T> y[3]) const {
        if constexpr (!is_raw) return y[0] * y[0] + y[1] * y[1] + y[2] * y[2] + T(1);
        Lanes<T> sum = splat(unit);
        for (int i = 0; i < 3; ++i) sum += (y[i] + offset[i]) * (y[i] + offset[i]);
        return sum;
    }

    // The last row of the metric's matrix times (Y, 1).
    Lanes<T> last_row(const Lanes<T> y[3]) const {
        if constexpr (!is_raw) return splat(T(1));
        Lanes<T> sum = splat(unit);
        for (int i = 0; i < 3; ++i) sum += (y[i] + offset[i]) * offset[i];
        return sum;
    }
};

// Solve for the points in `wanted`; gives where the result is certain: where Newton has come to rest and N - l is
// positive definite by a margin. f falls up to its first pole, so that its root there is the only one.
template <class T, bool is_raw>
inline Mask<T> solve(const System<T>& system, const Norm<T, is_raw>& norm, T min_determinant, Mask<T> wanted,
                     Solution<T>& solution) {
    const Lanes<T> trace = system.n.at[0] + system.n.at[3] + system.n.at[5];
    Lanes<T> shift{}, determinant;
    Mask<T> is_positive, is_moving = wanted;
    const auto at_shift = [&] {
        Symmetric<T> shifted = system.n;
        for (int i : {0, 3, 5}) shifted.at[i] -= shift;
        solution.inverse = shifted.inverse(determinant, is_positive);
        Lanes<T> right[3];
        for (int i = 0; i < 3; ++i) right[i] = is_raw ? system.b[i] + shift * norm.offset[i] : system.b[i];
        solution.inverse.times(right, solution.y);
    };
    for (int step = 0; step < MAX_NEWTON_STEPS && any(is_moving); ++step) {
        at_shift();
        const Lanes<T>* y = solution.y;
        const Lanes<T> f =
            system.c - (system.b[0] * y[0] + system.b[1] * y[1] + system.b[2] * y[2]) - shift * norm.last_row(y);
        const Lanes<T> stretch = solution.inverse.at[0] + solution.inverse.at[3] + solution.inverse.at[5];
        // f / (q + f stretch) is the step, and never negative but for rounding.
        const Lanes<T> length = larger(f / (norm.squared(y) + f * stretch), Lanes<T>{});
        shift += is_moving ? length : Lanes<T>{};
        is_moving &= length * stretch > Limits<T>::last_step;
    }
    at_shift();
    return wanted & ~is_moving & is_positive & (determinant > min_determinant * trace * trace * trace);
}

// The derivative of Y by the rows, transposed: for a gradient with respect to Y the change of a row r pulls with
// -((r.z) v + (r.v) z), where z = (Y, 1).
template <class T, bool is_raw>
inline void adjoint(const Solution<T>& at, const Norm<T, is_raw>& norm, const Lanes<T> gradient[3], Lanes<T> v[4]) {
    at.inverse.times(gradient, v);
    Lanes<T> along{};
    for (int i = 0; i < 3; ++i) along += v[i] * (is_raw ? at.y[i] + norm.offset[i] : at.y[i]);
    along /= norm.squared(at.y);
    for (int i = 0; i < 3; ++i) v[i] -= along * at.y[i];
    v[3] = -along;
}

// Gradients of one detection and its weight, added to what is there.
template <class T>
inline void pull_back(const View<T>& view, Lanes<T> x, Lanes<T> y, Lanes<T> weight, const Lanes<T> point[3],
                      const Lanes<T> v[4], Lanes<T> to_pixel[2], Lanes<T>& to_weight) {
    const auto dot = [](const T row[4], const Lanes<T>* a, Lanes<T> last) {
        return row[0] * a[0] + row[1] * a[1] + row[2] * a[2] + row[3] * last;
    };
    const Lanes<T> one = splat(T(1)), pixel[2] = {x - view.origin[0], y - view.origin[1]};
    const Lanes<T> depth_z = dot(view.depth, point, one), depth_v = dot(view.depth, v, v[3]);
    for (int i = 0; i < 2; ++i) {
        const Lanes<T> row_z = pixel[i] * depth_z - dot(view.image[i], point, one);
        const Lanes<T> row_v = pixel[i] * depth_v - dot(view.image[i], v, v[3]);
        to_pixel[i] -= weight * weight * (row_z * depth_v + row_v * depth_z);
        to_weight -= 2 * weight * row_z * row_v;
    }
}

}  // namespace ablate
