// How much each view has to say, by the agreement of the pairs (Roy et al. 2022, Eq. 4 to 6), and its adjoint.

#pragma once

#include <vector>

#include "medians.h"
#include "second_look.h"

namespace ablate {

// A pair only votes: 1e-3 mm are no matter against sigma, and pairs of cameras that face each other are common.
constexpr double PAIR_MIN_DETERMINANT = 1e-4;

enum class Above : std::int32_t { keep, equal_weights, discard };

struct RobustSettings {
    double sigma_mm;
    double weight_floor;
    double wss_threshold_mm;
    Above above;
    std::int32_t is_mean;  // of an even number of partners: the mean of the two middle ones, else the lower one
};

// One block of points as the views see it; arrays by view.
template <class T>
struct Block {
    const View<T>* views;
    const View<double>* exact;
    const Lanes<T>* x;
    const Lanes<T>* y;
    const Mask<T>* is_live;  // visible
    const Mask<T>* is_good;  // visible and finite
};

// The steps of one block, each left in a buffer for the adjoint.
template <class T>
class Agreement {
  public:
    Agreement(int num_views, const RobustSettings& settings, const Constants& constants)
        : num_views_(num_views),
          settings_(settings),
          constants_(constants),
          second_look_(constants),
          partners_(num_views),
          partner_network_(num_views - 1),
          pair_network_(num_views * (num_views - 1) / 2),
          systems_(num_views),
          middles_(num_views) {
        for (int first = 0; first < num_views; ++first)
            for (int second = first + 1; second < num_views; ++second) {
                partners_[first].push_back(int(pairs_.size()));
                partners_[second].push_back(int(pairs_.size()));
                pairs_.emplace_back(first, second);
            }
        solutions_.resize(pairs_.size());
        points_.resize(3 * pairs_.size());
        valid_.resize(pairs_.size());
        votes_.resize(pairs_.size());
        sorted_.resize(pairs_.size());
    }

    // Give each view its weight (Eq. 5); returns the pairs' mean square distance from their centre in mm^2 (Eq. 6).
    Lanes<T> vote(const Block<T>& block, const Frame& frame, Lanes<T>* weights) {
        for (int v = 0; v < num_views_; ++v) {
            systems_[v] = System<T>();
            systems_[v].add(block.views[v], block.x[v], block.y[v],
                            block.is_good[v] ? splat(T(1)) : Lanes<T>{});
        }
        solve_pairs(block);
        find_centre(frame);
        const T scale2_mm2 = T(frame.scale * frame.scale);
        const T inverse_sigma2 = T(1 / (settings_.sigma_mm * settings_.sigma_mm));
        Lanes<T> sum_mm2{};
        for (std::size_t p = 0; p < pairs_.size(); ++p) {
            Lanes<T> square{};
            for (int i = 0; i < 3; ++i) square += (points_[3 * p + i] - centre_[i]) * (points_[3 * p + i] - centre_[i]);
            const Lanes<T> square_mm2 = valid_[p] ? scale2_mm2 * square : Lanes<T>{};
            votes_[p] = exp_of_negative<T>(-inverse_sigma2 * square_mm2);
            sum_mm2 += square_mm2;
        }
        for (int v = 0; v < num_views_; ++v)
            weights[v] = block.is_live[v] ? larger(median_vote(v), splat(T(settings_.weight_floor))) : Lanes<T>{};
        const Lanes<T> count = __builtin_convertvector(num_valid_, Lanes<T>);
        return num_valid_ > 0 ? sum_mm2 / count : splat(T(NOT_A_NUMBER));
    }

    // A view's system with weight one, after `vote`; nothing where the detection is not good.
    const System<T>& system(int view) const { return systems_[view]; }

    // Add to `to_x` and `to_y` what comes through the weights; follows `vote` on the same block.
    void pull_back(const Block<T>& block, const Frame& frame, const Lanes<T>* to_weights, Lanes<T>* to_x,
                   Lanes<T>* to_y) {
        std::vector<Lanes<T>> to_votes(pairs_.size(), Lanes<T>{}), to_points(points_.size());
        for (int v = 0; v < num_views_; ++v) pull_back_median_vote(v, to_weights[v], to_votes.data());
        const T factor = T(-2 * frame.scale * frame.scale / (settings_.sigma_mm * settings_.sigma_mm));
        Lanes<T> to_centre[3]{};
        for (std::size_t p = 0; p < pairs_.size(); ++p)
            for (int i = 0; i < 3; ++i) {
                const Lanes<T> offset = points_[3 * p + i] - centre_[i];
                to_points[3 * p + i] = valid_[p] ? factor * votes_[p] * to_votes[p] * offset : Lanes<T>{};
                to_centre[i] -= to_points[3 * p + i];
            }
        pull_back_centre(frame, to_centre, to_points.data());
        for (std::size_t p = 0; p < pairs_.size(); ++p) pull_back_pair(block, int(p), &to_points[3 * p], to_x, to_y);
    }

  private:
    void solve_pairs(const Block<T>& block) {
        const Metric metric{{0, 0, 0}, 1};
        const Norm<T, false> norm(metric);
        for (std::size_t p = 0; p < pairs_.size(); ++p) {
            const int first = pairs_[p].first, second = pairs_[p].second;
            System<T> system = systems_[first];
            system.add(systems_[second], splat(T(1)));
            const Mask<T> wanted = block.is_good[first] & block.is_good[second];
            valid_[p] = solve(system, norm, T(PAIR_MIN_DETERMINANT), wanted, solutions_[p]);
            second_look_.ask(wanted & ~valid_[p], int(p) * LANES<T>);
        }
        const auto exact_systems = [&](const int* tags, int count) {
            System<double> systems;
            for (int i = 0; i < count; ++i) {
                OneSystem one;
                const int lane = tags[i] % LANES<T>;
                for (int v : {pairs_[tags[i] / LANES<T>].first, pairs_[tags[i] / LANES<T>].second})
                    one.add(block.exact[v], block.x[v][lane], block.y[v][lane], 1);
                systems.set_lane(i, one);
            }
            return systems;
        };
        second_look_.answer(metric, exact_systems, [&](int tag, const Point& point) {
            solutions_[tag / LANES<T>].set_lane(tag % LANES<T>, point);
            valid_[tag / LANES<T>][tag % LANES<T>] = -1;
        });
        num_valid_ = Mask<T>{};
        for (std::size_t p = 0; p < pairs_.size(); ++p) {
            for (int i = 0; i < 3; ++i) points_[3 * p + i] = valid_[p] ? solutions_[p].y[i] : Lanes<T>{};
            num_valid_ -= valid_[p];
        }
    }

    MedianSettings<T> median_settings(const Frame& frame) const {
        // Float32 holds points of this frame to 1e-7 at best.
        const double finest = sizeof(T) == 4 ? 1e-7 : 0;
        return {T(std::max(constants_.median_tolerance_mm / frame.scale, finest)),
                T(constants_.median_smoothing_mm / frame.scale), int(constants_.median_max_steps)};
    }

    // The geometric median of the pairs' points, from the median of each coordinate on.
    void find_centre(const Frame& frame) {
        const int count = int(pairs_.size());
        for (int i = 0; i < 3; ++i) {
            for (int p = 0; p < count; ++p) sorted_[p] = valid_[p] ? points_[3 * p + i] : splat(T(INFINITE));
            pair_network_.template sort<T>(sorted_.data());
            const Middle<T> middle(sorted_.data(), count, num_valid_);
            centre_[i] = num_valid_ > 0 ? (middle.lower + middle.upper) / 2 : Lanes<T>{};
        }
        geometric_median(centre_, points_.data(), valid_.data(), count, median_settings(frame));
    }

    Lanes<T> median_vote(int view) {
        const int count = num_views_ - 1;
        Mask<T> num_valid{};
        for (int k = 0; k < count; ++k) {
            const int p = partners_[view][k];
            sorted_[k] = valid_[p] ? votes_[p] : splat(T(INFINITE));
            num_valid -= valid_[p];
        }
        partner_network_.template sort<T>(sorted_.data());
        middles_[view] = Middle<T>(sorted_.data(), count, num_valid);
        if (!settings_.is_mean) middles_[view].upper = middles_[view].lower;
        return num_valid > 0 ? (middles_[view].lower + middles_[view].upper) / 2 : Lanes<T>{};
    }

    // Only the partners in the middle have a say in a median, and none where it lies below the floor.
    void pull_back_median_vote(int view, Lanes<T> to_weight, Lanes<T>* to_votes) const {
        const Middle<T>& middle = middles_[view];
        const Mask<T> is_free = (middle.lower + middle.upper) / 2 >= T(settings_.weight_floor);
        const Lanes<T> half = is_free ? to_weight / 2 : Lanes<T>{};
        Mask<T> has_lower{}, has_upper{};
        for (int p : partners_[view]) {
            const Mask<T> is_lower = valid_[p] & ~has_lower & (votes_[p] == middle.lower);
            const Mask<T> is_upper = valid_[p] & ~has_upper & (votes_[p] == middle.upper);
            to_votes[p] += (is_lower ? half : Lanes<T>{}) + (is_upper ? half : Lanes<T>{});
            has_lower |= is_lower;
            has_upper |= is_upper;
        }
    }

    // The minimiser moves so that its gradient stays zero: implicit differentiation.
    void pull_back_centre(const Frame& frame, const Lanes<T> to_centre[3], Lanes<T>* to_points) const {
        const int count = int(pairs_.size());
        const T smoothing = median_settings(frame).smoothing;
        const Expansion<T> here(centre_, points_.data(), valid_.data(), count, smoothing);
        Lanes<T> h[3], determinant;
        Mask<T> is_positive;
        here.hessian.inverse(determinant, is_positive).times(to_centre, h);
        for (int p = 0; p < count; ++p) {
            Lanes<T> d[3], square = splat(smoothing * smoothing), along{};
            for (int i = 0; i < 3; ++i) {
                d[i] = points_[3 * p + i] - centre_[i];
                square += d[i] * d[i];
                along += d[i] * h[i];
            }
            const Lanes<T> inverse = inverse_sqrt(square);
            for (int i = 0; i < 3; ++i)
                to_points[3 * p + i] += valid_[p] ? inverse * (h[i] - inverse * inverse * along * d[i]) : Lanes<T>{};
        }
    }

    void pull_back_pair(const Block<T>& block, int p, const Lanes<T> to_point[3], Lanes<T>* to_x,
                        Lanes<T>* to_y) const {
        const Norm<T, false> norm(Metric{{0, 0, 0}, 1});
        Lanes<T> v[4], unused{};
        adjoint(solutions_[p], norm, to_point, v);
        for (Lanes<T>& entry : v) entry = valid_[p] ? entry : Lanes<T>{};
        for (int view : {pairs_[p].first, pairs_[p].second}) {
            Lanes<T> to_pixel[2] = {to_x[view], to_y[view]};
            ablate::pull_back(block.views[view], block.x[view], block.y[view], splat(T(1)), &points_[3 * p], v,
                              to_pixel, unused);
            to_x[view] = to_pixel[0];
            to_y[view] = to_pixel[1];
        }
    }

    int num_views_;
    RobustSettings settings_;
    Constants constants_;
    SecondLook<false> second_look_;
    std::vector<std::pair<int, int>> pairs_;
    std::vector<std::vector<int>> partners_;
    SortingNetwork partner_network_, pair_network_;
    std::vector<System<T>> systems_;
    std::vector<Solution<T>> solutions_;
    std::vector<Lanes<T>> points_, votes_, sorted_;
    std::vector<Mask<T>> valid_;
    std::vector<Middle<T>> middles_;
    Mask<T> num_valid_;
    Lanes<T> centre_[3];
};

}  // namespace ablate
