// A writer's Avro schema, from JSON to nodes. Bounded in size, depth and count.
#pragma once

#include <string_view>
#include <vector>

#include "evodb/result.h"
#include "table/avro.h"

namespace evodb::table {

// kCorrupt with what is wrong. A record may not contain itself but through a union or a collection.
Result<std::vector<AvroNode>> parse_avro_schema(std::string_view json);

}  // namespace evodb::table
