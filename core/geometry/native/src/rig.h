// The rig, prepared once in float64: projections in a frame where the scene is small and central.

#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace ablate {

// Numbers that the reference form defines (`core.geometry`), handed over so that they stand in one place.
struct Constants {
    double min_scale_mm;
    double min_relative_gap;
    double min_homogeneous;
    double median_tolerance_mm;
    double median_smoothing_mm;
    double median_max_steps;
};

// One view's rows, in the scene's frame and in pixels from `origin`: r = (x - origin) * depth - image.
// All are scaled by one factor for the whole rig, which brings them near 1 and changes no solution.
template <class T>
struct View {
    T origin[2];
    T image[2][4];
    T depth[4];
    bool is_finite;
};

// The sum of r r^T over the rows of one point in float64: the upper triangle of N (xx, xy, xz, yy, yz, zz), b and c.
struct OneSystem {
    double n[6] = {}, b[3] = {}, c = 0;

    void add(const View<double>& view, double x, double y, double weight) {
        const double pixel[2] = {x - view.origin[0], y - view.origin[1]};
        for (int i = 0; i < 2; ++i) {
            double row[4];
            for (int j = 0; j < 4; ++j) row[j] = weight * (pixel[i] * view.depth[j] - view.image[i][j]);
            for (int j = 0, entry = 0; j < 3; ++j) {
                for (int k = j; k < 3; ++k) n[entry++] += row[j] * row[k];
                b[j] -= row[j] * row[3];
            }
            c += row[3] * row[3];
        }
    }
};

// A point of the scene's frame, and the inverse of N - l there.
struct Point {
    double y[3], inverse[6];
};

// The length that is one: |Y + offset|^2 + unit, for points Y of the scene's frame. 0 and 1 in the scene metric.
struct Metric {
    double offset[3];
    double unit;
};

struct Frame {
    double centre[3];
    double scale;

    bool is_finite() const { return std::isfinite(centre[0] + centre[1] + centre[2] + scale); }
};

// Solve A x = b for a general 3x3 matrix, as far as its determinant is not zero (else NaN).
inline void solve3(const double a[3][3], const double b[3], double x[3]) {
    double cofactor[3][3];
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            const int r = (i + 1) % 3, s = (i + 2) % 3, t = (j + 1) % 3, u = (j + 2) % 3;
            cofactor[i][j] = a[r][t] * a[s][u] - a[r][u] * a[s][t];
        }
    const double determinant = a[0][0] * cofactor[0][0] + a[0][1] * cofactor[0][1] + a[0][2] * cofactor[0][2];
    const double inverse = determinant != 0 ? 1 / determinant : std::numeric_limits<double>::quiet_NaN();
    for (int j = 0; j < 3; ++j)
        x[j] = (b[0] * cofactor[0][j] + b[1] * cofactor[1][j] + b[2] * cofactor[2][j]) * inverse;
}

// Where the cameras look: `core.geometry.projection.scene_frame`, step by step.
template <class Given>
Frame scene_frame(const Given* projections, int num_views, double min_scale_mm, double* centres) {
    double origin[3] = {}, across[3][3] = {}, pull[3] = {};
    for (int v = 0; v < num_views; ++v) {
        double linear[3][3], minus_offset[3];
        for (int i = 0; i < 3; ++i) {
            for (int j = 0; j < 3; ++j) linear[i][j] = projections[12 * v + 4 * i + j];
            minus_offset[i] = -projections[12 * v + 4 * i + 3];
        }
        solve3(linear, minus_offset, centres + 3 * v);
        for (int i = 0; i < 3; ++i) origin[i] += centres[3 * v + i] / num_views;
    }
    for (int v = 0; v < num_views; ++v) {
        const Given* axis = projections + 12 * v + 8;
        const double norm2 = double(axis[0]) * axis[0] + double(axis[1]) * axis[1] + double(axis[2]) * axis[2];
        for (int i = 0; i < 3; ++i)
            for (int j = 0; j < 3; ++j) {
                const double part = (i == j ? 1 + 1e-6 : 0) - double(axis[i]) * axis[j] / norm2;
                across[i][j] += part;
                pull[i] += part * (centres[3 * v + j] - origin[j]);
            }
    }
    Frame frame;
    double distance2 = 0;
    solve3(across, pull, frame.centre);
    for (int i = 0; i < 3; ++i) frame.centre[i] += origin[i];
    for (int i = 0; i < 3 * num_views; ++i) distance2 += std::pow(centres[i] - frame.centre[i % 3], 2) / num_views;
    frame.scale = distance2 == distance2 ? std::max(std::sqrt(distance2), min_scale_mm) : distance2;
    return frame;
}

// One view in the scene's frame. In the raw metric its rows keep the weight that the given matrix has; else they are
// scaled to be those of K [R | t].
template <class T, class Given>
View<double> localise(const Given* given, const Frame& frame, bool is_raw) {
    View<double> view{};
    double local[3][4], sum = 0;
    const double norm2 = double(given[8]) * given[8] + double(given[9]) * given[9] + double(given[10]) * given[10];
    const double factor = is_raw ? 1 : 1 / std::sqrt(norm2);
    for (int i = 0; i < 3; ++i) {
        const Given* row = given + 4 * i;
        const double* c = frame.centre;
        for (int j = 0; j < 3; ++j) local[i][j] = row[j] * frame.scale * factor;
        local[i][3] = (row[0] * c[0] + row[1] * c[1] + row[2] * c[2] + row[3]) * factor;
        for (int j = 0; j < 4; ++j) sum += local[i][j];
    }
    view.is_finite = std::isfinite(sum);
    if (!view.is_finite) return view;
    for (int j = 0; j < 4; ++j) view.depth[j] = local[2][j];
    for (int i = 0; i < 2; ++i) {
        // Pixels count from the image of the scene's centre, in the grid of T: their rounding then is that of small
        // numbers, and so is the rows'.
        const T origin = T(local[i][3] / local[2][3]);
        view.origin[i] = std::isfinite(origin) ? origin : 0;
        for (int j = 0; j < 4; ++j) view.image[i][j] = local[i][j] - view.origin[i] * local[2][j];
    }
    return view;
}

// Scale all rows by one factor, so that the largest entry of an image row is 1.
inline void normalise(View<double>* views, int num_views) {
    double largest = 0;
    for (int v = 0; v < num_views; ++v)
        for (int j = 0; j < 3; ++j)
            for (const auto& row : views[v].image) largest = std::max(largest, std::abs(row[j]));
    if (!(largest > 0 && std::isfinite(largest))) return;
    for (int v = 0; v < num_views; ++v)
        for (int j = 0; j < 4; ++j) {
            views[v].depth[j] /= largest;
            for (auto& row : views[v].image) row[j] /= largest;
        }
}

// Prepare all views of one frame for points of type T. In the raw metric a rig whose scene cannot be told is taken as
// it stands.
template <class T, class Given>
void prepare_rig(const Given* projections, int num_views, bool is_raw, const Constants& constants, double* scratch,
                 Frame& frame, Metric& metric, View<double>* views) {
    frame = scene_frame(projections, num_views, constants.min_scale_mm, scratch);
    metric = {{0, 0, 0}, 1};
    if (is_raw) {
        if (!frame.is_finite()) frame = {{0, 0, 0}, 1};
        for (int i = 0; i < 3; ++i) metric.offset[i] = frame.centre[i] / frame.scale;
        metric.unit = 1 / (frame.scale * frame.scale);
    }
    for (int v = 0; v < num_views; ++v) views[v] = localise<T>(projections + 12 * v, frame, is_raw);
    normalise(views, num_views);
}

template <class T>
View<T> rounded(const View<double>& view) {
    View<T> result;
    result.is_finite = view.is_finite;
    for (int j = 0; j < 4; ++j) {
        result.depth[j] = T(view.depth[j]);
        for (int i = 0; i < 2; ++i) result.image[i][j] = T(view.image[i][j]);
    }
    for (int i = 0; i < 2; ++i) result.origin[i] = T(view.origin[i]);
    return result;
}

}  // namespace ablate
