#include "sim/seams/fake_store.h"

namespace evodb::sim {
namespace {

// As an S3Store in front of it says (fake_s3.h).
constexpr std::string_view root = "s3://warehouse/";

std::unexpected<Error> say(FakeStore::Fault fault, bool changes, const std::string& key) {
  if (fault == FakeStore::Fault::kInvalid) {
    return fail(ErrorKind::kInvalid, "the fake store refuses " + key);
  }
  if (fault == FakeStore::Fault::kRetry || !changes) {
    return fail(ErrorKind::kRetry, "the fake store is away: " + key);
  }
  return fail(ErrorKind::kOutcomeUnknown, "the fake store's answer was lost: " + key);
}

}  // namespace

void FakeStore::set_away(bool away) {
  const std::lock_guard lock(mutex_);
  away_ = away;
}

void FakeStore::set_list_lag_ms(std::int64_t ms) {
  const std::lock_guard lock(mutex_);
  list_lag_ms_ = ms;
}

void FakeStore::fail_call(std::uint64_t n, Fault fault) {
  const std::lock_guard lock(mutex_);
  planned_[calls_ + n] = fault;
}

void FakeStore::fail_if(std::function<std::optional<Fault>(const Call&)> rule) {
  const std::lock_guard lock(mutex_);
  rule_ = std::move(rule);
}

void FakeStore::clear_faults() {
  const std::lock_guard lock(mutex_);
  planned_.clear();
  rule_ = nullptr;
  away_ = false;
  list_lag_ms_ = 0;
}

std::uint64_t FakeStore::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

std::map<std::string, std::string> FakeStore::objects() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, std::string> all;
  for (const auto& [key, object] : objects_) all[key] = object.bytes;
  return all;
}

std::optional<std::string> FakeStore::peek(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto it = objects_.find(key);
  if (it == objects_.end()) return std::nullopt;
  return it->second.bytes;
}

void FakeStore::set_object(const std::string& key, const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  objects_[key] = {bytes, clock_.wall()};
}

std::vector<std::string> FakeStore::removed() const {
  const std::lock_guard lock(mutex_);
  return removed_;
}

std::optional<FakeStore::Fault> FakeStore::begin(Kind kind, const std::string& key) {
  const std::uint64_t number = ++calls_;
  if (away_) return Fault::kRetry;
  if (const auto it = planned_.find(number); it != planned_.end()) {
    const Fault fault = it->second;
    planned_.erase(it);
    return fault;
  }
  return rule_ ? rule_({number, kind, key}) : std::nullopt;
}

Result<void> FakeStore::put(const std::string& key, std::string_view bytes, store::PutMode mode) {
  const std::lock_guard lock(mutex_);
  const auto fault = begin(Kind::kPut, key);
  if (fault && *fault != Fault::kUnknownAfter) return say(*fault, true, key);
  if (mode == store::PutMode::kIfAbsent && objects_.contains(key)) {
    return fail(store::object_exists(key));
  }
  objects_[key] = {std::string(bytes), clock_.wall()};
  if (fault) return say(*fault, true, key);
  return {};
}

Result<std::string> FakeStore::get(const std::string& key) { return read(Kind::kGet, key); }
Result<bool> FakeStore::holds(const std::string& key, std::string_view bytes) {
  return EVODB_TRY(head(key)) == bytes;
}
Result<std::string> FakeStore::head(const std::string& key) { return read(Kind::kHead, key); }

Result<std::string> FakeStore::read(Kind kind, const std::string& key) {
  const std::lock_guard lock(mutex_);
  if (const auto fault = begin(kind, key)) return say(*fault, false, key);
  const auto it = objects_.find(key);
  if (it == objects_.end()) return fail(store::no_such_object(key));
  return it->second.bytes;
}

Result<void> FakeStore::remove(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto fault = begin(Kind::kRemove, key);
  if (fault && *fault != Fault::kUnknownAfter) return say(*fault, true, key);
  if (objects_.erase(key) != 0) removed_.push_back(key);
  if (fault) return say(*fault, true, key);
  return {};
}

Result<std::vector<store::ObjectInfo>> FakeStore::list(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  if (const auto fault = begin(Kind::kList, prefix)) return say(*fault, false, prefix);
  std::vector<store::ObjectInfo> found;
  for (auto it = objects_.lower_bound(prefix);
       it != objects_.end() && it->first.starts_with(prefix); ++it) {
    if (it->second.modified.value + list_lag_ms_ > clock_.wall().value) continue;
    found.push_back({it->first, it->second.bytes.size(), it->second.modified});
  }
  return found;
}

std::string FakeStore::location(const std::string& key) const { return std::string(root) + key; }

Result<std::string> FakeStore::key_of(const std::string& location) const {
  if (!location.starts_with(root) || location.size() == root.size()) {
    return fail(ErrorKind::kInvalid, "'" + location + "' is not in the fake warehouse");
  }
  return location.substr(root.size());
}

Result<void> FakeStore::check() {
  const std::lock_guard lock(mutex_);
  if (const auto fault = begin(Kind::kCheck, "")) return say(*fault, false, "check");
  return {};
}

}  // namespace evodb::sim
