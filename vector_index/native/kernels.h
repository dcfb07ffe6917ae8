// Dot products of rows, in float32, float64 and bytes, for whatever processor runs them.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define ATELIER_X86 1
#endif

#if defined(ATELIER_X86) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

namespace atelier {

// Eight lanes and how they lie in memory; narrower processors take them in two or four.
typedef double Doubles __attribute__((vector_size(64)));
typedef double DoublesAnywhere __attribute__((vector_size(64), aligned(8)));
typedef float FloatsAnywhere __attribute__((vector_size(32), aligned(4)));

// In float64, summed in one order on every processor, so that equal rows tie exactly.
FOR_EACH_PROCESSOR
inline double precise_dot(const float* a, const double* b, uint32_t dimension) {
  Doubles sums{};
  uint32_t i = 0;
  for (; i + 8 <= dimension; i += 8) {
    const FloatsAnywhere row = *reinterpret_cast<const FloatsAnywhere*>(a + i);
    sums += __builtin_convertvector(row, Doubles) * *reinterpret_cast<const DoublesAnywhere*>(b + i);
  }
  double sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += sums[lane];
  for (; i < dimension; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Bytes a row of codes takes: whole cache lines.
inline uint32_t code_size(uint32_t dimension) { return (dimension + 63) / 64 * 64; }

// Sum of a[i] * b[i]; size: a multiple of 64. Whole numbers, so equal on every processor.
using ByteDot = int32_t (*)(const uint8_t* a, const int8_t* b, uint32_t size);

inline int32_t byte_dot_plain(const uint8_t* a, const int8_t* b, uint32_t size) {
  int32_t sum = 0;
  for (uint32_t i = 0; i < size; ++i) sum += static_cast<int32_t>(a[i]) * b[i];
  return sum;
}

#ifdef ATELIER_X86
__attribute__((target("avx2"))) inline int32_t byte_dot_avx2(const uint8_t* a, const int8_t* b, uint32_t size) {
  __m256i even = _mm256_setzero_si256(), odd = even;
  for (uint32_t i = 0; i < size; i += 32) {
    const __m128i* row = reinterpret_cast<const __m128i*>(a + i);
    const __m128i* query = reinterpret_cast<const __m128i*>(b + i);
    even = _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128(row)),
                                                    _mm256_cvtepi8_epi16(_mm_loadu_si128(query))));
    odd = _mm256_add_epi32(odd, _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_loadu_si128(row + 1)),
                                                  _mm256_cvtepi8_epi16(_mm_loadu_si128(query + 1))));
  }
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi32(even, odd));
  return lanes[0] + lanes[1] + lanes[2] + lanes[3] + lanes[4] + lanes[5] + lanes[6] + lanes[7];
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) inline int32_t byte_dot_vnni(const uint8_t* a, const int8_t* b,
                                                                                    uint32_t size) {
  __m512i even = _mm512_setzero_si512(), odd = even;
  uint32_t i = 0;
  for (; i + 128 <= size; i += 128) {
    even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i));
    odd = _mm512_dpbusd_epi32(odd, _mm512_loadu_si512(a + i + 64), _mm512_loadu_si512(b + i + 64));
  }
  if (i < size) even = _mm512_dpbusd_epi32(even, _mm512_loadu_si512(a + i), _mm512_loadu_si512(b + i));
  alignas(64) int32_t lanes[16];
  _mm512_store_si512(lanes, _mm512_add_epi32(even, odd));
  int32_t sum = 0;
  for (int32_t lane : lanes) sum += lane;
  return sum;
}
#endif

inline ByteDot choose_byte_dot() {
#ifdef ATELIER_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) return byte_dot_vnni;
  if (__builtin_cpu_supports("avx2")) return byte_dot_avx2;
#endif
  return byte_dot_plain;
}

const ByteDot byte_dot = choose_byte_dot();

inline void prefetch_lines(const void* start, uint32_t size) {
  const char* bytes = static_cast<const char*>(start);
  for (uint32_t at = 0; at < size; at += 64) __builtin_prefetch(bytes + at);
}

}  // namespace atelier
