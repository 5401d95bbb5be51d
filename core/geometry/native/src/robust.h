// The robust triangulation of a batch (Roy et al. 2022, Eq. 4 to 6), forward and backward.

#pragma once

#include "agreement.h"
#include "detections.h"

namespace ablate {

// What the forward pass gives besides points: all are (frames, J), the weights (frames, V, J).
template <class T>
struct RobustResult {
    T* points;
    T* weights;
    T* wss_mm;
    std::uint8_t* kept;
    T* state;
};

// One block's views, weighted by agreement.
template <class T>
class Ballot {
  public:
    Ballot(std::int64_t num_views, const RobustSettings& settings, const Constants& constants)
        : settings_(settings),
          agreement_(int(num_views), settings, constants),
          x_(num_views),
          y_(num_views),
          weights_(num_views),
          is_live_(num_views),
          is_good_(num_views) {}

    // Weigh the views of a block whose weights say what is visible; these are replaced by the scaled new ones. Gives
    // the lanes in use whose visible detections are all finite.
    Mask<T> hold(Detections<T>& seen, int block, Mask<T> in_use, const Rig<T>& rig) {
        const std::size_t num_views = weights_.size();
        for (std::size_t v = 0; v < num_views; ++v) is_live_[v] = seen.weight.at(v)[block] != 0;
        const Mask<T> is_whole = seen.clean(block, in_use, rig.views, factor);
        for (std::size_t v = 0; v < num_views; ++v) {
            is_good_[v] = seen.weight.at(v)[block] != 0;
            x_[v] = seen.x.at(v)[block];
            y_[v] = seen.y.at(v)[block];
        }
        mean_square_mm2 = agreement_.vote(view(rig), rig.frame, weights_.data());
        is_scattered = mean_square_mm2 > T(settings_.wss_threshold_mm * settings_.wss_threshold_mm);
        is_equal = settings_.above == Above::equal_weights ? is_scattered : Mask<T>{};
        Lanes<T> largest{};
        for (std::size_t v = 0; v < num_views; ++v) {
            weights_[v] = is_equal ? (is_live_[v] ? splat(T(1)) : Lanes<T>{}) : weights_[v];
            largest = larger(largest, weights_[v]);
        }
        factor = T(1) / (largest > 0 ? power_of_two(largest) : splat(T(1)));
        for (std::size_t v = 0; v < num_views; ++v) seen.weight.at(v)[block] = factor * weights_[v];
        return is_whole;
    }

    System<T> system(Detections<T>& seen, int block) const {
        System<T> sum;
        for (std::size_t v = 0; v < weights_.size(); ++v) {
            const Lanes<T> weight = seen.weight.at(v)[block];
            sum.add(agreement_.system(int(v)), weight * weight);
        }
        return sum;
    }

    Lanes<T> weight(std::size_t v) const { return weights_[v]; }

    void pull_back(const Rig<T>& rig, const Lanes<T>* to_weights, Lanes<T>* to_x, Lanes<T>* to_y) {
        agreement_.pull_back(view(rig), rig.frame, to_weights, to_x, to_y);
    }

    // Of the last block: factor of the scaled weights, Eq. 6, and what the rule says about it.
    Lanes<T> factor, mean_square_mm2;
    Mask<T> is_scattered, is_equal;

  private:
    Block<T> view(const Rig<T>& rig) const {
        return {rig.views.data(), rig.exact.data(), x_.data(), y_.data(), is_live_.data(), is_good_.data()};
    }

    RobustSettings settings_;
    Agreement<T> agreement_;
    std::vector<Lanes<T>> x_, y_, weights_;
    std::vector<Mask<T>> is_live_, is_good_;
};

template <class T>
void store_outcome(const RobustResult<T>& result, std::int64_t point, int count, const Ballot<T>& ballot,
                   const RobustSettings& settings, Mask<T> found) {
    const Lanes<T> square = ballot.mean_square_mm2;
    const Lanes<T> wss_mm = square > 0 ? square * inverse_sqrt(square) : square;
    store_some(result.wss_mm + point, count, found ? wss_mm : splat(T(NOT_A_NUMBER)));
    const Mask<T> kept = settings.above == Above::discard ? found & ~ballot.is_scattered : found;
    for (int lane = 0; lane < count; ++lane) result.kept[point + lane] = kept[lane] != 0;
}

// The weighted points of a block; gives which exist.
template <class T>
Mask<T> solve_block(Detections<T>& seen, int block, const Rig<T>& rig, const Ballot<T>& ballot, Mask<T> wanted,
                    SecondLook<false>& second_look, Solution<T>& solution) {
    const Norm<T, false> norm(rig.metric);
    const int index = block * LANES<T>;
    Mask<T> found = solve(ballot.system(seen, block), norm, Limits<T>::min_determinant, wanted, solution);
    solution.lose(~found);
    second_look.ask(wanted & ~found, index);
    const auto exact = [&](const int* indices, int count) { return seen.exact(indices, count, rig.exact); };
    second_look.answer(rig.metric, exact, [&](int tag, const Point& point) {
        solution.set_lane(tag - index, point);
        found[tag - index] = -1;
    });
    return found;
}

template <class T>
void robust_forward(const Batch<T>& batch, const Constants& constants, const RobustSettings& settings, int num_threads,
                    const std::uint8_t* visible, const RobustResult<T>& result) {
    const std::int64_t num_points = batch.num_frames * batch.num_joints;
    in_parallel(batch.num_units(), part_size(batch, 8), num_threads, [&](std::int64_t first, std::int64_t last) {
        Detections<T> seen(batch.num_views);
        SecondLook<false> second_look(constants);
        Ballot<T> ballot(batch.num_views, settings, constants);
        for_each_tile(batch, false, constants, first, last, [&](const Tile& tile, const Rig<T>& rig) {
            seen.pack(batch, tile, visible);
            for (int block = 0; block < tile.num_blocks<T>(); ++block) {
                const int count = tile.lanes<T>(block);
                const std::int64_t point = tile.frame * batch.num_joints + tile.joint + block * LANES<T>;
                const Mask<T> wanted = ballot.hold(seen, block, first_lanes<T>(count), rig);
                Solution<T> solution;
                const Mask<T> found = solve_block(seen, block, rig, ballot, wanted, second_look, solution);
                store_world(result.points + 3 * point, count, solution, rig.frame);
                store_outcome(result, point, count, ballot, settings, found);
                if (result.state) store_state(result.state + point, num_points, count, solution);
                for (std::int64_t v = 0; v < batch.num_views; ++v)
                    seen.weight.at(v)[block] = found ? ballot.weight(v) : Lanes<T>{};
            }
            unpack_weights(batch, tile, seen.weight, result.weights);
        });
    });
}

// The full gradient, also through pairs, median and weights, which are computed again. `to_weights` may be missing.
template <class T>
void robust_backward(const Batch<T>& batch, const Constants& constants, const RobustSettings& settings, int num_threads,
                     const std::uint8_t* visible, const T* state, const T* of_points, const T* of_weights,
                     T* to_points) {
    const std::int64_t num_points = batch.num_frames * batch.num_joints, num_views = batch.num_views;
    in_parallel(batch.num_units(), part_size(batch, 8), num_threads, [&](std::int64_t first, std::int64_t last) {
        Detections<T> seen(num_views);
        ByView<T> given(num_views);
        Ballot<T> ballot(num_views, settings, constants);
        std::vector<Lanes<T>> to_x(num_views), to_y(num_views), to_weights(num_views);
        for_each_tile(batch, false, constants, first, last, [&](const Tile& tile, const Rig<T>& rig) {
            seen.pack(batch, tile, visible);
            if (of_weights) pack_weights(batch, tile, of_weights, given);
            for (int block = 0; block < tile.num_blocks<T>(); ++block) {
                const int count = tile.lanes<T>(block);
                const std::int64_t point = tile.frame * batch.num_joints + tile.joint + block * LANES<T>;
                ballot.hold(seen, block, first_lanes<T>(count), rig);
                Solution<T> solution = load_state(state + point, num_points, count);
                Lanes<T> v[4];
                const Mask<T> found = start_adjoint<T, false>(of_points + 3 * point, count, rig, solution, v);
                const Mask<T> is_free = found & ~ballot.is_equal;
                for (std::int64_t view = 0; view < num_views; ++view) {
                    Lanes<T>&x = to_x[view], &y = to_y[view], &w = to_weights[view];
                    pull_back_view(seen, block, view, rig, solution, v, x, y, w);
                    w = is_free ? w * ballot.factor + given.at(view)[block] : Lanes<T>{};
                }
                ballot.pull_back(rig, to_weights.data(), to_x.data(), to_y.data());
                for (std::int64_t view = 0; view < num_views; ++view) {
                    seen.x.at(view)[block] = to_x[view];
                    seen.y.at(view)[block] = to_y[view];
                }
            }
            unpack_points(batch, tile, seen.x, seen.y, to_points);
        });
    });
}

}  // namespace ablate
