#include "evodb/value.h"

#include <bit>

#include "base/assert.h"
#include "evodb/result.h"

namespace evodb {

std::string_view error_kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kRetry: return "retry";
    case ErrorKind::kFenced: return "fenced";
    case ErrorKind::kInvalid: return "invalid";
    case ErrorKind::kCorrupt: return "corrupt";
    case ErrorKind::kOverLimit: return "over limit";
    case ErrorKind::kOutcomeUnknown: return "outcome unknown";
    case ErrorKind::kNotFound: return "not found";
    case ErrorKind::kExists: return "exists already";
    case ErrorKind::kStale: return "stale";
    case ErrorKind::kNoSpace: return "no space";
    case ErrorKind::kInternal: return "internal";
  }
  return "unknown";
}

std::string_view storage_class_name(StorageClass c) {
  switch (c) {
    case StorageClass::kNull: return "null";
    case StorageClass::kInteger: return "integer";
    case StorageClass::kReal: return "real";
    case StorageClass::kText: return "text";
    case StorageClass::kBlob: return "blob";
    case StorageClass::kBoolean: return "boolean";
  }
  return "unknown";
}

bool operator==(const ValueView& a, const ValueView& b) {
  if (a.storage_class != b.storage_class) return false;
  switch (a.storage_class) {
    case StorageClass::kNull: return true;
    case StorageClass::kInteger: return a.integer == b.integer;
    case StorageClass::kReal:
      return std::bit_cast<std::uint64_t>(a.real) == std::bit_cast<std::uint64_t>(b.real);
    case StorageClass::kBoolean: return a.boolean == b.boolean;
    case StorageClass::kText:
    case StorageClass::kBlob: return a.bytes == b.bytes;
  }
  return false;
}

Value Value::integer(std::int64_t v) { return Value(ValueView::of_integer(v)); }
Value Value::real(double v) { return Value(ValueView::of_real(v)); }
Value Value::boolean(bool v) { return Value(ValueView::of_boolean(v)); }
Value Value::text(std::string v) {
  Value value;
  value.class_ = StorageClass::kText;
  value.data_ = std::move(v);
  return value;
}
Value Value::blob(std::string v) {
  Value value;
  value.class_ = StorageClass::kBlob;
  value.data_ = std::move(v);
  return value;
}

Value::Value(ValueView view) : class_(view.storage_class) {
  switch (class_) {
    case StorageClass::kNull: break;
    case StorageClass::kInteger: data_ = view.integer; break;
    case StorageClass::kReal: data_ = view.real; break;
    case StorageClass::kBoolean: data_ = view.boolean; break;
    case StorageClass::kText:
    case StorageClass::kBlob: data_ = std::string(view.bytes); break;
  }
}

ValueView Value::view() const {
  switch (class_) {
    case StorageClass::kNull: return ValueView::null();
    case StorageClass::kInteger: return ValueView::of_integer(std::get<std::int64_t>(data_));
    case StorageClass::kReal: return ValueView::of_real(std::get<double>(data_));
    case StorageClass::kBoolean: return ValueView::of_boolean(std::get<bool>(data_));
    case StorageClass::kText: return ValueView::of_text(std::get<std::string>(data_));
    case StorageClass::kBlob: return ValueView::of_blob(std::get<std::string>(data_));
  }
  return ValueView::null();
}

}  // namespace evodb
