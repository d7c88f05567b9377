// FakeStore: an ObjectStore in memory, whose faults are chosen by the test.
//
//   FakeStore store(clock);
//   store.fail_call(3, FakeStore::Fault::kUnknownAfter);   // the third call from now
//   store.set_away(true);                                   // every call, until set_away(false)
//
// Keeps the promises of ObjectStore otherwise; nothing is ever half there.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "store/store.h"

namespace evodb::sim {

// Any thread.
class FakeStore : public store::ObjectStore {
 public:
  enum class Fault : std::uint8_t {
    kRetry,          // nothing happened, kRetry
    kUnknownBefore,  // nothing happened; a put or remove says kOutcomeUnknown, others kRetry
    kUnknownAfter,   // it happened; a put or remove says kOutcomeUnknown, others kRetry
    kInvalid,        // nothing happened, kInvalid: as with wrong credentials
  };
  enum class Kind : std::uint8_t { kPut, kGet, kRemove, kList, kCheck, kHead };
  struct Call {
    std::uint64_t number = 0;  // from 1
    Kind kind = Kind::kPut;
    std::string key;
  };

  explicit FakeStore(base::Clock& clock) : clock_(clock) {}

  void set_away(bool away);
  // Listings leave out what is younger than this; 0: they are complete.
  void set_list_lag_ms(std::int64_t ms);
  // The `n`-th call from now on, from 1. Adds to what is planned already.
  void fail_call(std::uint64_t n, Fault fault);
  // Asked about every call that nothing else fails.
  void fail_if(std::function<std::optional<Fault>(const Call&)> rule);
  void clear_faults();
  std::uint64_t calls() const;
  // What is stored, for a test to look at or to damage.
  std::map<std::string, std::string> objects() const;
  // One of them; no call, and no fault meets it.
  std::optional<std::string> peek(const std::string& key) const;
  void set_object(const std::string& key, const std::string& bytes);
  // What was removed, in order.
  std::vector<std::string> removed() const;

  Result<void> put(const std::string& key, std::string_view bytes, store::PutMode mode) override;
  Result<std::string> get(const std::string& key) override;
  Result<bool> holds(const std::string& key, std::string_view bytes) override;
  // One call of kind kHead: the object is looked at, its bytes are not asked for.
  Result<std::string> head(const std::string& key);
  Result<void> remove(const std::string& key) override;
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override;
  std::string location(const std::string& key) const override;
  Result<std::string> key_of(const std::string& location) const override;
  Result<void> check() override;

 private:
  struct Object {
    std::string bytes;
    UnixMillis modified;
  };
  std::optional<Fault> begin(Kind kind, const std::string& key);  // mutex_ held
  Result<std::string> read(Kind kind, const std::string& key);

  base::Clock& clock_;
  mutable std::mutex mutex_;
  std::map<std::string, Object> objects_;
  std::vector<std::string> removed_;
  std::map<std::uint64_t, Fault> planned_;
  std::function<std::optional<Fault>(const Call&)> rule_;
  std::uint64_t calls_ = 0;
  bool away_ = false;
  std::int64_t list_lag_ms_ = 0;
};

}  // namespace evodb::sim
