// StoreHealth: a store that fails is noticed before it costs anything. The store is probed
// (store_probe.h) when a parent starts, and again with backoff until it passes; a call that hangs
// and changes that do not land are reasons to be not ready long before their time limits.
//
//   auto health = std::make_shared<StoreHealth>(seams, options, say);
//   health->probe();                                  // loop thread; again by itself
//   for (const Error& reason : health->reasons(landing_stats)) ...
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/loop.h"
#include "evodb/result.h"
#include "parent/store_runner.h"

namespace evodb::parent {

struct LandingStats;  // landing.h

struct StoreHealthOptions {
  std::int64_t call_ms_max = 10'000;      // a call that takes longer is a reason
  std::int64_t unlanded_ms_max = 60'000;  // and a change that has been here for longer
  std::int64_t probe_retry_ms_max = 60'000;
};

// Owner: the Parent, and work under way. Loop thread.
class StoreHealth : public std::enable_shared_from_this<StoreHealth> {
 public:
  struct Seams {
    base::Loop& loop;
    StoreRunner& store;
    base::Clock& clock;
    base::Random& random;
  };
  StoreHealth(const Seams& seams, const StoreHealthOptions& options,
              std::function<void(const std::string&)> say)
      : seams_(seams),
        options_(options),
        say_(std::move(say)),
        backoff_(500, options.probe_retry_ms_max) {}

  // Probes until the store has passed. REQUIRES: it was not called before.
  void probe();
  void stop() { stopped_ = true; }  // nothing more is probed or said
  bool passed() const { return passed_; }
  const std::optional<Error>& probe_error() const { return error_; }
  // Why this parent is not ready as far as the store goes, the gravest first.
  std::vector<Error> reasons(const LandingStats& landing) const;

 private:
  void on_probed(const Result<void>& kept);

  Seams seams_;
  StoreHealthOptions options_;
  std::function<void(const std::string&)> say_;
  base::MonotonicMillis probing_since_;
  bool probing_ = false, passed_ = false, stopped_ = false;
  base::Backoff backoff_;
  std::optional<Error> error_;  // of the latest probe
};

}  // namespace evodb::parent
