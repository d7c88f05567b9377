// Iceberg's fields as Parquet's nodes: field ids everywhere, int64 microseconds, three-level maps.
#include <parquet/types.h>

#include "base/assert.h"
#include "lake/parquet_leaf.h"

namespace evodb::lake {
namespace {

using parquet::LogicalType;
using parquet::Repetition;
using parquet::schema::GroupNode;
using parquet::schema::NodePtr;
using parquet::schema::NodeVector;
using parquet::schema::PrimitiveNode;
using table::Field;
using table::Type;

NodePtr primitive(const std::string& name, Repetition::type repetition, Type type,
                  std::int32_t id) {
  const auto make = [&](std::shared_ptr<const LogicalType> logical, parquet::Type::type physical) {
    return PrimitiveNode::Make(name, repetition, std::move(logical), physical, -1, id);
  };
  switch (type) {
    case Type::kBoolean: return make(LogicalType::None(), parquet::Type::BOOLEAN);
    case Type::kInt: return make(LogicalType::None(), parquet::Type::INT32);
    case Type::kLong: return make(LogicalType::None(), parquet::Type::INT64);
    case Type::kDouble: return make(LogicalType::None(), parquet::Type::DOUBLE);
    case Type::kString: return make(LogicalType::String(), parquet::Type::BYTE_ARRAY);
    case Type::kBinary: return make(LogicalType::None(), parquet::Type::BYTE_ARRAY);
    case Type::kTimestampTz:
      return make(LogicalType::Timestamp(true, LogicalType::TimeUnit::MICROS),
                  parquet::Type::INT64);
    default: break;
  }
  EVODB_ASSERT(false, "TableColumns makes no field of another type");
}

NodePtr node(const Field& field) {
  const auto repetition = field.required ? Repetition::REQUIRED : Repetition::OPTIONAL;
  if (field.type == Type::kMapStringString) {
    const NodeVector entry = {
        primitive("key", Repetition::REQUIRED, Type::kString, field.key_id),
        primitive("value", Repetition::OPTIONAL, Type::kString, field.value_id)};
    return GroupNode::Make(field.name, repetition,
                           {GroupNode::Make("key_value", Repetition::REPEATED, entry)},
                           LogicalType::Map(), field.id);
  }
  return primitive(field.name, repetition, field.type, field.id);
}

}  // namespace

bool is_in_file(const FlushJob& job, std::size_t i) {
  switch (job.sources[i].origin) {
    case FieldOrigin::kBefore: return job.rows->has_flag(kHasBefore);
    case FieldOrigin::kUnfit: return job.rows->unfit().size() > 0;
    default: return true;
  }
}

std::shared_ptr<GroupNode> parquet_schema(const FlushJob& job) {
  NodeVector fields;
  for (std::size_t i = 0; i < job.schema.fields.size(); ++i) {
    if (is_in_file(job, i)) fields.push_back(node(job.schema.fields[i]));
  }
  return std::static_pointer_cast<GroupNode>(
      GroupNode::Make("table", Repetition::REQUIRED, fields));
}

std::vector<ParquetLeaf> parquet_leaves(const FlushJob& job) {
  EVODB_ASSERT(job.sources.size() == job.schema.fields.size(), "a source for each field");
  using Part = ParquetLeaf::Part;
  std::vector<ParquetLeaf> leaves;
  for (std::size_t i = 0; i < job.sources.size(); ++i) {
    if (!is_in_file(job, i)) continue;
    const Field& field = job.schema.fields[i];
    const FieldSource& source = job.sources[i];
    switch (source.origin) {
      case FieldOrigin::kUnfit:
        leaves.push_back({source.origin, Part::kMapKey, Type::kString, true, field.key_id});
        leaves.push_back({source.origin, Part::kMapValue, Type::kString, false, field.value_id});
        break;
      default:
        leaves.push_back(
            {source.origin, Part::kWhole, field.type, field.required, field.id, source.column});
    }
  }
  return leaves;
}

}  // namespace evodb::lake
