#include "table/avro.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "table/avro_schema.h"
#include "table/inflate.h"

namespace evodb::table {
namespace {

constexpr std::string_view magic("Obj\1", 4);
constexpr std::size_t sync_bytes = 16;
constexpr std::size_t block_bytes = 64u << 10;
constexpr int value_depth_max = 32;

std::unexpected<Error> corrupt(const std::string& why) {
  return fail(ErrorKind::kCorrupt, "Avro file: " + why);
}

// Decodes values by the writer's schema. `budget` bounds what empty values may add up to: a value
// costs one.
class Decoder {
 public:
  Decoder(const std::vector<AvroNode>& nodes, std::string_view bytes, std::uint64_t& budget)
      : nodes_(nodes), in_(bytes), budget_(budget) {}

  Result<void> value(std::uint32_t index, int depth, AvroValue& out) {
    if (depth > value_depth_max) return corrupt("values nest too deep");
    if (budget_ == 0) return corrupt("more values than its bytes can hold");
    --budget_;
    const AvroNode& node = nodes_[index];
    out.node = index;
    out.kind = node.kind;
    bool ok = true;
    switch (node.kind) {
      case AvroNode::Kind::kNull: break;
      case AvroNode::Kind::kBoolean: {
        std::uint8_t v = 0;
        ok = in_.u8(&v) && v <= 1;
        out.number = v;
        break;
      }
      case AvroNode::Kind::kInt:
      case AvroNode::Kind::kEnum:
        ok = in_.zigzag(&out.number) && out.number >= INT32_MIN && out.number <= INT32_MAX;
        break;
      case AvroNode::Kind::kLong: ok = in_.zigzag(&out.number); break;
      case AvroNode::Kind::kFloat: {
        float v = 0;
        ok = in_.fixed(&v);
        out.real = static_cast<double>(v);
        break;
      }
      case AvroNode::Kind::kDouble: ok = in_.fixed(&out.real); break;
      case AvroNode::Kind::kBytes:
      case AvroNode::Kind::kString: ok = sized(out.bytes); break;
      case AvroNode::Kind::kFixed: {
        std::string_view v;
        ok = in_.bytes(node.fixed_bytes, &v);
        out.bytes = v;
        break;
      }
      case AvroNode::Kind::kRecord:
        out.items.resize(node.fields.size());
        for (std::size_t i = 0; i < node.fields.size(); ++i) {
          EVODB_TRY(value(node.fields[i].node, depth + 1, out.items[i]));
        }
        break;
      case AvroNode::Kind::kArray:
      case AvroNode::Kind::kMap: return collection(node, depth, out);
      case AvroNode::Kind::kUnion: {
        std::int64_t branch = 0;
        if (!in_.zigzag(&branch) || branch < 0 ||
            static_cast<std::uint64_t>(branch) >= node.children.size()) {
          return corrupt("a union's branch that its schema does not have");
        }
        return value(node.children[static_cast<std::size_t>(branch)], depth + 1, out);
      }
    }
    if (!ok) return corrupt("a value is cut off or out of range");
    return {};
  }

  bool at_end() const { return in_.at_end(); }

 private:
  bool sized(std::string& out) {
    std::int64_t size = 0;
    std::string_view v;
    if (!in_.zigzag(&size) || size < 0 || !in_.bytes(static_cast<std::size_t>(size), &v)) {
      return false;
    }
    out = v;
    return true;
  }

  Result<void> collection(const AvroNode& node, int depth, AvroValue& out) {
    while (true) {
      std::int64_t count = 0, block = 0;
      if (!in_.zigzag(&count)) return corrupt("an array is cut off");
      if (count == 0) return {};
      if (count < 0) {
        if (count == INT64_MIN || !in_.zigzag(&block)) return corrupt("an array is cut off");
        count = -count;
      }
      for (std::int64_t i = 0; i < count; ++i) {
        if (node.kind == AvroNode::Kind::kMap) {
          AvroValue key;
          key.kind = AvroNode::Kind::kString;
          if (!sized(key.bytes)) return corrupt("a map's key is cut off");
          out.items.push_back(std::move(key));
        }
        AvroValue item;
        EVODB_TRY(value(node.children[0], depth + 1, item));
        out.items.push_back(std::move(item));
      }
    }
  }

  const std::vector<AvroNode>& nodes_;
  base::ByteReader in_;
  std::uint64_t& budget_;
};

// The header's map<bytes>, before there is a schema.
Result<void> read_metadata(base::ByteReader& in, std::map<std::string, std::string>& metadata) {
  while (true) {
    std::int64_t count = 0, block = 0;
    if (!in.zigzag(&count)) return corrupt("its header is cut off");
    if (count == 0) return {};
    if (count < 0) {
      if (count == INT64_MIN || !in.zigzag(&block)) return corrupt("its header is cut off");
      count = -count;
    }
    for (; count > 0; --count) {
      std::string_view parts[2];
      for (std::string_view& part : parts) {
        std::int64_t size = 0;
        if (!in.zigzag(&size) || size < 0 || !in.bytes(static_cast<std::size_t>(size), &part)) {
          return corrupt("its header is cut off");
        }
      }
      metadata[std::string(parts[0])] = parts[1];
    }
  }
}

}  // namespace

void put_avro_long(std::string& out, std::int64_t v) { base::put_zigzag(out, v); }

void put_avro_bytes(std::string& out, std::string_view v) {
  base::put_zigzag(out, static_cast<std::int64_t>(v.size()));
  out.append(v);
}

AvroWriter::AvroWriter(std::string_view schema_json,
                       const std::map<std::string, std::string>& metadata) {
  file_ = magic;
  put_avro_long(file_, static_cast<std::int64_t>(metadata.size() + 2));
  const auto put = [this](std::string_view key, std::string_view value) {
    put_avro_bytes(file_, key);
    put_avro_bytes(file_, value);
  };
  put("avro.schema", schema_json);
  put("avro.codec", "null");
  for (const auto& [key, value] : metadata) put(key, value);
  put_avro_long(file_, 0);
  // Any 16 bytes do; a hash of the header makes equal content equal bytes.
  base::put_u64(sync_, base::xxh64(file_, 1));
  base::put_u64(sync_, base::xxh64(file_, 2));
  file_ += sync_;
}

void AvroWriter::end_row() {
  ++rows_;
  if (block_.size() >= block_bytes) end_block();
}

void AvroWriter::end_block() {
  if (rows_ == 0) return;
  put_avro_long(file_, rows_);
  put_avro_bytes(file_, block_);
  file_ += sync_;
  block_.clear();
  rows_ = 0;
}

std::string AvroWriter::finish() {
  end_block();
  return std::move(file_);
}

const AvroValue* AvroFile::field(const AvroValue& record, std::int32_t field_id) const {
  if (record.kind != AvroNode::Kind::kRecord) return nullptr;
  const auto& fields = nodes[record.node].fields;
  for (std::size_t i = 0; i < fields.size() && i < record.items.size(); ++i) {
    if (fields[i].field_id == field_id) {
      return record.items[i].is_null() ? nullptr : &record.items[i];
    }
  }
  return nullptr;
}

Result<AvroFile> read_avro(std::string_view bytes) {
  if (!bytes.starts_with(magic)) return corrupt("it does not begin with Avro's magic bytes");
  base::ByteReader in(bytes.substr(magic.size()));
  AvroFile file;
  EVODB_TRY(read_metadata(in, file.metadata));
  std::string_view sync;
  if (!in.bytes(sync_bytes, &sync)) return corrupt("its header is cut off");
  file.nodes = EVODB_TRY(parse_avro_schema(file.metadata["avro.schema"]));
  const std::string codec = file.metadata["avro.codec"];
  const bool deflated = codec == "deflate";
  if (!deflated && !codec.empty() && codec != "null") {
    return fail(ErrorKind::kInvalid,
                "an Avro file is compressed with '" + codec +
                    "', which EvoDB does not read: set the table's write.avro.compression-codec to "
                    "gzip or uncompressed in the engine that wrote it");
  }
  std::size_t inflated_bytes = 0;
  std::uint64_t values_left = avro_values_max;
  while (!in.at_end()) {
    std::int64_t count = 0, size = 0;
    std::string_view block, mark;
    if (!in.zigzag(&count) || !in.zigzag(&size) || count < 0 || size < 0 ||
        !in.bytes(static_cast<std::size_t>(size), &block) || !in.bytes(sync_bytes, &mark)) {
      return corrupt("a block is cut off");
    }
    if (mark != sync) return corrupt("a block does not end with the file's sync mark");
    std::string inflated;
    if (deflated) {
      EVODB_TRY(inflate(block, avro_bytes_max - inflated_bytes, inflated));
      block = inflated;
    }
    inflated_bytes += block.size();
    if (inflated_bytes > avro_bytes_max) {
      return fail(ErrorKind::kOverLimit, "an Avro file is larger than 64 MiB");
    }
    std::uint64_t budget = std::min<std::uint64_t>(values_left, block.size() * 4 + 1'000);
    const std::uint64_t given = budget;
    Decoder decoder(file.nodes, block, budget);
    for (std::int64_t i = 0; i < count; ++i) {
      AvroValue row;
      EVODB_TRY(decoder.value(0, 0, row));
      file.rows.push_back(std::move(row));
    }
    values_left -= given - budget;
    if (!decoder.at_end()) return corrupt("a block has bytes behind its last row");
  }
  return file;
}

}  // namespace evodb::table
