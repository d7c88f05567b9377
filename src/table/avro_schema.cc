#include "table/avro_schema.h"

#include <map>

#include "table/json.h"

namespace evodb::table {
namespace {

constexpr int schema_depth_max = 32;
constexpr std::size_t schema_nodes_max = 100'000;

std::unexpected<Error> bad_schema(const std::string& why) {
  return fail(ErrorKind::kCorrupt, "Avro schema: " + why);
}

class SchemaParser {
 public:
  Result<std::uint32_t> parse(const Json& json, int depth) {
    if (depth > schema_depth_max) return bad_schema("it nests too deep");
    if (json.is_string()) return named(json.get<std::string>());
    if (json.is_array()) return parse_union(json, depth);
    const Json* type = json_member(json, "type");
    if (type == nullptr) return bad_schema("a type without 'type'");
    if (!type->is_string()) return parse(*type, depth + 1);  // {"type": {"type": "int"}}
    const std::string name = type->get<std::string>();
    if (name == "record") return parse_record(json, depth);
    if (name == "array") return parse_collection(json, "items", AvroNode::Kind::kArray, depth);
    if (name == "map") return parse_collection(json, "values", AvroNode::Kind::kMap, depth);
    if (name == "enum") return define(json, EVODB_TRY(add(AvroNode::Kind::kEnum)));
    if (name == "fixed") {
      const auto size = json_long(json, "size");
      if (!size || *size < 0 || *size > (1 << 20)) return bad_schema("a fixed without a sane size");
      const std::uint32_t node = EVODB_TRY(add(AvroNode::Kind::kFixed));
      nodes_[node].fixed_bytes = static_cast<std::size_t>(*size);
      return define(json, node);
    }
    return named(name);
  }

  std::vector<AvroNode> take() { return std::move(nodes_); }

 private:
  Result<std::uint32_t> add(AvroNode::Kind kind) {
    if (nodes_.size() == schema_nodes_max) return bad_schema("it has too many types");
    nodes_.push_back({.kind = kind});
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }

  Result<std::uint32_t> named(const std::string& name) {
    static const std::map<std::string, AvroNode::Kind, std::less<>> primitives = {
        {"null", AvroNode::Kind::kNull},   {"boolean", AvroNode::Kind::kBoolean},
        {"int", AvroNode::Kind::kInt},     {"long", AvroNode::Kind::kLong},
        {"float", AvroNode::Kind::kFloat}, {"double", AvroNode::Kind::kDouble},
        {"bytes", AvroNode::Kind::kBytes}, {"string", AvroNode::Kind::kString},
    };
    if (const auto it = primitives.find(name); it != primitives.end()) return add(it->second);
    if (const auto it = names_.find(name); it != names_.end()) return it->second;
    return bad_schema("the type '" + name.substr(0, 64) + "' is not known");
  }

  std::uint32_t define(const Json& json, std::uint32_t node) {
    const auto name = json_string(json, "name");
    if (!name) return node;
    names_[*name] = node;
    if (const auto space = json_string(json, "namespace")) names_[*space + "." + *name] = node;
    return node;
  }

  Result<std::uint32_t> parse_union(const Json& json, int depth) {
    const std::uint32_t node = EVODB_TRY(add(AvroNode::Kind::kUnion));
    for (const Json& branch : json) {
      const std::uint32_t child = EVODB_TRY(parse(branch, depth + 1));
      nodes_[node].children.push_back(child);
    }
    if (nodes_[node].children.empty()) return bad_schema("a union of nothing");
    return node;
  }

  Result<std::uint32_t> parse_record(const Json& json, int depth) {
    const std::uint32_t node = define(json, EVODB_TRY(add(AvroNode::Kind::kRecord)));
    const Json* fields = json_member(json, "fields");
    if (fields == nullptr || !fields->is_array()) return bad_schema("a record without fields");
    for (const Json& field : *fields) {
      const auto name = json_string(field, "name");
      const Json* type = json_member(field, "type");
      if (!name || type == nullptr) return bad_schema("a field without name or type");
      const std::uint32_t child = EVODB_TRY(parse(*type, depth + 1));
      const std::int64_t id = json_long(field, "field-id").value_or(-1);
      if (id < -1 || id > INT32_MAX) return bad_schema("a field id out of range");
      nodes_[node].fields.push_back({*name, static_cast<std::int32_t>(id), child});
    }
    return node;
  }

  Result<std::uint32_t> parse_collection(const Json& json, const char* of, AvroNode::Kind kind,
                                         int depth) {
    const Json* items = json_member(json, of);
    if (items == nullptr) return bad_schema("a collection of nothing");
    const std::uint32_t node = EVODB_TRY(add(kind));
    const std::uint32_t child = EVODB_TRY(parse(*items, depth + 1));
    nodes_[node].children.push_back(child);
    return node;
  }

  std::vector<AvroNode> nodes_;
  std::map<std::string, std::uint32_t> names_;
};

}  // namespace

Result<std::vector<AvroNode>> parse_avro_schema(std::string_view json) {
  const Json parsed = EVODB_TRY(parse_json(json));
  SchemaParser parser;
  // A reader begins at the first node, which is the outermost: parents are added before children.
  const std::uint32_t root = EVODB_TRY(parser.parse(parsed, 0));
  if (root != 0) return bad_schema("its root is no type of its own");
  return parser.take();
}

}  // namespace evodb::table
