#include "parent/store_health.h"

#include <utility>

#include "base/assert.h"
#include "parent/landing.h"
#include "store/store_probe.h"

namespace evodb::parent {
namespace {

std::string seconds(std::int64_t ms) { return std::to_string(ms / 1'000) + " s"; }

}  // namespace

void StoreHealth::probe() {
  EVODB_ASSERT(!probing_ && !passed_, "one probe at a time, until one is passed");
  probing_ = true;
  probing_since_ = seams_.clock.monotonic();
  const std::uint64_t nonce = seams_.random.next();
  seams_.store.run([self = shared_from_this(), nonce](store::ObjectStore& store, table::Catalog&) {
    auto kept = std::make_shared<Result<void>>(store::probe_store(store, nonce));
    self->seams_.loop.post([self, kept] { self->on_probed(*kept); });
  });
}

void StoreHealth::on_probed(const Result<void>& kept) {
  probing_ = false;
  if (stopped_) return;
  if (kept) {
    if (error_ && say_) say_("the store passes its probe now");
    error_.reset();
    passed_ = true;
    return;
  }
  const bool news = error_ != kept.error();
  error_ = kept.error();
  if (news && say_) say_("the store fails its probe: " + error_->text);
  seams_.loop.after(backoff_.next_ms(), [self = shared_from_this()] {
    if (!self->stopped_) self->probe();
  });
}

std::vector<Error> StoreHealth::reasons(const LandingStats& landing) const {
  std::vector<Error> reasons;
  const std::int64_t now = seams_.clock.monotonic().value;
  if (error_) {
    reasons.push_back({error_->kind, "the store fails its probe: " + error_->text});
  } else if (!passed_) {
    const std::int64_t age_ms = probing_ ? now - probing_since_.value : 0;
    reasons.push_back(
        {ErrorKind::kRetry, age_ms > options_.call_ms_max
                                ? "the store has not answered its probe for " + seconds(age_ms)
                                : "the store is being probed"});
  }
  if (const auto& call = landing.oldest_call) {
    if (const std::int64_t age_ms = now - call->since.value; age_ms > options_.call_ms_max) {
      reasons.push_back({ErrorKind::kRetry, "a call has not been answered for " + seconds(age_ms) +
                                                ": " + call->what});
    }
  }
  const std::int64_t unlanded_ms = landing.lake.buffers.oldest_entry_age_ms;
  if (unlanded_ms > options_.unlanded_ms_max) {
    reasons.push_back(
        {ErrorKind::kRetry, "a change that came " + seconds(unlanded_ms) + " ago has not landed"});
  }
  return reasons;
}

}  // namespace evodb::parent
