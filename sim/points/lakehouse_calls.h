// LakehouseCalls: numbers every call to a store and a catalog, and strikes at one of them: the
// process stops before or after its effect, or the caller gets an error and the effect happened or
// not.
//
//   LakehouseCalls calls;
//   calls.watch(store);                               // a FakeStore
//   CountedCatalog catalog(std::move(sqlite_catalog), calls);
//   calls.strike(7, CallFault::kStopAfter);
//   ... until calls.stopped(): nothing that the process does reaches the lakehouse any more ...
//   calls.revive();                                   // the next process
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/seams/fake_store.h"
#include "table/catalog.h"

namespace evodb::sim {

enum class CallFault : std::uint8_t {
  kStopBefore,
  kStopAfter,
  kRetry,          // "away"; nothing happened
  kUnknownBefore,  // "no answer"; nothing happened
  kUnknownAfter,   // "no answer"; it happened
  kInvalid,        // refused, as with wrong credentials; nothing happened
};
inline constexpr CallFault stops[] = {CallFault::kStopBefore, CallFault::kStopAfter};
inline constexpr CallFault errors[] = {CallFault::kRetry, CallFault::kUnknownBefore,
                                       CallFault::kUnknownAfter, CallFault::kInvalid};
inline const char* name_of(CallFault strike) {
  constexpr const char* names[] = {"stop before it",      "stop after it",   "away",
                                   "no answer, not done", "no answer, done", "refused"};
  return names[static_cast<std::size_t>(strike)];
}

class LakehouseCalls {
 public:
  void watch(FakeStore& store) {
    store.fail_if([this](const FakeStore::Call& call) { return on_store(call); });
  }

  std::uint64_t made() const { return made_; }
  // The `n`-th call of all, from 1. Several may be planned.
  void strike(std::uint64_t n, CallFault how) { planned_.emplace_back(n, how); }
  bool stopped() const { return stopped_; }
  void revive() { stopped_ = false; }
  const std::string& struck() const { return struck_; }

  // What must become of the next call; nothing: let it through.
  std::optional<CallFault> next(const std::string& what) {
    if (stopped_) return CallFault::kStopBefore;
    ++made_;
    for (const auto& [n, how] : planned_) {
      if (n != made_) continue;
      struck_ = what;
      stopped_ = how == CallFault::kStopBefore || how == CallFault::kStopAfter;
      return how;
    }
    return std::nullopt;
  }

 private:
  std::optional<FakeStore::Fault> on_store(const FakeStore::Call& call) {
    constexpr const char* kinds[] = {"put", "get", "remove", "list", "check", "head"};
    const auto how = next(std::string(kinds[static_cast<std::size_t>(call.kind)]) + " " + call.key);
    if (!how) return std::nullopt;
    switch (*how) {
      case CallFault::kStopAfter:
      case CallFault::kUnknownAfter: return FakeStore::Fault::kUnknownAfter;
      case CallFault::kUnknownBefore: return FakeStore::Fault::kUnknownBefore;
      case CallFault::kInvalid: return FakeStore::Fault::kInvalid;
      default: return FakeStore::Fault::kRetry;
    }
  }

  std::uint64_t made_ = 0;
  std::vector<std::pair<std::uint64_t, CallFault>> planned_;
  bool stopped_ = false;
  std::string struck_;
};

class CountedCatalog final : public table::Catalog {
 public:
  using OnCommit = std::function<void(const std::string& table, const std::string& location)>;
  CountedCatalog(std::unique_ptr<table::Catalog> real, LakehouseCalls& calls)
      : real_(std::move(real)), calls_(calls) {}
  void on_commit(OnCommit on_commit) { on_commit_ = std::move(on_commit); }

  using Catalog::claim;
  Result<table::WriterEpoch> claim(table::WriterEpoch at_least) override {
    return write<table::WriterEpoch>("claim", [&] { return real_->claim(at_least); });
  }
  Result<table::WriterEpoch> claim_above(table::WriterEpoch held,
                                         table::WriterEpoch at_least) override {
    return write<table::WriterEpoch>("claim", [&] { return real_->claim_above(held, at_least); });
  }
  Result<std::vector<table::TableEntry>> list() override {
    return read<std::vector<table::TableEntry>>("list tables", [&] { return real_->list(); });
  }
  Result<std::optional<std::string>> load(const std::string& table) override {
    return read<std::optional<std::string>>("load " + table, [&] { return real_->load(table); });
  }
  Result<void> swap(table::WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& location) override {
    return write<void>("swap " + table, [&] {
      auto done = real_->swap(writer, table, expected, location);
      if (done && on_commit_) on_commit_(table, location);
      return done;
    });
  }
  Result<std::optional<std::string>> property(const std::string& key) override {
    return read<std::optional<std::string>>("property " + key,
                                            [&] { return real_->property(key); });
  }
  Result<void> reopen() override { return real_->reopen(); }
  Result<void> set_property(table::WriterEpoch writer, const std::string& key,
                            const std::string& value) override {
    return write<void>("set " + key, [&] { return real_->set_property(writer, key, value); });
  }

 private:
  template <class T, class Call>
  Result<T> read(const std::string& what, Call call) {
    if (calls_.next(what)) return fail(ErrorKind::kRetry, "the catalog is away");
    return call();
  }
  template <class T, class Call>
  Result<T> write(const std::string& what, Call call) {
    const auto how = calls_.next(what);
    if (!how) return call();
    if (*how == CallFault::kStopAfter || *how == CallFault::kUnknownAfter) (void)call();
    if (*how == CallFault::kRetry || *how == CallFault::kStopBefore ||
        *how == CallFault::kInvalid) {
      return fail(ErrorKind::kRetry, "the catalog is away");
    }
    return fail(ErrorKind::kOutcomeUnknown, "the catalog did not answer");
  }

  std::unique_ptr<table::Catalog> real_;
  LakehouseCalls& calls_;
  OnCommit on_commit_;
};

}  // namespace evodb::sim
