// The way that is always right: all four eigenvectors of one point's matrix by Jacobi's rotations, in float64.

#pragma once

#include <algorithm>
#include <cmath>
#include <utility>

#include "rig.h"

namespace ablate {

// Eigenvalues of a symmetric 4x4 matrix (on its diagonal afterwards) and its eigenvectors (columns).
inline void diagonalise(double m[4][4], double vectors[4][4]) {
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) vectors[i][j] = i == j;
    for (int sweep = 0; sweep < 30; ++sweep) {
        double off = 0, all = 0;
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j) (i == j ? all : off) += m[i][j] * m[i][j];
        if (!(off > 1e-34 * all)) return;
        for (int p = 0; p < 3; ++p)
            for (int q = p + 1; q < 4; ++q) {
                if (m[p][q] == 0) continue;
                const double ratio = (m[q][q] - m[p][p]) / (2 * m[p][q]);
                const double t = (ratio < 0 ? -1 : 1) / (std::abs(ratio) + std::sqrt(ratio * ratio + 1));
                const double cosine = 1 / std::sqrt(t * t + 1), sine = t * cosine;
                const auto rotate = [=](double& a, double& b) {
                    const double rotated = cosine * a - sine * b;
                    b = sine * a + cosine * b;
                    a = rotated;
                };
                for (int i = 0; i < 4; ++i) rotate(m[i][p], m[i][q]);
                for (int i = 0; i < 4; ++i) rotate(m[p][i], m[q][i]);
                m[p][q] = m[q][p] = 0;
                for (int i = 0; i < 4; ++i) rotate(vectors[i][p], vectors[i][q]);
            }
    }
}

// (N - l)^-1 at the smallest eigenvalue l, from the other eigenvectors, each less its share of the point.
inline void invert_at(const double m[4][4], const double vectors[4][4], const int order[4], const double point[3],
                      double inverse[6]) {
    std::fill(inverse, inverse + 6, 0.0);
    for (int e = 1; e < 4; ++e) {
        const int column = order[e];
        double part[3];
        for (int i = 0; i < 3; ++i) part[i] = vectors[i][column] - point[i] * vectors[3][column];
        const double factor = 1 / (m[column][column] - m[order[0]][order[0]]);
        for (int i = 0, entry = 0; i < 3; ++i)
            for (int j = i; j < 3; ++j) inverse[entry++] += factor * part[i] * part[j];
    }
}

// Solve one point. False where none is determined: the two smallest eigenvalues coincide, the point is at infinity
// (`core.geometry.dlt`), or the system is not finite.
inline bool solve_one(const OneSystem& system, const Metric& metric, const Constants& constants, Point& point) {
    // In the frame whose origin is the metric's, with the last coordinate in the metric's unit, all is orthonormal.
    const double unit = std::sqrt(metric.unit), *o = metric.offset;
    const double *n = system.n, *b = system.b;
    const double full[3][3] = {{n[0], n[1], n[2]}, {n[1], n[3], n[4]}, {n[2], n[4], n[5]}};
    double m[4][4], vectors[4][4], to_origin[3];
    double last = system.c;
    for (int i = 0; i < 3; ++i) {
        to_origin[i] = full[i][0] * o[0] + full[i][1] * o[1] + full[i][2] * o[2];
        last += o[i] * (2 * b[i] + to_origin[i]);
        for (int j = 0; j < 3; ++j) m[i][j] = full[i][j];
        m[i][3] = m[3][i] = -(b[i] + to_origin[i]) / unit;
    }
    m[3][3] = last / metric.unit;
    double trace = 0;
    for (int i = 0; i < 4; ++i) trace += m[i][i];
    if (!std::isfinite(trace)) return false;
    diagonalise(m, vectors);
    int order[4] = {0, 1, 2, 3};
    std::sort(order, order + 4, [&](int i, int j) { return m[i][i] < m[j][j]; });
    const int k = order[0];
    const double gap = m[order[1]][order[1]] - m[k][k];
    if (!(gap > constants.min_relative_gap * m[order[3]][order[3]])) return false;
    if (!(std::abs(vectors[3][k]) > constants.min_homogeneous)) return false;
    double turned[3];
    for (int i = 0; i < 3; ++i) {
        turned[i] = vectors[i][k] / vectors[3][k];
        point.y[i] = turned[i] * unit - o[i];
    }
    invert_at(m, vectors, order, turned, point.inverse);
    return true;
}

}  // namespace ablate
