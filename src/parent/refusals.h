// Refusals: tables that are read well and cannot be written all the same. After three times within
// the retry time such a table waits, so that the others are not held up by reading all anew again
// and again, nor by buffers that are full of its rows.
//
//   refusals.note("orders_changes", why, 600'000, clock);      // each time
//   refusals.wait("notes_changes", why, 600'000, clock);       // it need not be tried again
//   if (const Error* why = refusals.waits("orders_changes", clock)) ...
//   refusals.forget("orders_changes");                         // it has committed
//
// Threads: one.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/clock.h"
#include "evodb/result.h"

namespace evodb::parent {

class Refusals {
 public:
  void note(const std::string& table, const Error& why, std::int64_t for_ms, base::Clock& clock) {
    Refusal& refusal = by_table_[table];
    const auto now = clock.monotonic();
    refusal.times = now < refusal.until ? refusal.times + 1 : 1;
    refusal.until = base::MonotonicMillis(now.value + for_ms);
    refusal.why = why;
  }
  // At once, whatever came before.
  void wait(const std::string& table, Error why, std::int64_t for_ms, base::Clock& clock) {
    by_table_[table] = {std::move(why), times_max,
                        base::MonotonicMillis(clock.monotonic().value + for_ms)};
  }
  // Why, or null: it need not.
  const Error* waits(const std::string& table, base::Clock& clock) const {
    const auto it = by_table_.find(table);
    if (it == by_table_.end() || it->second.times < times_max) return nullptr;
    return clock.monotonic() < it->second.until ? &it->second.why : nullptr;
  }
  void forget(const std::string& table) { by_table_.erase(table); }

 private:
  static constexpr int times_max = 3;
  struct Refusal {
    Error why;
    int times = 0;
    base::MonotonicMillis until;
  };
  std::map<std::string, Refusal> by_table_;
};

}  // namespace evodb::parent
