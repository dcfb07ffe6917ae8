// A search of several queries over several parts of rows, with threads of its own for more than one query.
//
// Vectors have norm 1, so a dot product is the cosine. Codes choose; the rows that are returned are compared in
// float64, so that equal rows tie exactly.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <system_error>
#include <thread>

#include "graph.h"

namespace atelier {

// Rows with or without a graph over them, and which of them live: by position, or null for all.
struct Part {
  const Graph* graph;
  Rows rows;
  const uint8_t* live;
  uint64_t live_count;
};

// What a search wants. ef: candidates that a graph keeps. share: about the share of the rows that may be returned.
// candidate_rows: rows that are compared in the time in which a graph finds a candidate. excluded: labels, few.
struct Ask {
  uint32_t count, ef, candidate_rows, threads, exact, excluded_count;
  double share;
  const uint8_t* allowed;
  uint64_t allowed_size;
  const int64_t* excluded;

  uint32_t wanted() const { return count + excluded_count; }
  // Codes swap rows that are nearly as near, so a walk keeps a few more than are wanted.
  uint32_t kept() const { return std::max(ef, wanted() + wanted() / 8 + 8); }
  bool excludes(int64_t label) const { return std::find(excluded, excluded + excluded_count, label) != excluded + excluded_count; }
};

// Where the answer to a query goes: `count` places of each, how many are used, how many graphs were walked.
struct Answer {
  int64_t* labels;
  float* similarities;
  int64_t* count;
  int64_t* walks;
};

struct Candidate {
  float low, high;  // the similarity lies between
  uint32_t part, position;
};

struct Result {
  float similarity;
  int64_t label;
};

// Candidates of all parts for one query, less those that the codes rule out.
class Finalists {
 public:
  void begin(uint32_t wanted) {
    wanted_ = wanted;
    candidates_.clear(), lows_.clear();
  }

  void add(float similarity, float error, uint32_t part, uint32_t position) {
    const Candidate candidate{similarity - error, similarity + error, part, position};
    if (candidate.high < cut()) return;
    candidates_.push_back(candidate);
    if (lows_.size() == wanted_ && candidate.low <= lows_.front()) return;
    lows_.push_back(candidate.low);
    std::push_heap(lows_.begin(), lows_.end(), std::greater<float>());
    if (lows_.size() > wanted_) std::pop_heap(lows_.begin(), lows_.end(), std::greater<float>()), lows_.pop_back();
  }

  // The first by similarity in float64 rounded to float32, then label.
  void rank(const Part* parts, const Ask& ask, const Query& query, const Answer& answer) {
    results_.clear();
    for (const Candidate& each : candidates_)
      if (each.high >= cut()) prefetch_lines(parts[each.part].rows.row(each.position), 256);
    for (const Candidate& each : candidates_) {
      const Rows& rows = parts[each.part].rows;
      if (each.high < cut() || ask.excludes(rows.labels[each.position])) continue;
      const float similarity = static_cast<float>(precise_dot(rows.row(each.position), query.exact, rows.dimension));
      results_.push_back({std::min(1.0f, std::max(-1.0f, similarity)), rows.labels[each.position]});
    }
    const size_t kept = std::min<size_t>(ask.count, results_.size());
    std::partial_sort(results_.begin(), results_.begin() + kept, results_.end(), [](const Result& a, const Result& b) {
      return a.similarity != b.similarity ? a.similarity > b.similarity : a.label < b.label;
    });
    for (size_t i = 0; i < kept; ++i) answer.labels[i] = results_[i].label, answer.similarities[i] = results_[i].similarity;
    *answer.count = static_cast<int64_t>(kept);
  }

 private:
  // Below it no row can be among the wanted ones.
  float cut() const { return lows_.size() == wanted_ ? lows_.front() : -8.0f; }

  uint32_t wanted_ = 0;
  std::vector<Candidate> candidates_;
  std::vector<float> lows_;
  std::vector<Result> results_;
};

struct Workspace {
  Scratch scratch;
  Finalists finalists;
  std::vector<double> unit;
  std::vector<uint32_t> positions;
};

// Memory that searches leave for the next ones, so that none begins by filling pages.
class Workspaces {
 public:
  std::unique_ptr<Workspace> take() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (kept_.empty()) return std::make_unique<Workspace>();
    std::unique_ptr<Workspace> workspace = std::move(kept_.back());
    kept_.pop_back();
    return workspace;
  }
  void give(std::unique_ptr<Workspace> workspace) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (kept_.size() < kMostKept) kept_.push_back(std::move(workspace));
  }

 private:
  static constexpr size_t kMostKept = 8;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> kept_;
};

inline Workspaces workspaces;

class Search {
 public:
  Search(const Part* parts, uint32_t part_count, uint32_t dimension, const Ask& ask)
      : parts_(parts), part_count_(part_count), dimension_(dimension), ask_(ask) {}

  // Answers one query; false if it has no direction or a component that is not finite.
  bool answer(const double* query, const Answer& answer, Workspace& work) const {
    work.unit.resize(dimension_);
    if (!unit_of(query, dimension_, work.unit.data())) return false;
    work.scratch.query.set(work.unit.data(), dimension_);
    work.finalists.begin(ask_.wanted());
    *answer.walks = 0;
    for (uint32_t part = 0; part < part_count_; ++part) *answer.walks += search(part, work);
    work.finalists.rank(parts_, ask_, work.scratch.query, answer);
    return true;
  }

 private:
  // Whether the graph of the part was walked.
  bool search(uint32_t number, Workspace& work) const {
    const Part& part = parts_[number];
    const Mask mask{part.live, ask_.allowed, ask_.allowed_size};
    if (part.graph && !is_exact(part) && walk(number, mask, work)) return true;
    compare(number, mask, work);
    return false;
  }

  // Whether comparing is cheaper: a walk passes 1 / share rows for each candidate that it may keep.
  bool is_exact(const Part& part) const {
    const double rows = static_cast<double>(part.live_count), ef = ask_.kept();
    return ask_.exact || ask_.wanted() * 4.0 > rows || ask_.share * ask_.share * rows < ask_.candidate_rows * ef;
  }

  // Whether the graph found as many rows as are wanted. Where the rows near the query may not be returned, a walk would
  // pass more rows than comparing does, and gives up.
  bool walk(uint32_t number, const Mask& mask, Workspace& work) const {
    const Part& part = parts_[number];
    const uint64_t budget =
        ask_.share >= 1 ? UINT64_MAX : static_cast<uint64_t>(ask_.share * static_cast<double>(part.live_count)) / 2;
    part.graph->walk(ask_.kept(), budget, mask, work.scratch);
    if (work.scratch.nearest.size() < std::min<uint64_t>(ask_.wanted(), part.live_count)) return false;
    const float likely = std::min(1.0f, kDeviations / std::sqrt(static_cast<float>(dimension_)));
    for (const Scored& each : work.scratch.nearest)
      work.finalists.add(each.first, likely * work.scratch.query.error(part.rows, each.second), number, each.second);
    return true;
  }

  void compare(uint32_t number, const Mask& mask, Workspace& work) const {
    const Rows& rows = parts_[number].rows;
    const Query& query = work.scratch.query;
    std::vector<uint32_t>& positions = work.positions;
    positions.clear();
    mask.for_each(rows, [&](uint64_t position) { positions.push_back(static_cast<uint32_t>(position)); });
    for (size_t i = 0; i < positions.size(); ++i) {
      if (i + kAhead < positions.size()) prefetch_lines(rows.code(positions[i + kAhead]), code_size(dimension_));
      const uint32_t at = positions[i];
      work.finalists.add(query.similarity(rows, at), query.error(rows, at), number, at);
    }
  }

  // A walk is not exact, so of its rows those are left out that the codes rule out by so many deviations of their error;
  // in many dimensions that is far from its bound.
  static constexpr float kDeviations = 8.0f;
  static constexpr size_t kAhead = 8;
  const Part* parts_;
  uint32_t part_count_, dimension_;
  const Ask& ask_;
};

// Runs `work(i)` for each of `count` numbers on this thread and up to `threads` - 1 others.
template <typename Work>
void run_on_threads(uint32_t count, uint32_t threads, Work work) {
  std::atomic<uint32_t> next{0};
  auto take = [&] {
    std::unique_ptr<Workspace> workspace = workspaces.take();
    for (uint32_t i; (i = next++) < count;) work(i, *workspace);
    workspaces.give(std::move(workspace));
  };
  std::vector<std::thread> others;
  try {
    for (uint32_t i = 1; i < std::min(threads, count); ++i) others.emplace_back(take);
  } catch (const std::system_error&) {
    // The system has no thread to spare: those that run do the work.
  }
  take();
  for (std::thread& other : others) other.join();
}

}  // namespace atelier
