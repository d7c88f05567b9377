#include "table/schema_json.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace evodb::table {
namespace {

constexpr int nesting_max = 16;

constexpr std::pair<Type, std::string_view> primitives[] = {
    {Type::kBoolean, "boolean"},         {Type::kInt, "int"},       {Type::kLong, "long"},
    {Type::kDouble, "double"},           {Type::kString, "string"}, {Type::kBinary, "binary"},
    {Type::kTimestampTz, "timestamptz"},
};

Json fields_to_json(const std::vector<Field>& fields);

Json type_to_json(const Field& field) {
  for (const auto& [type, name] : primitives) {
    if (type == field.type) return std::string(name);
  }
  if (field.type == Type::kStruct) {
    return {{"type", "struct"}, {"fields", fields_to_json(field.children)}};
  }
  EVODB_ASSERT(field.type == Type::kMapStringString, "every type has its JSON");
  return {{"type", "map"},           {"key-id", field.key_id},
          {"key", "string"},         {"value-id", field.value_id},
          {"value-required", false}, {"value", "string"}};
}

Json field_to_json(const Field& field) {
  return {{"id", field.id},
          {"name", field.name},
          {"required", field.required},
          {"type", type_to_json(field)}};
}

Json fields_to_json(const std::vector<Field>& fields) {
  Json out = Json::array();
  for (const Field& field : fields) out.push_back(field_to_json(field));
  return out;
}

std::unexpected<Error> broken_schema(const std::string& why) {
  return fail(ErrorKind::kCorrupt, "the table's schema is broken: " + why);
}

Result<std::int32_t> field_id_of(const Json& json, std::string_view name) {
  const auto id = json_long(json, name);
  if (!id || *id < 1 || *id > field_id_max)
    return broken_schema("no field id at '" + std::string(name) + "'");
  return static_cast<std::int32_t>(*id);
}

Result<std::vector<Field>> fields_from_json(const Json& json, int depth);

// Nothing: a type that EvoDB does not write.
Result<std::optional<Field>> field_from_json(const Json& json, int depth) {
  Field field;
  field.id = EVODB_TRY(field_id_of(json, "id"));
  const auto name = json_string(json, "name");
  const Json* type = json_member(json, "type");
  const Json* required = json_member(json, "required");
  if (!name || type == nullptr) return broken_schema("a field has no name or no type");
  field.name = *name;
  field.required = required != nullptr && required->is_boolean() && required->get<bool>();
  if (type->is_string()) {
    for (const auto& [known, text] : primitives) {
      if (*type == text) {
        field.type = known;
        return field;
      }
    }
    return std::nullopt;
  }
  const auto kind = json_string(*type, "type");
  if (!kind) return broken_schema("the field '" + field.name + "' has no type");
  if (*kind == "struct") {
    field.type = Type::kStruct;
    field.children = EVODB_TRY(fields_from_json(*type, depth + 1));
    return field;
  }
  if (*kind == "map" && json_string(*type, "key") == "string" &&
      json_string(*type, "value") == "string") {
    field.type = Type::kMapStringString;
    field.key_id = EVODB_TRY(field_id_of(*type, "key-id"));
    field.value_id = EVODB_TRY(field_id_of(*type, "value-id"));
    return field;
  }
  return std::nullopt;
}

Result<std::vector<Field>> fields_from_json(const Json& json, int depth) {
  if (depth > nesting_max) return broken_schema("it nests too deep");
  const Json* fields = json_member(json, "fields");
  if (fields == nullptr || !fields->is_array()) return broken_schema("a struct has no fields");
  std::vector<Field> out;
  for (const Json& item : *fields) {
    auto field = EVODB_TRY(field_from_json(item, depth));
    if (field) {
      out.push_back(std::move(*field));
      continue;
    }
    const Json* required = json_member(item, "required");
    if (required != nullptr && *required == true) {
      return fail(ErrorKind::kInvalid,
                  "the column '" + json_string(item, "name").value_or("") +
                      "' is required and of a type that EvoDB does not write: make it optional");
    }
  }
  return out;
}

bool has_name(const Json& fields, const std::string& name) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const Json& field) { return json_string(field, "name") == name; });
}

// Adds to `fields` what `wanted` has more; the new ones behind those they stand behind there.
Result<bool> add_missing(Json& fields, const std::vector<Field>& wanted,
                         std::int32_t last_column_id, int depth) {
  if (depth > nesting_max) return broken_schema("it nests too deep");
  bool changed = false;
  std::size_t place = 0;
  for (const Field& field : wanted) {
    const auto it = std::find_if(fields.begin(), fields.end(), [&](const Json& there) {
      return json_long(there, "id") == field.id;
    });
    if (it == fields.end()) {
      const std::string named =
          "the new column '" + field.name + "' (id " + std::to_string(field.id) + ")";
      if (field.id <= last_column_id) {
        return fail(ErrorKind::kStale, named + " takes an id that was used already (the last is " +
                                           std::to_string(last_column_id) +
                                           "): load the table again and assign new ids");
      }
      if (field.required) {
        return fail(ErrorKind::kInvalid, named + " is required: files that exist do not have it");
      }
      if (has_name(fields, field.name)) {
        return fail(ErrorKind::kStale, named +
                                           " has the name of one that somebody else added: "
                                           "load the table again and use its id");
      }
      fields.insert(fields.begin() + static_cast<std::ptrdiff_t>(place), field_to_json(field));
      ++place;
      changed = true;
      continue;
    }
    place = static_cast<std::size_t>(it - fields.begin()) + 1;
    if (json_string(*it, "name") != field.name) {
      return fail(ErrorKind::kStale, "the column '" + field.name + "' (id " +
                                         std::to_string(field.id) + ") is called '" +
                                         json_string(*it, "name").value_or("") +
                                         "' in the table now: load it again");
    }
    Json* type = it->contains("type") ? &(*it)["type"] : nullptr;
    if (field.type == Type::kStruct && type != nullptr && json_string(*type, "type") == "struct" &&
        type->contains("fields") && (*type)["fields"].is_array()) {
      if (EVODB_TRY(add_missing((*type)["fields"], field.children, last_column_id, depth + 1))) {
        changed = true;
      }
      continue;
    }
    const auto now = EVODB_TRY(field_from_json(*it, depth));
    if (!now || now->type != field.type || now->key_id != field.key_id ||
        now->value_id != field.value_id) {
      return fail(ErrorKind::kStale, "the column '" + field.name + "' (id " +
                                         std::to_string(field.id) +
                                         ") has another type in the table: load it again");
    }
  }
  return changed;
}

Json mapping_of(const Json& fields) {
  Json out = Json::array();
  for (const Json& field : fields) {
    const auto id = json_long(field, "id");
    const auto name = json_string(field, "name");
    if (!id || !name) continue;
    Json entry = {{"field-id", *id}, {"names", Json::array({*name})}};
    const Json* type = json_member(field, "type");
    if (type != nullptr && type->is_object()) {
      if (const Json* children = json_member(*type, "fields"))
        entry["fields"] = mapping_of(*children);
      const auto add_part = [&](const char* id_name, const char* name_there) {
        if (const auto part = json_long(*type, id_name)) {
          entry["fields"].push_back(
              {{"field-id", *part}, {"names", Json::array({std::string(name_there)})}});
        }
      };
      add_part("key-id", "key");
      add_part("value-id", "value");
      add_part("element-id", "element");
    }
    out.push_back(std::move(entry));
  }
  return out;
}

std::int32_t last_id(const std::vector<Field>& fields) {
  std::int32_t last = 0;
  for (const Field& field : fields) {
    last = std::max({last, field.id, field.key_id, field.value_id, last_id(field.children)});
  }
  return last;
}

}  // namespace

std::int32_t Schema::last_column_id() const { return last_id(fields); }

Json schema_to_json(const Schema& schema) {
  return {{"type", "struct"},
          {"schema-id", schema.schema_id},
          {"fields", fields_to_json(schema.fields)}};
}

Result<Schema> schema_from_json(const Json& json) {
  Schema schema;
  const std::int64_t id = json_long(json, "schema-id").value_or(0);
  if (id < 0 || id > INT32_MAX) return broken_schema("its id is out of range");
  schema.schema_id = static_cast<std::int32_t>(id);
  schema.fields = EVODB_TRY(fields_from_json(json, 0));
  for (const Json& field : json_array(json, "fields")) {
    const auto name = json_string(field, "name");
    if (name && std::ranges::find(schema.fields, *name, &Field::name) == schema.fields.end()) {
      schema.other_names.push_back(*name);
    }
  }
  return schema;
}

Result<std::optional<Json>> evolve_schema(const Json& current, const Schema& wanted,
                                          std::int32_t last_column_id) {
  Json next = current;
  if (!next.is_object() || !next.contains("fields") || !next["fields"].is_array()) {
    return broken_schema("it has no fields");
  }
  if (!EVODB_TRY(add_missing(next["fields"], wanted.fields, last_column_id, 0))) {
    return std::nullopt;
  }
  return next;
}

std::string name_mapping(const Json& schema) {
  const Json* fields = json_member(schema, "fields");
  return dump_json(fields == nullptr ? Json::array() : mapping_of(*fields));
}

}  // namespace evodb::table
