// The weighted DLT of a batch, forward and backward.

#pragma once

#include "detections.h"

namespace ablate {

template <class T, bool is_raw>
void dlt_forward(const Batch<T>& batch, const Constants& constants, int num_threads, const T* weights, T* result,
                 T* state) {
    const std::int64_t num_points = batch.num_frames * batch.num_joints;
    in_parallel(batch.num_units(), part_size(batch, 1), num_threads, [&](std::int64_t first, std::int64_t last) {
        Detections<T> seen(batch.num_views);
        SecondLook<is_raw> second_look(constants);
        for_each_tile(batch, is_raw, constants, first, last, [&](const Tile& tile, const Rig<T>& rig) {
            const std::int64_t start = tile.frame * batch.num_joints + tile.joint;
            const Norm<T, is_raw> norm(rig.metric);
            seen.pack(batch, tile, weights);
            for (int block = 0; block < tile.num_blocks<T>(); ++block) {
                const int count = tile.lanes<T>(block), index = block * LANES<T>;
                Lanes<T> factor;
                const Mask<T> wanted = seen.clean(block, first_lanes<T>(count), rig.views, factor);
                Solution<T> solution;
                const Mask<T> found =
                    solve(seen.system(block, rig.views), norm, Limits<T>::min_determinant, wanted, solution);
                solution.lose(~found);
                second_look.ask(wanted & ~found, index);
                store_world(result + 3 * (start + index), count, solution, rig.frame);
                if (state) store_state(state + start + index, num_points, count, solution);
            }
            const auto exact = [&](const int* indices, int count) { return seen.exact(indices, count, rig.exact); };
            second_look.answer(rig.metric, exact, [&](int index, const Point& point) {
                store_point(result + 3 * (start + index), state ? state + start + index : nullptr, num_points, point,
                            rig.frame);
            });
        });
    });
}

template <class T, bool is_raw>
void dlt_backward(const Batch<T>& batch, const Constants& constants, int num_threads, const T* weights, const T* state,
                  const T* gradient, T* to_points, T* to_weights) {
    const std::int64_t num_points = batch.num_frames * batch.num_joints;
    in_parallel(batch.num_units(), part_size(batch, 1), num_threads, [&](std::int64_t first, std::int64_t last) {
        Detections<T> seen(batch.num_views);
        for_each_tile(batch, is_raw, constants, first, last, [&](const Tile& tile, const Rig<T>& rig) {
            seen.pack(batch, tile, weights);
            for (int block = 0; block < tile.num_blocks<T>(); ++block) {
                const int count = tile.lanes<T>(block);
                const std::int64_t point = tile.frame * batch.num_joints + tile.joint + block * LANES<T>;
                Lanes<T> factor, v[4];
                seen.clean(block, first_lanes<T>(count), rig.views, factor);
                Solution<T> solution = load_state(state + point, num_points, count);
                start_adjoint<T, is_raw>(gradient + 3 * point, count, rig, solution, v);
                for (std::int64_t view = 0; view < batch.num_views; ++view) {
                    Lanes<T> to_x, to_y, to_weight;
                    pull_back_view(seen, block, view, rig, solution, v, to_x, to_y, to_weight);
                    seen.x.at(view)[block] = to_x;
                    seen.y.at(view)[block] = to_y;
                    seen.weight.at(view)[block] = to_weight * factor;
                }
            }
            unpack_points(batch, tile, seen.x, seen.y, to_points);
            if (to_weights) unpack_weights(batch, tile, seen.weight, to_weights);
        });
    });
}

}  // namespace ablate
