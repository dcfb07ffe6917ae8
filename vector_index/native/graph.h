// hnswlib's index files read where they lie, mapped, and walked.
//
// The format is hnswlib 0.8's `saveIndex`; the search is Malkov and Yashunin, arXiv:1603.09320, algorithm 5, with
// masks, over codes. Every number of a file is checked when it is opened, so that a crafted file is refused and cannot
// lead a search outside the mapping (hnswlib's own loader checks nothing, its issue 673).
#pragma once

#include <memory>
#include <utility>

#include "rows.h"

namespace atelier {

using Scored = std::pair<float, uint32_t>;  // similarity, position

// What a walk needs beside its graph; used by one search at a time, and again by the next.
struct Scratch {
  Query query;
  std::vector<uint16_t> visited;
  uint16_t round = 0;
  std::vector<Scored> frontier, nearest;
  std::vector<uint32_t> unseen;

  void begin(uint64_t rows) {
    nearest.clear();
    if (visited.size() < rows) visited.resize(rows, 0);
    if (!++round) std::fill(visited.begin(), visited.end(), 0), round = 1;
  }
};

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
    if (!error_) encode_rows();
  }

  const char* error() const { return error_; }
  const Rows& rows() const { return rows_; }
  uint64_t data_offset() const { return kHeaderSize + header_.data_offset; }
  uint64_t stride() const { return header_.element_size; }

  // Leaves in `scratch.nearest` the positions nearest to its query, of those that the mask accepts, in no order; at
  // most `ef`. None if the walk would compare with more than `budget` rows.
  void walk(uint32_t ef, uint64_t budget, const Mask& mask, Scratch& scratch) const {
    scratch.begin(rows_.count);
    if (rows_.count && !expand(descend(scratch.query), ef, budget, mask, scratch)) scratch.nearest.clear();
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
    for (uint64_t i = 0; i < h.count; ++i) {
      std::memcpy(&labels_[i], level0_ + i * h.element_size + h.label_offset, 8);
      if (labels_[i] < 1 || (i && labels_[i] <= labels_[i - 1])) return "the labels do not ascend from 1";
    }
    rows_ = {level0_ + h.data_offset, h.element_size, h.count, dimension, labels_.data(), nullptr, nullptr};
    copy_lowest_links();
    return nullptr;
  }

  // The lists of level 0 lie between the vectors, each on a page of its own; a walk reads many of them.
  void copy_lowest_links() {
    const uint64_t size = header_.max_links0 * 4 + 4;
    lowest_stride_ = (size + 63) / 64 * 64;
    lowest_ = Pages(rows_.count * lowest_stride_);
    for (uint64_t i = 0; i < rows_.count; ++i)
      std::memcpy(lowest_.get() + i * lowest_stride_, level0_ + i * header_.element_size, size);
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

  void encode_rows() {
    const uint64_t size = code_size(rows_.dimension);
    codes_ = Pages(rows_.count * size);
    scales_.resize(rows_.count);
    for (uint64_t i = 0; i < rows_.count; ++i)
      scales_[i] = encode_row(rows_.row(i), rows_.dimension, codes_.get() + i * size);
    rows_.codes = codes_.get(), rows_.scales = scales_.data();
  }

  const uint8_t* links(uint64_t position, int level) const {
    if (!level) return lowest_.get() + position * lowest_stride_;
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

  Scored descend(const Query& query) const {
    Scored best{query.similarity(rows_, header_.entry), header_.entry};
    for (int level = header_.max_level; level > 0; --level)
      for (bool moved = true; moved;) {
        moved = false;
        const uint8_t* list = links(best.second, level);
        for (uint32_t j = 0, count = link_count(list); j < count; ++j) {
          const uint32_t neighbour = link(list, j);
          const float near = query.similarity(rows_, neighbour);
          if (near > best.first) best = {near, neighbour}, moved = true;
        }
      }
    return best;
  }

  bool expand(Scored start, uint32_t ef, uint64_t budget, const Mask& mask, Scratch& scratch) const {
    auto& [query, visited, round, frontier, nearest, unseen] = scratch;
    auto farthest_first = [](const Scored& a, const Scored& b) { return a.first > b.first; };
    auto keep = [&, &nearest = nearest](const Scored& scored) {
      if (!mask.accepts(rows_, scored.second)) return;
      nearest.push_back(scored);
      std::push_heap(nearest.begin(), nearest.end(), farthest_first);
      if (nearest.size() > ef) std::pop_heap(nearest.begin(), nearest.end(), farthest_first), nearest.pop_back();
    };
    frontier.assign(1, start);
    visited[start.second] = round;
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
        if (unseen.size() <= kAhead) prefetch(neighbour);
      }
      if (unseen.size() > budget) return false;
      budget -= unseen.size();
      for (size_t j = 0; j < unseen.size(); ++j) {
        if (j + kAhead < unseen.size()) prefetch(unseen[j + kAhead]);
        const Scored scored{query.similarity(rows_, unseen[j]), unseen[j]};
        if (nearest.size() >= ef && scored.first <= nearest.front().first) continue;
        frontier.push_back(scored);
        std::push_heap(frontier.begin(), frontier.end());
        keep(scored);
      }
      if (!frontier.empty()) prefetch_lines(links(frontier.front().second, 0), static_cast<uint32_t>(lowest_stride_));
    }
    return true;
  }

  static constexpr size_t kAhead = 8;
  void prefetch(uint32_t position) const {
    prefetch_lines(rows_.code(position), std::min<uint32_t>(code_size(rows_.dimension), 1024));
  }

  const uint8_t* bytes_;
  uint64_t size_;
  Header header_{};
  const uint8_t* level0_ = nullptr;
  Rows rows_{};
  std::vector<int64_t> labels_;
  std::vector<uint64_t> upper_;
  std::vector<uint8_t> levels_;
  uint64_t lowest_stride_ = 0;
  Pages lowest_, codes_;
  std::vector<CodeScale> scales_;
  const char* error_ = nullptr;
};

}  // namespace atelier
