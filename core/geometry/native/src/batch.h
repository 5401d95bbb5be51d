// From tensors to blocks of lanes: tiles of points that share a rig, their packing, and threads.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "solver.h"

namespace ablate {

// Points of a tile: what its views see stays in the first level of cache.
constexpr std::int64_t TILE = 256;
static_assert(TILE % LANES<float> == 0);

template <class T>
struct Batch {
    std::int64_t num_frames, num_views, num_joints;
    const void* projections;         // (frames, V, 3, 4), each frame contiguous
    std::int64_t projection_stride;  // bytes from one frame to the next; 0 for a rig that all share
    bool is_double_rig;              // projections are float64, else float32
    const T* points;                 // (frames, V, J, 2)
    std::int64_t strides[4];         // of the points, in numbers

    std::int64_t segments() const { return (num_joints + TILE - 1) / TILE; }
    std::int64_t num_units() const { return num_joints > 0 ? num_frames * segments() : 0; }
    const void* rig(std::int64_t frame) const {
        return static_cast<const char*>(projections) + frame * projection_stride;
    }
    bool same_rig(std::int64_t a, std::int64_t b) const {
        const std::size_t size = 12 * num_views * (is_double_rig ? sizeof(double) : sizeof(float));
        return rig(a) == rig(b) || std::memcmp(rig(a), rig(b), size) == 0;
    }
};

// Whole frames, or a segment of the joints of one frame. Its points follow each other in a (frames, J) tensor.
struct Tile {
    std::int64_t frame, num_frames, joint, num_joints;

    std::int64_t size() const { return num_frames * num_joints; }
    template <class T>
    int num_blocks() const {
        return int((size() + LANES<T> - 1) / LANES<T>);
    }
    template <class T>
    int lanes(int block) const {
        return int(std::min<std::int64_t>(LANES<T>, size() - std::int64_t(block) * LANES<T>));
    }
};

// The prepared rig of the frames at hand.
template <class T>
struct Rig {
    Frame frame;
    Metric metric;
    std::vector<View<double>> exact;
    std::vector<View<T>> views;
    std::vector<double> scratch;

    explicit Rig(std::int64_t num_views) : exact(num_views), views(num_views), scratch(3 * num_views) {}

    void prepare(const Batch<T>& batch, std::int64_t index, bool is_raw, const Constants& constants) {
        const int num_views = int(views.size());
        const auto prepare_from = [&](auto projections) {
            prepare_rig<T>(projections, num_views, is_raw, constants, scratch.data(), frame, metric, exact.data());
        };
        if (batch.is_double_rig)
            prepare_from(static_cast<const double*>(batch.rig(index)));
        else
            prepare_from(static_cast<const float*>(batch.rig(index)));
        for (int v = 0; v < num_views; ++v) views[v] = rounded<T>(exact[v]);
    }
};

// Numbers per view and point of a tile, in blocks of lanes: at(view)[block].
template <class T>
class ByView {
  public:
    explicit ByView(std::int64_t num_views) : lanes_(num_views * (TILE / LANES<T>)) {}
    Lanes<T>* at(std::int64_t view) { return &lanes_[view * (TILE / LANES<T>)]; }
    T* numbers(std::int64_t view) { return reinterpret_cast<T*>(at(view)); }
    void fill(T value) { std::fill(lanes_.begin(), lanes_.end(), splat(value)); }

  private:
    std::vector<Lanes<T>> lanes_;
};

// Call `copy(view, from, to)` for each view of each frame: the index of its first joint in a (frames, V, J) tensor of
// these strides, and in the tile.
template <class Copy>
inline void for_each_row(const Tile& tile, std::int64_t num_views, const std::int64_t strides[3], Copy copy) {
    for (std::int64_t v = 0; v < num_views; ++v)
        for (std::int64_t f = 0; f < tile.num_frames; ++f)
            copy(v, (tile.frame + f) * strides[0] + v * strides[1] + tile.joint * strides[2], f * tile.num_joints);
}

template <class T>
void pack_points(const Batch<T>& batch, const Tile& tile, ByView<T>& x, ByView<T>& y) {
    const std::int64_t step = batch.strides[2], other = batch.strides[3];
    for_each_row(tile, batch.num_views, batch.strides, [&](std::int64_t v, std::int64_t from, std::int64_t to) {
        const T* __restrict__ given = batch.points + from;
        T* __restrict__ xs = x.numbers(v) + to;
        T* __restrict__ ys = y.numbers(v) + to;
        if (step == 2 && other == 1)
            for (std::int64_t i = 0; i < tile.num_joints; ++i) {
                xs[i] = given[2 * i];
                ys[i] = given[2 * i + 1];
            }
        else
            for (std::int64_t i = 0; i < tile.num_joints; ++i) {
                xs[i] = given[i * step];
                ys[i] = given[i * step + other];
            }
    });
}

template <class T>
void unpack_points(const Batch<T>& batch, const Tile& tile, ByView<T>& x, ByView<T>& y, T* points) {
    const std::int64_t strides[] = {2 * batch.num_views * batch.num_joints, 2 * batch.num_joints, 2};
    for_each_row(tile, batch.num_views, strides, [&](std::int64_t v, std::int64_t to, std::int64_t from) {
        T* __restrict__ result = points + to;
        const T* __restrict__ xs = x.numbers(v) + from;
        const T* __restrict__ ys = y.numbers(v) + from;
        for (std::int64_t i = 0; i < tile.num_joints; ++i) {
            result[2 * i] = xs[i];
            result[2 * i + 1] = ys[i];
        }
    });
}

// One number per view and joint: weights, or whether a view is visible.
template <class T, class Given>
void pack_weights(const Batch<T>& batch, const Tile& tile, const Given* given, ByView<T>& weights) {
    const std::int64_t strides[] = {batch.num_views * batch.num_joints, batch.num_joints, 1};
    for_each_row(tile, batch.num_views, strides, [&](std::int64_t v, std::int64_t from, std::int64_t to) {
        T* __restrict__ packed = weights.numbers(v) + to;
        for (std::int64_t i = 0; i < tile.num_joints; ++i) packed[i] = T(given[from + i]);
    });
}

template <class T>
void unpack_weights(const Batch<T>& batch, const Tile& tile, ByView<T>& weights, T* result) {
    const std::int64_t strides[] = {batch.num_views * batch.num_joints, batch.num_joints, 1};
    for_each_row(tile, batch.num_views, strides, [&](std::int64_t v, std::int64_t to, std::int64_t from) {
        std::memcpy(result + to, weights.numbers(v) + from, tile.num_joints * sizeof(T));
    });
}

// Vectors of three, as many as a block has lanes in use.
template <class T>
inline void load_vectors(const T* from, int count, Lanes<T> to[3]) {
    T numbers[3][LANES<T>] = {};
    for (int i = 0; i < count; ++i)
        for (int k = 0; k < 3; ++k) numbers[k][i] = from[3 * i + k];
    for (int k = 0; k < 3; ++k) to[k] = load(numbers[k]);
}

template <class T>
inline void store_vectors(T* to, int count, const Lanes<T> from[3]) {
    T numbers[3][LANES<T>];
    for (int k = 0; k < 3; ++k) store(numbers[k], from[k]);
    for (int i = 0; i < count; ++i)
        for (int k = 0; k < 3; ++k) to[3 * i + k] = numbers[k][i];
}

template <class T>
inline Lanes<T> load_some(const T* from, int count) {
    if (count == LANES<T>) return load(from);
    Lanes<T> lanes{};
    std::memcpy(&lanes, from, count * sizeof(T));
    return lanes;
}

template <class T>
inline void store_some(T* to, int count, Lanes<T> lanes) {
    if (count == LANES<T>) return store(to, lanes);
    std::memcpy(to, &lanes, count * sizeof(T));
}

// Call `work(tile, rig)` on the tiles of units [first, last); neighbours with the same projections share one rig.
template <class T, class Work>
void for_each_tile(const Batch<T>& batch, bool is_raw, const Constants& constants, std::int64_t first,
                   std::int64_t last, Work work) {
    const std::int64_t segments = batch.segments();
    Rig<T> rig(batch.num_views);
    std::int64_t prepared = -1;
    for (std::int64_t unit = first; unit < last;) {
        Tile tile{unit / segments, 1, unit % segments * TILE, batch.num_joints};
        tile.num_joints = std::min(TILE, batch.num_joints - tile.joint);
        if (prepared < 0 || !batch.same_rig(prepared, tile.frame)) rig.prepare(batch, tile.frame, is_raw, constants);
        prepared = tile.frame;
        if (segments == 1)
            while (unit + tile.num_frames < last && (tile.num_frames + 1) * tile.num_joints <= TILE &&
                   batch.same_rig(prepared, tile.frame + tile.num_frames))
                ++tile.num_frames;
        work(tile, rig);
        unit += tile.num_frames;
    }
}

// The parts of a piece of work: which are taken, and which are done.
class Parts {
  public:
    Parts(std::int64_t count, std::int64_t size) : count_(count), size_(size), left_((count + size - 1) / size) {}

    std::int64_t num_left() const { return left_; }

    // Take parts one by one until none is left. A thread that comes late does not touch `work`, which may be gone.
    template <class Work>
    void take(const Work* work) {
        for (std::int64_t first; (first = next_.fetch_add(size_)) < count_;) {
            (*work)(first, std::min(first + size_, count_));
            const std::lock_guard<std::mutex> lock(mutex_);
            if (--left_ == 0) is_done_.notify_one();
        }
    }

    void wait() {
        std::unique_lock<std::mutex> lock(mutex_);
        is_done_.wait(lock, [&] { return left_ == 0; });
    }

  private:
    const std::int64_t count_, size_;
    std::int64_t left_;
    std::atomic<std::int64_t> next_{0};
    std::mutex mutex_;
    std::condition_variable is_done_;
};

// Call `work(first, last)` on parts of [0, count) from up to `num_threads` threads. The call ends with the last part
// and not with the last thread: where cores are scarce it waits for no thread that has not begun. None stays, so that
// a fork finds none.
template <class Work>
void in_parallel(std::int64_t count, std::int64_t part, int num_threads, const Work& work) {
    if (num_threads <= 1 || count <= part) return work(0, count);
    const auto parts = std::make_shared<Parts>(count, part);
    try {
        for (std::int64_t i = std::min<std::int64_t>(num_threads, parts->num_left()); i > 1; --i)
            std::thread([parts, &work] { parts->take(&work); }).detach();
    } catch (const std::system_error&) {
        // No more threads to be had: those there are do the work.
    }
    parts->take(&work);
    parts->wait();
}

}  // namespace ablate
