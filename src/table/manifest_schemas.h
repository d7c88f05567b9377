// The Avro schemas of format v2, as Iceberg's own writer prints them: ids on every field, plain
// types for required ones, int-keyed maps as arrays of records.
#pragma once

#include <string>

namespace evodb::table {

// {"type":"array","logicalType":"map"} of records (key, value), optional.
#define EVODB_AVRO_MAP(NAME, ID, KEY, VALUE, TYPE)                                                 \
  R"({"name":")" NAME R"(","type":["null",{"type":"array","items":{"type":"record","name":"k)" KEY \
  "_v" VALUE R"(","fields":[{"name":"key","type":"int","field-id":)" KEY                           \
  R"(},{"name":"value","type":")" TYPE R"(","field-id":)" VALUE                                    \
  R"(}]},"logicalType":"map"}],"default":null,"field-id":)" ID "}"

#define EVODB_AVRO_LIST(NAME, ID, TYPE, ELEMENT)                           \
  R"({"name":")" NAME R"(","type":["null",{"type":"array","items":")" TYPE \
  R"(","element-id":)" ELEMENT R"(}],"default":null,"field-id":)" ID "}"

inline constexpr char manifest_entry_schema[] =
    R"({"type":"record","name":"manifest_entry","fields":[)"
    R"({"name":"status","type":"int","field-id":0},)"
    R"({"name":"snapshot_id","type":["null","long"],"default":null,"field-id":1},)"
    R"({"name":"sequence_number","type":["null","long"],"default":null,"field-id":3},)"
    R"({"name":"file_sequence_number","type":["null","long"],"default":null,"field-id":4},)"
    R"({"name":"data_file","type":{"type":"record","name":"r2","fields":[)"
    R"({"name":"content","type":"int","field-id":134},)"
    R"({"name":"file_path","type":"string","field-id":100},)"
    R"({"name":"file_format","type":"string","field-id":101},)"
    R"({"name":"partition","type":{"type":"record","name":"r102","fields":[]},"field-id":102},)"
    R"({"name":"record_count","type":"long","field-id":103},)"
    R"({"name":"file_size_in_bytes","type":"long","field-id":104},)"
    EVODB_AVRO_MAP("column_sizes", "108", "117", "118", "long") ","
    EVODB_AVRO_MAP("value_counts", "109", "119", "120", "long") ","
    EVODB_AVRO_MAP("null_value_counts", "110", "121", "122", "long") ","
    EVODB_AVRO_MAP("nan_value_counts", "137", "138", "139", "long") ","
    EVODB_AVRO_MAP("lower_bounds", "125", "126", "127", "bytes") ","
    EVODB_AVRO_MAP("upper_bounds", "128", "129", "130", "bytes") ","
    R"({"name":"key_metadata","type":["null","bytes"],"default":null,"field-id":131},)"
    EVODB_AVRO_LIST("split_offsets", "132", "long", "133") ","
    EVODB_AVRO_LIST("equality_ids", "135", "int", "136") ","
    R"({"name":"sort_order_id","type":["null","int"],"default":null,"field-id":140})"
    R"(]},"field-id":2}]})";

inline constexpr char manifest_file_schema[] =
    R"({"type":"record","name":"manifest_file","fields":[)"
    R"({"name":"manifest_path","type":"string","field-id":500},)"
    R"({"name":"manifest_length","type":"long","field-id":501},)"
    R"({"name":"partition_spec_id","type":"int","field-id":502},)"
    R"({"name":"content","type":"int","field-id":517},)"
    R"({"name":"sequence_number","type":"long","field-id":515},)"
    R"({"name":"min_sequence_number","type":"long","field-id":516},)"
    R"({"name":"added_snapshot_id","type":"long","field-id":503},)"
    R"({"name":"added_files_count","type":"int","field-id":504},)"
    R"({"name":"existing_files_count","type":"int","field-id":505},)"
    R"({"name":"deleted_files_count","type":"int","field-id":506},)"
    R"({"name":"added_rows_count","type":"long","field-id":512},)"
    R"({"name":"existing_rows_count","type":"long","field-id":513},)"
    R"({"name":"deleted_rows_count","type":"long","field-id":514},)"
    R"({"name":"partitions","type":["null",{"type":"array","items":{"type":"record","name":"r508",)"
    R"("fields":[{"name":"contains_null","type":"boolean","field-id":509},)"
    R"({"name":"contains_nan","type":["null","boolean"],"default":null,"field-id":518},)"
    R"({"name":"lower_bound","type":["null","bytes"],"default":null,"field-id":510},)"
    R"({"name":"upper_bound","type":["null","bytes"],"default":null,"field-id":511}]},)"
    R"("element-id":508}],"default":null,"field-id":507},)"
    R"({"name":"key_metadata","type":["null","bytes"],"default":null,"field-id":519}]})";

#undef EVODB_AVRO_MAP
#undef EVODB_AVRO_LIST

}  // namespace evodb::table
