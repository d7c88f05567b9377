// Result<T>: the one way in which EvoDB reports that something did not work.
//
//   evodb::Result<int> parse_port(std::string_view text);
//
//   evodb::Result<Address> parse(std::string_view text) {
//     int port = EVODB_TRY(parse_port(text));   // returns the error to our caller
//     return Address{.port = port};
//   }
//
// Error kinds say what the caller must do, not what went wrong; the text is for people and is not
// an API. No exception crosses a room.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace evodb {

enum class ErrorKind : std::uint8_t {
  kRetry,           // a passing fault: the same call may succeed later
  kFenced,          // somebody newer owns this; stop, do not retry
  kInvalid,         // the input is wrong; the caller must change it
  kCorrupt,         // stored bytes are not what was written
  kOverLimit,       // a named limit is reached; nothing was taken
  kOutcomeUnknown,  // it may or may not have happened: look before doing anything else
  kNotFound,        // what was named is not there
  kExists,          // what was to be made is there already
  kStale,           // what the caller knew is no longer so: read it anew, then decide
  kNoSpace,         // no space left where it would be stored: free some, then it may succeed
  kInternal,        // a broken assumption or a fault that no caller can repair
};

std::string_view error_kind_name(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string text;

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  Result(std::unexpected<Error> error)  // NOLINT(google-explicit-constructor)
      : std::expected<T, Error>(std::unexpect, std::move(error).error()) {}
};

// The error value of a Result: `return fail(ErrorKind::kInvalid, "no such table: " + name);`
inline std::unexpected<Error> fail(ErrorKind kind, std::string text) {
  return std::unexpected<Error>(Error{kind, std::move(text)});
}

inline std::unexpected<Error> fail(Error error) { return std::unexpected<Error>(std::move(error)); }

}  // namespace evodb

// The value of a Result expression (nothing, where it has none), or returns its error from the
// enclosing function.
#define EVODB_TRY(...)                                                                  \
  __extension__({                                                                       \
    auto&& evodb_try_result_ = (__VA_ARGS__);                                           \
    if (!evodb_try_result_) return ::evodb::fail(std::move(evodb_try_result_.error())); \
    *std::move(evodb_try_result_);                                                      \
  })
