// TagIndex: which connections carry which tags. A tag's text is kept once, so is each set of tags
// that connections share; a connection's record holds only the handle of its set.
//
//   TagIndex tags(16u << 20);
//   const std::string_view texts[] = {"table:users", "source:shop-7"};
//   record.tags = EVODB_TRY(tags.put(record.tags, id, texts));
//   for (std::uint32_t id : tags.list("table:users")) ...        // ascending
//   tags.drop(record.tags, id);
//
// Memory: 4 bytes a tagged connection, each text once, and each set that is in use; bounded in
// bytes. A tag of one connection alone makes a set of one: about 700 bytes with a short text.
// Threads: one.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"

namespace evodb::gate {

inline constexpr std::size_t tags_per_connection_max = 10;
inline constexpr std::size_t tag_bytes_max = 256;

class TagIndex {
 public:
  using Handle = std::uint32_t;  // of a set of tags; 0 is the empty one

  explicit TagIndex(std::uint64_t bytes_max) : bytes_max_(bytes_max), sets_(1) {}

  // Replaces the set of connection `id`, whose handle was `before`. A tag that is named twice
  // counts once. `tags` may be views that texts() gave. Errors, which change nothing: kInvalid (a
  // tag is empty or too long), kOverLimit (too many tags, or bytes_max).
  Result<Handle> put(Handle before, std::uint32_t id, std::span<const std::string_view> tags);
  void drop(Handle set, std::uint32_t id);

  std::vector<std::string_view> texts(Handle set) const;  // as sorted by their bytes
  bool has(Handle set, std::string_view tag) const;
  std::vector<std::uint32_t> list(std::string_view tag) const;
  std::uint64_t bytes() const { return bytes_; }

 private:
  using TagId = std::uint32_t;
  struct Tag {
    std::string text;
    std::vector<Handle> sets;  // that contain it
  };
  struct Set {
    std::vector<TagId> tags;             // by text
    std::vector<std::uint32_t> members;  // ascending
  };

  TagId tag_of(std::string_view text);
  Handle set_of(const std::vector<std::string_view>& texts);
  void forget_set(Handle set);

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::deque<Tag> tags_;  // texts that never move: keys and callers' views point into them
  std::vector<TagId> free_tags_;
  std::vector<Set> sets_;
  std::vector<Handle> free_sets_;
  std::map<std::string_view, TagId> by_text_;
  std::map<std::vector<TagId>, Handle> by_tags_;
};

}  // namespace evodb::gate
