// TableDef: a table's name and columns, sent once a session and then referred to by number.
//
// A row on the wire is a list of values in the order of its definition's columns; a definition is
// immutable: a table that gains a column gets a new one, with a higher schema version.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "evodb/result.h"

namespace evodb::wire {

struct ColumnDef {
  std::string name;
  std::string declared_type;      // as the source declares it ("VARCHAR(20)"), "" for none
  std::uint32_t key_ordinal = 0;  // 1, 2, ... within the table's key; 0: not part of it

  friend bool operator==(const ColumnDef&, const ColumnDef&) = default;
};

struct TableDef {
  std::string name;
  std::uint32_t schema_version = 1;
  std::vector<ColumnDef> columns;

  // XXH64 of the canonical encoding (encode_table_def). Equal definitions have equal fingerprints
  // in every process and language; the journal names definitions by it.
  std::uint64_t fingerprint() const;
  std::size_t key_columns() const;

  friend bool operator==(const TableDef&, const TableDef&) = default;
};

// The canonical encoding, also the one inside batches and journal records.
void encode_table_def(std::string& out, const TableDef& def);
// Limits: base/limits.h. Errors: kInvalid with what is wrong.
Result<TableDef> decode_table_def(base::ByteReader& in);

}  // namespace evodb::wire
