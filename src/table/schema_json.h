// A Schema as Iceberg's JSON: in table metadata, and in the header of every manifest.
//
// The table's current schema may hold what EvoDB does not write: columns, docs and types that
// another engine added. So we never replace it: evolve_schema() adds what is new to what is there.
#pragma once

#include <optional>
#include <string>

#include "evodb/result.h"
#include "table/json.h"
#include "table/schema.h"

namespace evodb::table {

Json schema_to_json(const Schema& schema);

// Optional columns of types that EvoDB does not write are left out: no row of ours has them. A
// required one is kInvalid, for every row of ours would lack it.
Result<Schema> schema_from_json(const Json& json);

// `current` with the fields of `wanted` that it lacks, or nothing where it has them all (by id).
// Errors: kStale, when a field has another type or name now, or a new one takes an id (at most
// `last_column_id`) or a name that somebody else used meanwhile: the table must be loaded again.
Result<std::optional<Json>> evolve_schema(const Json& current, const Schema& wanted,
                                          std::int32_t last_column_id);

// The value of the property schema.name-mapping.default: names to ids, for files without ids.
std::string name_mapping(const Json& schema);

}  // namespace evodb::table
