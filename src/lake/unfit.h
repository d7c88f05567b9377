// A value as text, for `_unfit`: "<storage class>:<text or hex>". Grammar: docs/formats/tables.md.
//
//   integer:-5   real:1.5   boolean:true   text:as it is   text-hex:ff00 (no UTF-8)   blob:00ff
//
// Numbers are decimal and round-trip exactly. NULL has no such text: it fits every column.
#pragma once

#include <string>

#include "evodb/value.h"

namespace evodb::lake {

// Replaces `out`. REQUIRES: not NULL.
void render_unfit(ValueView value, std::string* out);

}  // namespace evodb::lake
