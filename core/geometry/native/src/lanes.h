// Vectors of lanes: one point per lane, in the vector types that GCC and Clang share.
//
// A lane's result never depends on its neighbours: loops that end early freeze each lane when it is done.

#pragma once

#include <cstdint>
#include <cstring>

namespace ablate {

// Width of a register.
#if defined(__AVX512F__)
constexpr int NUM_BYTES = 64;
#elif defined(__AVX__)
constexpr int NUM_BYTES = 32;
#else
constexpr int NUM_BYTES = 16;
#endif

template <class T>
constexpr int LANES = NUM_BYTES / sizeof(T);
template <class T>
struct LanesOf {
    typedef T type __attribute__((vector_size(NUM_BYTES)));
};
template <class T>
using Lanes = typename LanesOf<T>::type;
// What comparing two vectors gives: -1 or 0 in each lane.
template <class T>
using Mask = decltype(Lanes<T>{} < Lanes<T>{});

template <class T>
inline Lanes<T> load(const T* from) {
    Lanes<T> lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

template <class T>
inline void store(T* to, Lanes<T> lanes) {
    std::memcpy(to, &lanes, sizeof lanes);
}

template <class T>
inline Lanes<T> splat(T value) {
    return Lanes<T>{} + value;
}

template <class M>
inline bool any(M mask) {
    std::uint64_t words[sizeof(M) / 8], all = 0;
    std::memcpy(words, &mask, sizeof mask);
    for (std::uint64_t word : words) all |= word;
    return all != 0;
}

// The first `count` lanes.
template <class T>
inline Mask<T> first_lanes(int count) {
    Mask<T> lane{};
    for (int i = 0; i < LANES<T>; ++i) lane[i] = i;
    return lane < count;
}

template <class V>
inline V smaller(V a, V b) {
    return a < b ? a : b;
}
template <class V>
inline V larger(V a, V b) {
    return a > b ? a : b;
}

template <class T>
inline Lanes<T> magnitude(Lanes<T> a) {
    return a < 0 ? -a : a;
}

// 0 where `a` is finite, NaN elsewhere.
template <class V>
inline V probe(V a) {
    return a * 0;
}

// 1 / sqrt(a) for normal a > 0: a first guess from the exponent's bits, then Newton's steps to full precision.
// Lanes of any width have it, whereas not every compiler vectorises a square root.
inline Lanes<float> inverse_sqrt(Lanes<float> a) {
    Mask<float> bits;
    std::memcpy(&bits, &a, sizeof a);
    bits = 0x5f3759df - (bits >> 1);
    Lanes<float> root;
    std::memcpy(&root, &bits, sizeof bits);
    for (int step = 0; step < 3; ++step) root *= 1.5f - 0.5f * a * root * root;
    return root;
}
inline Lanes<double> inverse_sqrt(Lanes<double> a) {
    Mask<double> bits;
    std::memcpy(&bits, &a, sizeof a);
    bits = 0x5fe6eb50c7b537a9LL - (bits >> 1);
    Lanes<double> root;
    std::memcpy(&root, &bits, sizeof bits);
    for (int step = 0; step < 5; ++step) root *= 1.5 - 0.5 * a * root * root;
    return root;
}

// The largest power of two that is no larger than a > 0: to divide by it is exact.
inline Lanes<float> power_of_two(Lanes<float> a) {
    Mask<float> bits;
    std::memcpy(&bits, &a, sizeof a);
    bits &= 0x7f800000;
    std::memcpy(&a, &bits, sizeof a);
    return a;
}
inline Lanes<double> power_of_two(Lanes<double> a) {
    Mask<double> bits;
    std::memcpy(&bits, &a, sizeof a);
    bits &= 0x7ff0000000000000LL;
    std::memcpy(&a, &bits, sizeof a);
    return a;
}

// exp(a) for a <= 0: the power of two by exponent bits, the rest (|r| <= ln(2) / 2) by Taylor's series.
template <class T>
inline Lanes<T> exp_of_negative(Lanes<T> a) {
    constexpr bool is_single = sizeof(T) == 4;
    constexpr int terms = is_single ? 7 : 13, bits = is_single ? 23 : 52, bias = is_single ? 127 : 1023;
    constexpr T lowest = is_single ? T(-87) : T(-708);
    Lanes<T> x = larger(a, splat(lowest));
    Mask<T> power = __builtin_convertvector(x * T(1.4426950408889634) - T(0.5), Mask<T>);
    Lanes<T> whole = __builtin_convertvector(power, Lanes<T>);
    // ln(2) in two parts, the first with so few digits that its product with a power is exact.
    Lanes<T> r = (x - whole * T(0.693145751953125)) - whole * T(1.42860682030941723212e-6);
    Lanes<T> sum = splat(T(1));
    for (int term = terms; term > 0; --term) sum = T(1) + sum * r * (T(1) / T(term));
    Mask<T> exponent = (power + bias) << bits;
    Lanes<T> scale;
    std::memcpy(&scale, &exponent, sizeof scale);
    return a < lowest ? Lanes<T>{} : sum * scale;
}

}  // namespace ablate
