#include "wire/change.h"

#include "base/assert.h"
#include "base/hash.h"
#include "wire/value_codec.h"

namespace evodb::wire {

bool ValuesReader::next(ValueView* value) {
  if (!in_.ok()) return false;
  if (left_ == 0) {
    if (!in_.at_end()) in_.skip(SIZE_MAX);  // more bytes than values: malformed
    return false;
  }
  ValueView read;
  const char* const from = in_.here();
  const char* const behind = read_value(from, from + in_.remaining(), &read);
  if (behind == nullptr) {
    in_.skip(SIZE_MAX);
    return false;
  }
  in_.skip(static_cast<std::size_t>(behind - from));
  --left_;
  *value = read;
  return true;
}

bool is_well_formed(const ValuesView& values) {
  ValuesReader reader(values);
  for (ValueView value; reader.next(&value);) {
  }
  return reader.at_end();
}

void put_value(std::string& out, ValueView value) {
  const auto put_tagged = [&out](StorageClass c, std::uint64_t n) {
    const bool more = n >= value_more_follows;
    const std::uint64_t small = more ? value_more_follows : n;
    base::put_u8(out, static_cast<std::uint8_t>(small << 3 | static_cast<std::uint8_t>(c)));
    if (more) base::put_varint(out, n - value_more_follows);
  };
  switch (value.storage_class) {
    case StorageClass::kNull: return put_tagged(StorageClass::kNull, 0);
    case StorageClass::kInteger:
      return put_tagged(StorageClass::kInteger, base::zigzag(value.integer));
    case StorageClass::kReal:
      put_tagged(StorageClass::kReal, 0);
      return base::put_f64(out, value.real);
    case StorageClass::kText:
    case StorageClass::kBlob:
      put_tagged(value.storage_class, value.bytes.size());
      out.append(value.bytes);
      return;
    case StorageClass::kBoolean: return put_tagged(StorageClass::kBoolean, value.boolean ? 1 : 0);
  }
  EVODB_ASSERT(false, "a storage class that does not exist");
}

ChainHash fold(ChainHash chain, std::uint64_t table_fingerprint, const ChangeView& change) {
  char prefix[40];
  base::store_fixed(prefix, chain.value);
  base::store_fixed(prefix + 8, table_fingerprint);
  base::store_fixed(prefix + 16, change.lsn.value);
  base::store_fixed(prefix + 24, change.committed_at.value);
  base::store_fixed(prefix + 32, static_cast<std::uint64_t>(change.op));
  const std::uint64_t seed = base::xxh64(std::string_view(prefix, sizeof prefix));
  return ChainHash(base::xxh64(change.content, seed));
}

}  // namespace evodb::wire
