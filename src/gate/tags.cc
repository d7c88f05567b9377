#include "gate/tags.h"

#include <algorithm>

#include "base/assert.h"

namespace evodb::gate {

namespace {

// What a text costs beside its bytes, and a set with its tags: nodes of the maps, vectors, strings.
constexpr std::uint64_t tag_cost_bytes = 192;
constexpr std::uint64_t set_cost_bytes = 416;
constexpr std::uint64_t member_bytes = 4;

}  // namespace

Result<TagIndex::Handle> TagIndex::put(Handle before, std::uint32_t id,
                                       std::span<const std::string_view> tags) {
  if (tags.size() > tags_per_connection_max) {
    return fail(ErrorKind::kOverLimit, std::to_string(tags.size()) +
                                           " tags for one connection; at most " +
                                           std::to_string(tags_per_connection_max));
  }
  std::vector<std::string_view> texts(tags.begin(), tags.end());
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  std::uint64_t cost = member_bytes + set_cost_bytes;
  for (const std::string_view text : texts) {
    if (text.empty() || text.size() > tag_bytes_max) {
      return fail(ErrorKind::kInvalid, "a tag has 1 to " + std::to_string(tag_bytes_max) +
                                           " bytes, not " + std::to_string(text.size()));
    }
    if (!by_text_.contains(text)) cost += tag_cost_bytes + text.size();
  }
  if (!texts.empty() && bytes_ + cost > bytes_max_) {
    return fail(ErrorKind::kOverLimit, "the tags of all connections together have more than " +
                                           std::to_string(bytes_max_) + " bytes");
  }
  // First the new one, so that tags in both are not forgotten in between.
  const Handle set = set_of(texts);
  if (set == before) return set;
  if (set != 0) {
    std::vector<std::uint32_t>& members = sets_[set].members;
    members.insert(std::lower_bound(members.begin(), members.end(), id), id);
    bytes_ += member_bytes;
  }
  drop(before, id);
  return set;
}

void TagIndex::drop(Handle handle, std::uint32_t id) {
  if (handle == 0) return;
  std::vector<std::uint32_t>& members = sets_[handle].members;
  const auto at = std::lower_bound(members.begin(), members.end(), id);
  EVODB_ASSERT(at != members.end() && *at == id, "dropped from the set that it is in");
  members.erase(at);
  bytes_ -= member_bytes;
  if (members.empty()) forget_set(handle);
}

std::vector<std::string_view> TagIndex::texts(Handle handle) const {
  std::vector<std::string_view> texts;
  for (const TagId tag : sets_[handle].tags) texts.push_back(tags_[tag].text);
  return texts;
}

bool TagIndex::has(Handle handle, std::string_view tag) const {
  const std::vector<TagId>& tags = sets_[handle].tags;
  return std::any_of(tags.begin(), tags.end(), [&](TagId t) { return tags_[t].text == tag; });
}

std::vector<std::uint32_t> TagIndex::list(std::string_view tag) const {
  std::vector<std::uint32_t> ids;
  const auto found = by_text_.find(tag);
  if (found == by_text_.end()) return ids;
  const std::vector<Handle>& sets = tags_[found->second].sets;
  for (const Handle set : sets) {
    ids.insert(ids.end(), sets_[set].members.begin(), sets_[set].members.end());
  }
  if (sets.size() > 1) std::sort(ids.begin(), ids.end());
  return ids;
}

TagIndex::TagId TagIndex::tag_of(std::string_view text) {
  if (const auto found = by_text_.find(text); found != by_text_.end()) return found->second;
  TagId tag;
  if (free_tags_.empty()) {
    tag = static_cast<TagId>(tags_.size());
    tags_.emplace_back();
  } else {
    tag = free_tags_.back();
    free_tags_.pop_back();
  }
  tags_[tag].text = std::string(text);
  by_text_.emplace(tags_[tag].text, tag);
  bytes_ += tag_cost_bytes + text.size();
  return tag;
}

TagIndex::Handle TagIndex::set_of(const std::vector<std::string_view>& texts) {
  if (texts.empty()) return 0;
  std::vector<TagId> tags;
  for (const std::string_view text : texts) tags.push_back(tag_of(text));
  if (const auto found = by_tags_.find(tags); found != by_tags_.end()) return found->second;
  Handle set;
  if (free_sets_.empty()) {
    set = static_cast<Handle>(sets_.size());
    sets_.emplace_back();
  } else {
    set = free_sets_.back();
    free_sets_.pop_back();
  }
  sets_[set].tags = tags;
  for (const TagId tag : tags) tags_[tag].sets.push_back(set);
  by_tags_.emplace(std::move(tags), set);
  bytes_ += set_cost_bytes;
  return set;
}

void TagIndex::forget_set(Handle handle) {
  Set& set = sets_[handle];
  by_tags_.erase(set.tags);
  for (const TagId tag : set.tags) {
    std::erase(tags_[tag].sets, handle);
    if (!tags_[tag].sets.empty()) continue;
    bytes_ -= tag_cost_bytes + tags_[tag].text.size();
    by_text_.erase(tags_[tag].text);
    tags_[tag] = {};
    free_tags_.push_back(tag);
  }
  set = {};
  free_sets_.push_back(handle);
  bytes_ -= set_cost_bytes;
}

}  // namespace evodb::gate
