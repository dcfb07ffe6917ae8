// Searches hnswlib's index files where they lie, mapped: without a copy, without the interpreter's lock.
//
// The format is hnswlib 0.8's `saveIndex`; the search is Malkov and Yashunin, arXiv:1603.09320, algorithm 5, with
// masks. Every number of a file is checked when it is opened, so that a crafted file is refused and cannot lead a
// search outside the mapping (hnswlib's own loader checks nothing, its issue 673).
//
// Vectors have norm 1, so a dot product is the cosine. The search compares in float32; the rows that it returns are
// compared in float64, summed in one fixed order on every processor, so that equal rows tie exactly.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif

namespace {

// Above the error of a float32 dot product of unit vectors, so that no row that ties is cut off unseen.
constexpr float kMargin = 1e-5f;

using Scored = std::pair<float, uint32_t>;  // similarity, position

// Sixteen lanes and how they lie in memory; narrower processors take them in two or four.
typedef float Floats __attribute__((vector_size(64)));
typedef float FloatsAnywhere __attribute__((vector_size(64), aligned(4)));
typedef double Doubles __attribute__((vector_size(64)));
typedef double DoublesAnywhere __attribute__((vector_size(64), aligned(8)));
typedef float HalfAnywhere __attribute__((vector_size(32), aligned(4)));

FOR_EACH_PROCESSOR
float dot(const float* a, const float* b, uint32_t dimension) {
  Floats sums{}, more{};
  uint32_t i = 0;
  for (; i + 32 <= dimension; i += 32) {
    sums += *reinterpret_cast<const FloatsAnywhere*>(a + i) * *reinterpret_cast<const FloatsAnywhere*>(b + i);
    more += *reinterpret_cast<const FloatsAnywhere*>(a + i + 16) * *reinterpret_cast<const FloatsAnywhere*>(b + i + 16);
  }
  sums += more;
  float sum = 0;
  for (int lane = 0; lane < 16; ++lane) sum += sums[lane];
  for (; i < dimension; ++i) sum += a[i] * b[i];
  return sum;
}

FOR_EACH_PROCESSOR
double precise_dot(const float* a, const double* b, uint32_t dimension) {
  Doubles sums{};
  uint32_t i = 0;
  for (; i + 8 <= dimension; i += 8) {
    const HalfAnywhere row = *reinterpret_cast<const HalfAnywhere*>(a + i);
    sums += __builtin_convertvector(row, Doubles) * *reinterpret_cast<const DoublesAnywhere*>(b + i);
  }
  double sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += sums[lane];
  for (; i < dimension; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// Unit rows in memory or in a mapped file. labels: by position.
struct Rows {
  const uint8_t* base;
  uint64_t stride;
  uint64_t count;
  uint32_t dimension;
  const int64_t* labels;

  const float* row(uint64_t position) const {
    return reinterpret_cast<const float*>(base + position * stride);
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
};

// Asks for a row before it is compared; the processor follows the rest of a long row by itself.
inline void prefetch_row(const float* row, uint32_t dimension) {
  const char* bytes = reinterpret_cast<const char*>(row);
  const uint32_t size = std::min<uint32_t>(dimension * 4, 2048);
  for (uint32_t at = 0; at < size; at += 64) __builtin_prefetch(bytes + at);
}

struct Result {
  float similarity;
  int64_t label;
};

// The first `count` of some positions, by similarity in float64 rounded to float32, then label.
int64_t rank(const Rows& rows, const double* query, const std::vector<Scored>& chosen, uint32_t count,
             int64_t* labels, float* similarities) {
  thread_local std::vector<Result> results;
  results.clear();
  for (const Scored& scored : chosen) {
    const float similarity = static_cast<float>(precise_dot(rows.row(scored.second), query, rows.dimension));
    results.push_back({std::min(1.0f, std::max(-1.0f, similarity)), rows.labels[scored.second]});
  }
  const size_t kept = std::min<size_t>(count, results.size());
  std::partial_sort(results.begin(), results.begin() + kept, results.end(), [](const Result& a, const Result& b) {
    return a.similarity != b.similarity ? a.similarity > b.similarity : a.label < b.label;
  });
  for (size_t i = 0; i < kept; ++i) {
    labels[i] = results[i].label;
    similarities[i] = results[i].similarity;
  }
  return static_cast<int64_t>(kept);
}

void narrow(const double* query, uint32_t dimension, std::vector<float>& out) {
  out.resize(dimension);
  for (uint32_t i = 0; i < dimension; ++i) out[i] = static_cast<float>(query[i]);
}

// hnswlib's header as it is written, without padding.
struct Header {
  uint64_t offset_level0, max_elements, count, element_size, label_offset, data_offset;
  int32_t max_level;
  uint32_t entry;
  uint64_t max_links, max_links0, m;
  double multiplier;
  uint64_t ef_construction;
};
constexpr uint64_t kHeaderSize = 96;

class Graph {
 public:
  Graph(const uint8_t* bytes, uint64_t size, uint32_t dimension) : bytes_(bytes), size_(size) {
    error_ = read_header(dimension);
    if (!error_) error_ = read_upper_levels();
    if (!error_) error_ = check_links();
  }

  const char* error() const { return error_; }
  const Rows& rows() const { return rows_; }
  uint64_t data_offset() const { return kHeaderSize + header_.data_offset; }
  uint64_t stride() const { return header_.element_size; }

  // The positions nearest to a query, of those that the mask accepts, in no order; at most `ef`. None if the walk
  // would compare with more than `budget` rows.
  void search(const float* query, uint32_t ef, uint64_t budget, const Mask& mask, std::vector<Scored>& nearest) const {
    nearest.clear();
    if (rows_.count && !expand(query, descend(query), ef, budget, mask, nearest)) nearest.clear();
  }

 private:
  const char* read_header(uint32_t dimension) {
    if (size_ < kHeaderSize) return "the file is shorter than its header";
    const uint8_t* p = bytes_;
    auto take = [&p](auto& field) { std::memcpy(&field, p, sizeof field); p += sizeof field; };
    Header& h = header_;
    take(h.offset_level0), take(h.max_elements), take(h.count), take(h.element_size), take(h.label_offset);
    take(h.data_offset), take(h.max_level), take(h.entry), take(h.max_links), take(h.max_links0), take(h.m);
    take(h.multiplier), take(h.ef_construction);
    if (h.max_links > 4096 || h.max_links0 > 8192 || h.max_level < -1 || h.max_level > 64)
      return "the header's bounds of links or levels are not plausible";
    const uint64_t links = h.max_links0 * 4 + 4, vector = static_cast<uint64_t>(dimension) * 4;
    if (h.offset_level0 != 0 || h.data_offset != links || h.label_offset != links + vector ||
        h.element_size != links + vector + 8)
      return "the header's offsets do not fit the dimension";
    if (h.count > UINT32_MAX || h.count * h.element_size > size_ - kHeaderSize)
      return "the file is shorter than its rows";
    if (h.count && (h.entry >= h.count || h.max_level < 0)) return "the entry point is not a row";
    level0_ = bytes_ + kHeaderSize;
    labels_.resize(h.count);
    for (uint64_t i = 0; i < h.count; ++i)
      std::memcpy(&labels_[i], level0_ + i * h.element_size + h.label_offset, 8);
    rows_ = {level0_ + h.data_offset, h.element_size, h.count, dimension, labels_.data()};
    return nullptr;
  }

  const char* read_upper_levels() {
    const uint64_t list = header_.max_links * 4 + 4;
    uint64_t offset = kHeaderSize + header_.count * header_.element_size;
    upper_.assign(header_.count, 0);
    levels_.assign(header_.count, 0);
    for (uint64_t i = 0; i < header_.count; ++i) {
      uint32_t length;
      if (offset + 4 > size_) return "the file ends inside its upper levels";
      std::memcpy(&length, bytes_ + offset, 4);
      offset += 4;
      if (length % list || length / list > static_cast<uint64_t>(header_.max_level) || offset + length > size_)
        return "a list of the upper levels has an impossible length";
      upper_[i] = offset;
      levels_[i] = static_cast<uint8_t>(length / list);
      offset += length;
    }
    if (offset != size_) return "the file goes on after its last list";
    if (header_.count && levels_[header_.entry] != header_.max_level) return "the entry point is not on the top level";
    return nullptr;
  }

  const char* check_links() const {
    for (uint64_t i = 0; i < header_.count; ++i)
      for (int level = 0; level <= levels_[i]; ++level) {
        const uint8_t* list = links(i, level);
        const uint32_t count = link_count(list);
        if (count > (level ? header_.max_links : header_.max_links0)) return "a node has too many links";
        for (uint32_t j = 0; j < count; ++j) {
          const uint32_t neighbour = link(list, j);
          if (neighbour >= header_.count || levels_[neighbour] < level) return "a link leads to no node";
        }
      }
    return nullptr;
  }

  const uint8_t* links(uint64_t position, int level) const {
    if (!level) return level0_ + position * header_.element_size;
    return bytes_ + upper_[position] + (level - 1) * (header_.max_links * 4 + 4);
  }
  static uint32_t link_count(const uint8_t* list) {
    uint16_t count;
    std::memcpy(&count, list, 2);
    return count;
  }
  static uint32_t link(const uint8_t* list, uint32_t index) {
    uint32_t position;
    std::memcpy(&position, list + 4 + index * 4, 4);
    return position;
  }
  float similarity(const float* query, uint32_t position) const {
    return dot(query, rows_.row(position), rows_.dimension);
  }

  Scored descend(const float* query) const {
    Scored best{similarity(query, header_.entry), header_.entry};
    for (int level = header_.max_level; level > 0; --level)
      for (bool moved = true; moved;) {
        moved = false;
        const uint8_t* list = links(best.second, level);
        for (uint32_t j = 0, count = link_count(list); j < count; ++j) {
          const uint32_t neighbour = link(list, j);
          const float near = similarity(query, neighbour);
          if (near > best.first) best = {near, neighbour}, moved = true;
        }
      }
    return best;
  }

  bool expand(const float* query, Scored start, uint32_t ef, uint64_t budget, const Mask& mask,
              std::vector<Scored>& nearest) const {
    thread_local std::vector<uint16_t> visited;
    thread_local uint16_t round = 0;
    thread_local std::vector<Scored> frontier;
    thread_local std::vector<uint32_t> unseen;
    if (visited.size() < rows_.count) visited.resize(rows_.count, 0);
    if (!++round) std::fill(visited.begin(), visited.end(), 0), round = 1;
    frontier.assign(1, start);
    visited[start.second] = round;
    auto farthest_first = [](const Scored& a, const Scored& b) { return a.first > b.first; };
    auto keep = [&](const Scored& scored) {
      if (!mask.accepts(rows_, scored.second)) return;
      nearest.push_back(scored);
      std::push_heap(nearest.begin(), nearest.end(), farthest_first);
      if (nearest.size() > ef) std::pop_heap(nearest.begin(), nearest.end(), farthest_first), nearest.pop_back();
    };
    keep(start);
    while (!frontier.empty()) {
      const Scored next = frontier.front();
      if (nearest.size() >= ef && next.first < nearest.front().first) break;
      std::pop_heap(frontier.begin(), frontier.end());
      frontier.pop_back();
      unseen.clear();
      const uint8_t* list = links(next.second, 0);
      for (uint32_t j = 0, count = link_count(list); j < count; ++j) {
        const uint32_t neighbour = link(list, j);
        if (visited[neighbour] == round) continue;
        visited[neighbour] = round;
        unseen.push_back(neighbour);
      }
      if (unseen.size() > budget) return false;
      budget -= unseen.size();
      for (size_t j = 0; j < unseen.size(); ++j) {
        if (j + 1 < unseen.size()) prefetch(unseen[j + 1]);
        const Scored scored{similarity(query, unseen[j]), unseen[j]};
        if (nearest.size() >= ef && scored.first <= nearest.front().first) continue;
        frontier.push_back(scored);
        std::push_heap(frontier.begin(), frontier.end());
        keep(scored);
      }
    }
    return true;
  }

  void prefetch(uint32_t position) const {
    const char* row = reinterpret_cast<const char*>(rows_.row(position));
    for (int line = 0; line < 4; ++line) __builtin_prefetch(row + 64 * line);
  }

  const uint8_t* bytes_;
  uint64_t size_;
  Header header_{};
  const uint8_t* level0_ = nullptr;
  Rows rows_{};
  std::vector<int64_t> labels_;
  std::vector<uint64_t> upper_;
  std::vector<uint8_t> levels_;
  const char* error_ = nullptr;
};

}  // namespace

extern "C" {

// A graph over the bytes of a file, which must stay mapped; null, with the reason, if the file is refused.
void* atelier_graph_open(const uint8_t* bytes, uint64_t size, uint32_t dimension, const char** error) {
  Graph* graph = new (std::nothrow) Graph(bytes, size, dimension);
  *error = graph ? graph->error() : "out of memory";
  if (graph && !*error) return graph;
  delete graph;
  return nullptr;
}

void atelier_graph_close(void* graph) { delete static_cast<Graph*>(graph); }

// Rows, bytes before the first vector, bytes from one vector to the next.
void atelier_graph_shape(const void* graph, uint64_t* shape) {
  const Graph* g = static_cast<const Graph*>(graph);
  shape[0] = g->rows().count, shape[1] = g->data_offset(), shape[2] = g->stride();
}

void atelier_graph_labels(const void* graph, int64_t* labels) {
  const Rows& rows = static_cast<const Graph*>(graph)->rows();
  std::copy(rows.labels, rows.labels + rows.count, labels);
}

// Nearest rows of a graph for each of `queries` unit queries; counts[i] of them at labels + i * count. The counts are
// smaller than `count` where the graph reaches no more rows that the masks accept, 0 where it compares with more than
// `budget` rows.
void atelier_graph_search(const void* graph, const double* query, uint32_t queries, uint32_t count, uint32_t ef,
                          uint64_t budget, const uint8_t* live, const uint8_t* allowed, uint64_t allowed_size, int64_t* labels,
                          float* similarities, int64_t* counts) {
  const Graph* g = static_cast<const Graph*>(graph);
  const Rows& rows = g->rows();
  thread_local std::vector<float> narrowed;
  thread_local std::vector<Scored> nearest;
  for (uint32_t i = 0; i < queries; ++i) {
    const double* one = query + static_cast<uint64_t>(i) * rows.dimension;
    narrow(one, rows.dimension, narrowed);
    g->search(narrowed.data(), std::max(ef, count), budget, {live, allowed, allowed_size}, nearest);
    const uint64_t at = static_cast<uint64_t>(i) * count;
    counts[i] = rank(rows, one, nearest, count, labels + at, similarities + at);
  }
}

// As above, by comparing with every row that the masks accept.
void atelier_rows_search(const uint8_t* base, uint64_t stride, uint64_t row_count, uint32_t dimension,
                         const int64_t* row_labels, const double* query, uint32_t queries, uint32_t count,
                         const uint8_t* live, const uint8_t* allowed, uint64_t allowed_size, int64_t* labels,
                         float* similarities, int64_t* counts) {
  const Rows rows{base, stride, row_count, dimension, row_labels};
  const Mask mask{live, allowed, allowed_size};
  thread_local std::vector<float> narrowed;
  thread_local std::vector<uint32_t> accepted;
  thread_local std::vector<Scored> scored;
  thread_local std::vector<float> order;
  accepted.clear();
  for (uint64_t i = 0; i < row_count; ++i)
    if (mask.accepts(rows, i)) accepted.push_back(static_cast<uint32_t>(i));
  for (uint32_t i = 0; i < queries; ++i) {
    const double* one = query + static_cast<uint64_t>(i) * dimension;
    narrow(one, dimension, narrowed);
    scored.clear();
    for (size_t j = 0; j < accepted.size(); ++j) {
      if (j + 1 < accepted.size()) prefetch_row(rows.row(accepted[j + 1]), dimension);
      scored.push_back({dot(narrowed.data(), rows.row(accepted[j]), dimension), accepted[j]});
    }
    if (scored.size() > count) {
      order.clear();
      for (const Scored& each : scored) order.push_back(each.first);
      std::nth_element(order.begin(), order.begin() + (count - 1), order.end(), std::greater<float>());
      const float cut = order[count - 1] - kMargin;
      scored.erase(std::remove_if(scored.begin(), scored.end(), [cut](const Scored& s) { return s.first < cut; }),
                   scored.end());
    }
    const uint64_t at = static_cast<uint64_t>(i) * count;
    counts[i] = rank(rows, one, scored, count, labels + at, similarities + at);
  }
}

}  // extern "C"
