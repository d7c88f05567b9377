#include "wire/change.h"

#include "base/assert.h"
#include "base/hash.h"
#include "wire/value_codec.h"

namespace evodb::wire {

bool is_well_formed(const ValuesView& values) {
  ValuesReader reader(values);
  for (ValueView value; reader.next(&value);) {
  }
  return reader.at_end();
}

void put_value(std::string& out, ValueView value) {
  // Everything but a long TEXT or BLOB is put together here and appended once.
  char raw[1 + base::varint_bytes_max + 8];
  char* p = raw;
  const auto put_tagged = [&p](StorageClass c, std::uint64_t n) {
    const bool more = n >= value_more_follows;
    const std::uint64_t small = more ? value_more_follows : n;
    *p++ = static_cast<char>(small << 3 | static_cast<std::uint8_t>(c));
    if (more) p = base::store_varint(p, n - value_more_follows);
  };
  std::string_view content;
  switch (value.storage_class) {
    case StorageClass::kNull: put_tagged(StorageClass::kNull, 0); break;
    case StorageClass::kInteger:
      put_tagged(StorageClass::kInteger, base::zigzag(value.integer));
      break;
    case StorageClass::kReal:
      put_tagged(StorageClass::kReal, 0);
      base::store_fixed(p, value.real);
      p += sizeof value.real;
      break;
    case StorageClass::kText:
    case StorageClass::kBlob:
      put_tagged(value.storage_class, value.bytes.size());
      content = value.bytes;
      break;
    case StorageClass::kBoolean: put_tagged(StorageClass::kBoolean, value.boolean ? 1 : 0); break;
    default: EVODB_ASSERT(false, "a storage class that does not exist");
  }
  out.append(raw, static_cast<std::size_t>(p - raw));
  out.append(content);
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
