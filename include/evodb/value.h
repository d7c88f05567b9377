// Typed values with SQLite's storage classes, plus BOOLEAN for sources that speak JSON.
//
//   evodb::Value v = evodb::Value::text("héllo");
//   evodb::ValueView seen = v;              // borrows from v
//
// TEXT is bytes: SQLite does not promise UTF-8, and neither do we. 64-bit integers and BLOBs are
// exact. Value owns; ValueView borrows and must not outlive what it was made from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace evodb {

// The numbers are the wire's tag families, and do not change.
enum class StorageClass : std::uint8_t {
  kNull = 0,
  kInteger = 1,
  kReal = 2,
  kText = 3,
  kBlob = 4,
  kBoolean = 5,
};

std::string_view storage_class_name(StorageClass c);  // "null", "integer", "real", ...

struct ValueView {
  StorageClass storage_class = StorageClass::kNull;
  union {
    std::int64_t integer = 0;
    double real;
    bool boolean;
  };
  std::string_view bytes;  // TEXT and BLOB

  static ValueView null() { return {}; }
  static ValueView of_integer(std::int64_t v) {
    ValueView view;
    view.storage_class = StorageClass::kInteger;
    view.integer = v;
    return view;
  }
  static ValueView of_real(double v) {
    ValueView view;
    view.storage_class = StorageClass::kReal;
    view.real = v;
    return view;
  }
  static ValueView of_boolean(bool v) {
    ValueView view;
    view.storage_class = StorageClass::kBoolean;
    view.boolean = v;
    return view;
  }
  static ValueView of_text(std::string_view v) {
    ValueView view;
    view.storage_class = StorageClass::kText;
    view.bytes = v;
    return view;
  }
  static ValueView of_blob(std::string_view v) {
    ValueView view;
    view.storage_class = StorageClass::kBlob;
    view.bytes = v;
    return view;
  }

  bool is_null() const { return storage_class == StorageClass::kNull; }
  // Same storage class and same bits: 1 and 1.0 differ, and so do 0.0 and -0.0.
  friend bool operator==(const ValueView& a, const ValueView& b);
};

class Value {
 public:
  Value() = default;  // NULL
  static Value null() { return Value(); }
  static Value integer(std::int64_t v);
  static Value real(double v);
  static Value boolean(bool v);
  static Value text(std::string v);
  static Value blob(std::string v);
  explicit Value(ValueView view);

  StorageClass storage_class() const { return class_; }
  ValueView view() const;
  operator ValueView() const { return view(); }  // NOLINT(google-explicit-constructor)

  friend bool operator==(const Value& a, const Value& b) { return a.view() == b.view(); }

 private:
  StorageClass class_ = StorageClass::kNull;
  std::variant<std::int64_t, double, bool, std::string> data_ = std::int64_t{0};
};

}  // namespace evodb
