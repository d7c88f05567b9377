// Attachments: bytes that an application keeps with a connection, out of its record, so that it
// needs no table of its own while the connection is hibernated.
//
//   record.attachment = EVODB_TRY(attachments.put(record.attachment, bytes));   // 0: none
//   std::string_view bytes = attachments.get(record.attachment);
//
// Bounded in total. Threads: one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "evodb/result.h"

namespace evodb::gate {

inline constexpr std::size_t attachment_bytes_max = 16'384;

class Attachments {
 public:
  using Handle = std::uint32_t;

  explicit Attachments(std::uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Replaces what `before` held; empty bytes: nothing is kept. Errors, which change nothing:
  // kOverLimit (one too large, or all together).
  Result<Handle> put(Handle before, std::string_view bytes) {
    const std::uint64_t freed = before == 0 ? 0 : cost(get(before));
    if (bytes.size() > attachment_bytes_max) {
      return fail(ErrorKind::kOverLimit, "an attachment of " + std::to_string(bytes.size()) +
                                             " bytes; at most " +
                                             std::to_string(attachment_bytes_max));
    }
    if (!bytes.empty() && bytes_ - freed + cost(bytes) > bytes_max_) {
      return fail(ErrorKind::kOverLimit,
                  "the attachments of all connections together have more than " +
                      std::to_string(bytes_max_) + " bytes");
    }
    std::string copy(bytes);  // `bytes` may be those of `before`
    drop(before);
    if (copy.empty()) return 0;
    bytes_ += cost(copy);
    if (free_.empty()) {
      all_.push_back(std::move(copy));
      return static_cast<Handle>(all_.size());
    }
    const Handle handle = free_.back();
    free_.pop_back();
    all_[handle - 1] = std::move(copy);
    return handle;
  }
  // "" for 0. Valid until the next put or drop.
  std::string_view get(Handle handle) const {
    return handle == 0 ? std::string_view() : std::string_view(all_[handle - 1]);
  }
  void drop(Handle handle) {
    if (handle == 0) return;
    bytes_ -= cost(all_[handle - 1]);
    all_[handle - 1] = std::string();
    free_.push_back(handle);
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  static std::uint64_t cost(std::string_view bytes) { return sizeof(std::string) + bytes.size(); }

  const std::uint64_t bytes_max_;
  std::uint64_t bytes_ = 0;
  std::vector<std::string> all_;  // by handle - 1
  std::vector<Handle> free_;
};

}  // namespace evodb::gate
