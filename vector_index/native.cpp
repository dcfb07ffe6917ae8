// What Python calls through ctypes, without the interpreter's lock: graphs in mapped files, codes of rows, searches.

#include <functional>
#include <thread>

#include "native/search.h"

using namespace atelier;

namespace {

// As Python packs a part: whole numbers of 64 bits.
struct PackedPart {
  const Graph* graph;
  const uint8_t* base;
  uint64_t stride, count;
  const int64_t* labels;
  const uint8_t* codes;
  const CodeScale* scales;
  const uint8_t* live;
  uint64_t live_count;
};

Part unpack(const PackedPart& packed, uint32_t dimension) {
  const Rows rows = packed.graph ? packed.graph->rows()
                                 : Rows{packed.base,   packed.stride, packed.count, dimension,
                                        packed.labels, packed.codes,  packed.scales};
  return {packed.graph, rows, packed.live, packed.live_count};
}

}  // namespace

extern "C" {

// A graph over the bytes of a file, which must stay mapped; null, with the reason, if the file is refused.
void* atelier_graph_open(const uint8_t* bytes, uint64_t size, uint32_t dimension, const char** error) try {
  auto graph = std::make_unique<Graph>(bytes, size, dimension);
  *error = graph->error();
  return *error ? nullptr : graph.release();
} catch (const std::bad_alloc&) {
  *error = "out of memory";
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

uint32_t atelier_code_size(uint32_t dimension) { return code_size(dimension); }

// The codes of rows that lie one behind the other.
void atelier_encode(const float* rows, uint64_t count, uint32_t dimension, uint8_t* codes, CodeScale* scales) {
  for (uint64_t i = 0; i < count; ++i)
    scales[i] = encode_row(rows + i * dimension, dimension, codes + i * code_size(dimension));
}

// The vectors at `order` with norm 1; returns the first place in it whose vector has no direction or a component that is
// not finite, else `count`.
uint64_t atelier_unit_rows(const void* vectors, uint32_t is_double, const int64_t* order, uint64_t count,
                           uint32_t dimension, float* rows) {
  std::vector<double> vector(dimension);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t at = static_cast<uint64_t>(order[i]) * dimension;
    if (is_double)
      std::copy_n(static_cast<const double*>(vectors) + at, dimension, vector.begin());
    else
      std::copy_n(static_cast<const float*>(vectors) + at, dimension, vector.begin());
    if (!unit_of(vector.data(), dimension, vector.data())) return i;
    float* row = rows + i * dimension;
    for (uint32_t j = 0; j < dimension; ++j) row[j] = static_cast<float>(vector[j]);
  }
  return count;
}

// The rows of all parts nearest to each of `queries` vectors of any length: counts[i] of them at labels + i * count,
// fewer than `count` where the masks accept fewer; -1 for a query without a direction. walks[i]: how many parts the
// query walked, in place of comparing.
void atelier_search(const PackedPart* packed, uint32_t part_count, uint32_t dimension, const double* query,
                    uint32_t queries, const Ask* ask, int64_t* labels, float* similarities, int64_t* counts,
                    int64_t* walks) {
  std::vector<Part> parts;
  for (uint32_t i = 0; i < part_count; ++i) parts.push_back(unpack(packed[i], dimension));
  const Search search(parts.data(), part_count, dimension, *ask);
  run_on_threads(queries, ask->threads, [&](uint32_t i, Workspace& workspace) {
    const uint64_t at = static_cast<uint64_t>(i) * ask->count;
    if (!search.answer(query + static_cast<uint64_t>(i) * dimension, {labels + at, similarities + at, counts + i, walks + i}, workspace))
      counts[i] = -1;
  });
}

}  // extern "C"
