// Triangulation for the CPU behind plain C functions.
//
// Tensors are all of float or all of double but for the projections, with the shapes in `batch.h` and `robust.h`, and
// contiguous but for projections and points. Every result is written in full. A lost point is NaN, also in the state
// that the backward pass is given.

#include "dlt.h"
#include "robust.h"

namespace ablate {
namespace {

// A batch as it comes in.
struct Input {
    std::int32_t is_double, is_double_rig;
    std::int64_t num_frames, num_views, num_joints, projection_stride;
    const void *projections, *points;
    std::int64_t frame_stride, view_stride, joint_stride, axis_stride;

    template <class T>
    Batch<T> batch() const {
        return {num_frames,
                num_views,
                num_joints,
                projections,
                projection_stride,
                is_double_rig != 0,
                static_cast<const T*>(points),
                {frame_stride, view_stride, joint_stride, axis_stride}};
    }
};

// Call `run` with a number of the type that the tensors hold.
template <class Run>
void by_type(const Input& input, Run run) {
    input.is_double ? run(double()) : run(float());
}

}  // namespace
}  // namespace ablate

extern "C" {

using ablate::Constants;
using ablate::Input;
using ablate::RobustSettings;

// `weights` and `state` may be null.
void ablate_dlt_forward(const Constants* constants, const Input* input, std::int32_t is_raw, std::int32_t num_threads,
                        const void* weights, void* result, void* state) {
    ablate::by_type(*input, [&](auto number) {
        using T = decltype(number);
        const auto run = is_raw ? ablate::dlt_forward<T, true> : ablate::dlt_forward<T, false>;
        run(input->batch<T>(), *constants, num_threads, static_cast<const T*>(weights), static_cast<T*>(result),
            static_cast<T*>(state));
    });
}

// `weights` and `to_weights` may be null.
void ablate_dlt_backward(const Constants* constants, const Input* input, std::int32_t is_raw, std::int32_t num_threads,
                         const void* weights, const void* state, const void* gradient, void* to_points,
                         void* to_weights) {
    ablate::by_type(*input, [&](auto number) {
        using T = decltype(number);
        const auto run = is_raw ? ablate::dlt_backward<T, true> : ablate::dlt_backward<T, false>;
        run(input->batch<T>(), *constants, num_threads, static_cast<const T*>(weights), static_cast<const T*>(state),
            static_cast<const T*>(gradient), static_cast<T*>(to_points), static_cast<T*>(to_weights));
    });
}

// `visible` and `state` may be null.
void ablate_robust_forward(const Constants* constants, const Input* input, const RobustSettings* settings,
                           std::int32_t num_threads, const std::uint8_t* visible, void* points, void* weights,
                           void* wss_mm, std::uint8_t* kept, void* state) {
    ablate::by_type(*input, [&](auto number) {
        using T = decltype(number);
        ablate::robust_forward<T>(input->batch<T>(), *constants, *settings, num_threads, visible,
                                  {static_cast<T*>(points), static_cast<T*>(weights), static_cast<T*>(wss_mm), kept,
                                   static_cast<T*>(state)});
    });
}

// `visible` and `of_weights` may be null.
void ablate_robust_backward(const Constants* constants, const Input* input, const RobustSettings* settings,
                            std::int32_t num_threads, const std::uint8_t* visible, const void* state,
                            const void* of_points, const void* of_weights, void* to_points) {
    ablate::by_type(*input, [&](auto number) {
        using T = decltype(number);
        ablate::robust_backward<T>(input->batch<T>(), *constants, *settings, num_threads, visible,
                                   static_cast<const T*>(state), static_cast<const T*>(of_points),
                                   static_cast<const T*>(of_weights), static_cast<T*>(to_points));
    });
}
}
