// What one tile's views see, and what is kept of its points from the forward to the backward pass.

#pragma once

#include "batch.h"
#include "second_look.h"

namespace ablate {

// Numbers that the forward pass keeps for the backward pass: a point in the scene's frame and an inverse, planes of
// (frames, J).
constexpr int STATE = 9;

template <class T>
void store_state(T* state, std::int64_t stride, int count, const Solution<T>& solution) {
    for (int i = 0; i < 3; ++i) store_some(state + i * stride, count, solution.y[i]);
    for (int i = 0; i < 6; ++i) store_some(state + (3 + i) * stride, count, solution.inverse.at[i]);
}

template <class T>
Solution<T> load_state(const T* state, std::int64_t stride, int count) {
    Solution<T> solution;
    for (int i = 0; i < 3; ++i) solution.y[i] = load_some(state + i * stride, count);
    for (int i = 0; i < 6; ++i) solution.inverse.at[i] = load_some(state + (3 + i) * stride, count);
    return solution;
}

// From the scene's frame to the world. The centre comes in two parts, so that only the result is rounded to its grid.
template <class T>
struct ToWorld {
    T scale, centre[3], rest[3];

    explicit ToWorld(const Frame& frame) : scale(T(frame.scale)) {
        for (int i = 0; i < 3; ++i) {
            centre[i] = T(frame.centre[i]);
            rest[i] = T(frame.centre[i] - centre[i]);
        }
    }
    template <class Y>
    Y coordinate(int i, Y y) const {
        return (y * scale + rest[i]) + centre[i];
    }
};

template <class T>
void store_world(T* points, int count, const Solution<T>& solution, const Frame& frame) {
    const ToWorld<T> to_world(frame);
    Lanes<T> world[3];
    for (int i = 0; i < 3; ++i) world[i] = to_world.coordinate(i, solution.y[i]);
    store_vectors(points, count, world);
}

// A single point, which was not certain before.
template <class T>
void store_point(T* points, T* state, std::int64_t stride, const Point& point, const Frame& frame) {
    const ToWorld<T> to_world(frame);
    for (int i = 0; i < 3; ++i) points[i] = to_world.coordinate(i, T(point.y[i]));
    if (!state) return;
    for (int i = 0; i < 3; ++i) state[i * stride] = T(point.y[i]);
    for (int i = 0; i < 6; ++i) state[(3 + i) * stride] = T(point.inverse[i]);
}

// The parts of a batch that are worth a thread each: about 10^4 detections.
template <class T>
std::int64_t part_size(const Batch<T>& batch, std::int64_t cost) {
    const std::int64_t unit = std::min(TILE, batch.num_joints) * batch.num_views * cost;
    return std::max<std::int64_t>(1, (std::int64_t(1) << 14) / std::max<std::int64_t>(unit, 1));
}

// What the views see in one tile.
template <class T>
struct Detections {
    ByView<T> x, y, weight;

    explicit Detections(std::int64_t num_views) : x(num_views), y(num_views), weight(num_views) {}

    // `given` are weights, or whether views are visible; null: all are 1.
    template <class Given>
    void pack(const Batch<T>& batch, const Tile& tile, const Given* given) {
        pack_points(batch, tile, x, y);
        if (given)
            pack_weights(batch, tile, given, weight);
        else
            weight.fill(1);
    }

    // Put zeros where a detection or its weight is not finite, and in lanes that are not in use; scale the weights by a
    // power of two, to less than two, and leave its inverse in `factor`. Gives the lanes in use that lose no detection
    // of some weight by that.
    Mask<T> clean(int block, Mask<T> in_use, const std::vector<View<T>>& views, Lanes<T>& factor) {
        Mask<T> is_whole = in_use;
        Lanes<T> largest{};
        for (std::size_t v = 0; v < views.size(); ++v) {
            Lanes<T>&a = x.at(v)[block], &b = y.at(v)[block], &w = weight.at(v)[block];
            const Mask<T> has_rig = views[v].is_finite ? ~Mask<T>{} : Mask<T>{};
            const Mask<T> is_finite = has_rig & (probe(a) + probe(b) + probe(w) == 0);
            is_whole &= is_finite | (w == 0);
            a = is_finite ? a : Lanes<T>{};
            b = is_finite ? b : Lanes<T>{};
            w = is_finite & in_use ? w : Lanes<T>{};
            largest = larger(largest, magnitude<T>(w));
        }
        factor = T(1) / (largest > 0 ? power_of_two(largest) : splat(T(1)));
        for (std::size_t v = 0; v < views.size(); ++v) weight.at(v)[block] *= factor;
        return is_whole;
    }

    System<T> system(int block, const std::vector<View<T>>& views) {
        System<T> sum;
        for (std::size_t v = 0; v < views.size(); ++v)
            sum.add(views[v], x.at(v)[block], y.at(v)[block], weight.at(v)[block]);
        return sum;
    }

    // The same of single points of the tile, in float64.
    System<double> exact(const int* indices, int count, const std::vector<View<double>>& views) {
        System<double> sum;
        for (std::size_t v = 0; v < views.size(); ++v) {
            Lanes<double> a{}, b{}, w{};
            for (int i = 0; i < count; ++i) {
                a[i] = x.numbers(v)[indices[i]];
                b[i] = y.numbers(v)[indices[i]];
                w[i] = weight.numbers(v)[indices[i]];
            }
            sum.add(views[v], a, b, w);
        }
        return sum;
    }
};

// The gradient with respect to a point of the scene's frame, zero for lost points; z and v as in `adjoint`.
template <class T, bool is_raw>
Mask<T> start_adjoint(const T* gradient, int count, const Rig<T>& rig, Solution<T>& solution, Lanes<T> v[4]) {
    const Mask<T> is_found = (solution.y[0] == solution.y[0]) & first_lanes<T>(count);
    Lanes<T> to_point[3];
    load_vectors(gradient, count, to_point);
    for (int i = 0; i < 3; ++i) to_point[i] *= T(rig.frame.scale);
    adjoint(solution, Norm<T, is_raw>(rig.metric), to_point, v);
    for (int i = 0; i < 4; ++i) v[i] = is_found ? v[i] : Lanes<T>{};
    for (int i = 0; i < 3; ++i) solution.y[i] = is_found ? solution.y[i] : Lanes<T>{};
    return is_found;
}

// Gradients of a block's detections in one view, and of their scaled weights; z and v as in `adjoint`.
template <class T>
void pull_back_view(Detections<T>& seen, int block, std::int64_t view, const Rig<T>& rig, const Solution<T>& solution,
                    const Lanes<T> v[4], Lanes<T>& to_x, Lanes<T>& to_y, Lanes<T>& to_weight) {
    Lanes<T> to_pixel[2]{};
    to_weight = Lanes<T>{};
    pull_back(rig.views[view], seen.x.at(view)[block], seen.y.at(view)[block], seen.weight.at(view)[block], solution.y,
              v, to_pixel, to_weight);
    to_x = to_pixel[0];
    to_y = to_pixel[1];
}

}  // namespace ablate
