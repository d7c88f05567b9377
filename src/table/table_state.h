// What a writer reads out of a table's metadata: its state, and the watermark in it.
//
//   for (const auto& [key, value] : watermark_properties(w)) metadata.set_property(key, value);
//   auto there = EVODB_TRY(read_watermark(metadata));
//
// The properties are the authority: they survive when the snapshot that carried the same keys in
// its summary has expired, and when another engine commits on top. A summary is asked only where
// the properties have none, for somebody may have unset them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "evodb/result.h"
#include "table/append.h"
#include "table/metadata.h"

namespace evodb::table {

inline constexpr char watermark_parent_key[] = "evodb.parent-id";
inline constexpr char watermark_writer_key[] = "evodb.writer-epoch";
inline constexpr char watermark_journal_key[] = "evodb.journal-id";
inline constexpr char watermark_position_key[] = "evodb.position";

// The same four keys and values stand in the properties and in the summary.
std::map<std::string, std::string> watermark_properties(const Watermark& watermark);

// Nothing: EvoDB has never committed to it. kCorrupt: some of the keys are missing or no numbers.
Result<std::optional<Watermark>> read_watermark(const TableMetadata& metadata);
// The watermark that this snapshot set, or nothing: then another engine wrote it.
std::optional<Watermark> summary_watermark(const Snapshot& snapshot);

// "parent p, writer 3, journal 9, position 12", for error texts.
std::string describe(const std::optional<Watermark>& watermark);

Result<TableState> table_state_of(const std::string& name, const std::string& metadata_location,
                                  const TableMetadata& metadata, const store::ObjectStore& store);

}  // namespace evodb::table
