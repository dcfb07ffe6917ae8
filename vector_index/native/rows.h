// Unit rows, the codes that stand for them, and which of them may be returned.
//
// A row's code has a byte a component: row ≈ scale · (code - 128). A search compares codes, which are a quarter of
// the bytes, and then the rows themselves, of which only those are read that the codes cannot rule out: `error` bounds
// how far a row lies from its code, so comparing all codes finds exactly what comparing all rows would.
#pragma once

#include <sys/mman.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "kernels.h"

namespace atelier {

constexpr int kZero = 128;    // the byte of a component 0
constexpr int kMost = 127;    // the largest component of a row, in steps
constexpr float kMargin = 4e-6f;  // above what float32 loses in `Query::similarity`

struct CodeScale {
  float scale;
  float error;  // the length of the difference between the row and what its code says
};

// base: of float32 rows, `stride` bytes apart. labels: by position, ascending. codes: `code_size` bytes a row.
struct Rows {
  const uint8_t* base;
  uint64_t stride;
  uint64_t count;
  uint32_t dimension;
  const int64_t* labels;
  const uint8_t* codes;
  const CodeScale* scales;

  const float* row(uint64_t position) const { return reinterpret_cast<const float*>(base + position * stride); }
  const uint8_t* code(uint64_t position) const { return codes + position * code_size(dimension); }
};

// The square of a vector's length, summed in one order on every processor.
FOR_EACH_PROCESSOR
inline double square_of(const double* vector, uint32_t dimension) {
  Doubles sums{};
  uint32_t i = 0;
  for (; i + 8 <= dimension; i += 8) {
    const DoublesAnywhere eight = *reinterpret_cast<const DoublesAnywhere*>(vector + i);
    sums += eight * eight;
  }
  double sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += sums[lane];
  for (; i < dimension; ++i) sum += vector[i] * vector[i];
  return sum;
}

// A vector with norm 1; false if it has no direction or a component that is not finite.
FOR_EACH_PROCESSOR
inline bool unit_of(const double* vector, uint32_t dimension, double* unit) {
  constexpr double kLeastLength = 1e-12;
  const double square = square_of(vector, dimension);
  const double length = std::sqrt(square);
  if (!std::isfinite(square) || length <= kLeastLength) return false;
  for (uint32_t i = 0; i < dimension; ++i) unit[i] = vector[i] / length;
  return true;
}

// The code of a vector: whole steps plus `zero`, which is 128 for rows and 0 for queries.
template <typename Number, typename Byte>
inline CodeScale encode(const Number* vector, uint32_t dimension, int zero, Byte* code) {
  constexpr float kRounds = 12582912.0f;  // adding it to a small number leaves no place for a fraction
  float largest[8] = {};
  double square[8] = {};
  for (uint32_t i = 0; i < dimension; ++i)
    largest[i % 8] = std::max(largest[i % 8], std::abs(static_cast<float>(vector[i])));
  const float most = *std::max_element(largest, largest + 8);
  const float scale = most > 0 ? most / kMost : 1.0f, steps = 1.0f / scale;
  for (uint32_t i = 0; i < dimension; ++i) {
    const float step = std::max(-127.0f, std::min(127.0f, (static_cast<float>(vector[i]) * steps + kRounds) - kRounds));
    const double rest = static_cast<double>(vector[i]) - static_cast<double>(scale) * static_cast<double>(step);
    square[i % 8] += rest * rest;
    code[i] = static_cast<Byte>(static_cast<int>(step) + zero);
  }
  std::memset(code + dimension, zero, code_size(dimension) - dimension);
  double sum = 0;
  for (double each : square) sum += each;
  return {scale, static_cast<float>(std::sqrt(sum) * (1 + 1e-6))};
}

// A row's code; compiled for each processor, since every row of a file is encoded when it is opened.
FOR_EACH_PROCESSOR
inline CodeScale encode_row(const float* row, uint32_t dimension, uint8_t* code) {
  return encode(row, dimension, kZero, code);
}

// Memory on lines of its own, in pages as large as the system gives.
class Pages {
 public:
  Pages() = default;
  explicit Pages(uint64_t size) {
    size = (std::max<uint64_t>(size, 1) + kPage - 1) / kPage * kPage;
    bytes_.reset(static_cast<uint8_t*>(std::aligned_alloc(kPage, size)));
    if (!bytes_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (size >= kHugePage) madvise(bytes_.get(), size, MADV_HUGEPAGE);
#endif
  }
  uint8_t* get() const { return bytes_.get(); }

 private:
  static constexpr uint64_t kPage = 4096, kHugePage = uint64_t{2} << 20;
  struct Free {
    void operator()(uint8_t* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<uint8_t, Free> bytes_;
};

// A unit query as float64 and as a code.
struct Query {
  const double* exact = nullptr;
  std::vector<int8_t> code;
  CodeScale scale{};
  int32_t offset = 0;

  void set(const double* vector, uint32_t dimension) {
    exact = vector;
    code.resize(code_size(dimension));
    scale = encode(vector, dimension, 0, code.data());
    offset = 0;
    for (uint32_t i = 0; i < dimension; ++i) offset += code[i];
    offset *= kZero;
  }

  // What the codes say of a row's similarity; it differs from the true one by less than `error`.
  float similarity(const Rows& rows, uint64_t position) const {
    const int32_t steps = byte_dot(rows.code(position), code.data(), code_size(rows.dimension)) - offset;
    return scale.scale * rows.scales[position].scale * static_cast<float>(steps);
  }
  float error(const Rows& rows, uint64_t position) const {
    const float row = rows.scales[position].error;
    return row + scale.error * (1 + row) + kMargin;
  }
};

// Which rows may be returned. live: by position, or null for all. allowed: by label, or null for all.
struct Mask {
  const uint8_t* live;
  const uint8_t* allowed;
  uint64_t allowed_size;

  bool accepts(const Rows& rows, uint64_t position) const {
    if (live && !live[position]) return false;
    if (!allowed) return true;
    const int64_t label = rows.labels[position];
    return static_cast<uint64_t>(label) < allowed_size && allowed[label];
  }

  // Calls `use(position)` for each row that may be returned.
  template <typename Use>
  void for_each(const Rows& rows, Use use) const {
    if (allowed)
      for_each_allowed(rows, use);
    else
      for (uint64_t i = 0; i < rows.count; ++i)
        if (!live || live[i]) use(i);
  }

 private:
  // Walks over the labels that are allowed, eight at a time, since they may be few.
  template <typename Use>
  void for_each_allowed(const Rows& rows, Use use) const {
    if (!rows.count) return;
    const uint64_t last = std::min<uint64_t>(allowed_size, static_cast<uint64_t>(rows.labels[rows.count - 1]) + 1);
    uint64_t position = 0;
    for (uint64_t start = static_cast<uint64_t>(rows.labels[0]); start < last; start += 8) {
      uint64_t eight = 0;
      std::memcpy(&eight, allowed + start, std::min<uint64_t>(8, last - start));
      while (eight) {
        const unsigned byte = static_cast<unsigned>(__builtin_ctzll(eight)) / 8;
        eight &= ~(uint64_t{255} << (8 * byte));
        const int64_t label = static_cast<int64_t>(start + byte);
        position = position_of(rows, label, position);
        if (rows.labels[position] == label && (!live || live[position])) use(position);
      }
    }
  }

  // The first row from `start` on whose label is not smaller; there is one. Labels are mostly dense, so a row is about
  // as many places ahead as its label is.
  static uint64_t position_of(const Rows& rows, int64_t label, uint64_t start) {
    if (rows.labels[start] >= label) return start;
    const uint64_t ahead = std::min(start + static_cast<uint64_t>(label - rows.labels[start]), rows.count - 1);
    if (rows.labels[ahead] == label) return ahead;
    return static_cast<uint64_t>(std::lower_bound(rows.labels + start, rows.labels + ahead, label) - rows.labels);
  }
};

}  // namespace atelier
