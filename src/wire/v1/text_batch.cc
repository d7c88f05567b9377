// A v1 batch of JSON, entry by entry. The text is cut at its brackets first, without looking into
// values, so that a fault within an entry stays within it, and rows are handed on as they came.
#include <cmath>

#include "wire/v1/members.h"
#include "wire/v1/text.h"

namespace evodb::wire {
namespace {

using v1::Json;
using v1::Members;

constexpr std::size_t cut = std::string_view::npos;

std::size_t behind_space(std::string_view s, std::size_t at) {
  while (at < s.size() && (s[at] == ' ' || s[at] == '\t' || s[at] == '\n' || s[at] == '\r')) ++at;
  return at;
}

// A byte order mark, which the JSON library ignores.
std::string_view behind_mark(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  return text;
}

// REQUIRES: a quote stands at `at`.
std::size_t behind_string(std::string_view s, std::size_t at) {
  for (++at; at < s.size(); ++at) {
    if (s[at] == '\\') {
      ++at;
    } else if (s[at] == '"') {
      return at + 1;
    }
  }
  return cut;
}

// Behind the value that begins at `at`, whatever it is: by quotes and brackets alone.
std::size_t behind_value(std::string_view s, std::size_t at) {
  std::size_t depth = 0;
  while (at < s.size()) {
    const char c = s[at];
    if (c == '"') {
      at = behind_string(s, at);
      if (at == cut || depth == 0) return at;
      continue;
    }
    if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;  // of what the value stands in
      if (--depth == 0) return at + 1;
    } else if (depth == 0 && (c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
      return at;
    }
    ++at;
  }
  return depth == 0 ? at : cut;
}

// What stands between a name's quotes; nobody escapes these, but JSON allows it.
std::string name_of(std::string_view raw) {
  if (raw.find('\\') == std::string_view::npos) return std::string(raw);
  const Json name = Json::parse('"' + std::string(raw) + '"', nullptr, false);
  return name.is_string() ? name.get<std::string>() : std::string(raw);
}

// Calls `each(name, value)` for the members of an object, in order; false as soon as it is none.
// What stands behind its end is not looked at.
template <class Each>
bool for_each_member(std::string_view s, Each each) {
  std::size_t at = behind_space(s, 0);
  if (at == s.size() || s[at] != '{') return false;
  at = behind_space(s, at + 1);
  if (at < s.size() && s[at] == '}') return true;
  while (at < s.size() && s[at] == '"') {
    const std::size_t end = behind_string(s, at);
    if (end == cut) return false;
    const std::string name = name_of(s.substr(at + 1, end - at - 2));
    at = behind_space(s, end);
    if (at == s.size() || s[at] != ':') return false;
    at = behind_space(s, at + 1);
    const std::size_t value_end = behind_value(s, at);
    if (value_end == cut || value_end == at) return false;
    if (!each(name, s.substr(at, value_end - at))) return false;
    at = behind_space(s, value_end);
    if (at < s.size() && s[at] == '}') return true;
    if (at == s.size() || s[at] != ',') return false;
    at = behind_space(s, at + 1);
  }
  return false;
}

template <class Each>
bool for_each_element(std::string_view s, Each each) {
  if (s.empty() || s[0] != '[') return false;
  std::size_t at = behind_space(s, 1);
  if (at < s.size() && s[at] == ']') return at + 1 == s.size();
  while (at < s.size()) {
    const std::size_t end = behind_value(s, at);
    if (end == cut || end == at) return false;
    if (!each(s.substr(at, end - at))) return false;
    at = behind_space(s, end);
    if (at < s.size() && s[at] == ']') return at + 1 == s.size();
    if (at == s.size() || s[at] != ',') return false;
    at = behind_space(s, at + 1);
  }
  return false;
}

// An object of some members as they stand in the text, to be parsed by itself.
class Excerpt {
 public:
  void add(std::string_view name, std::string_view value) {
    text_ += text_.empty() ? "{\"" : ",\"";
    text_ += name;
    text_ += "\":";
    text_ += value;
  }
  Json parse() const {
    if (text_.empty()) return Json::object();
    if (v1::depth_of(text_) + 1 > v1_text_depth_max || text_.find('\0') != std::string::npos) {
      return Json(Json::value_t::discarded);
    }
    return Json::parse(text_ + "}", nullptr, false);
  }

 private:
  std::string text_;
};

// The nearest that 64 bits hold; nullopt: no number.
std::optional<UnixMillis> time_of(const Json& json) {
  if (json.is_number_unsigned()) {
    return UnixMillis(
        static_cast<std::int64_t>(std::min<std::uint64_t>(json.get<std::uint64_t>(), INT64_MAX)));
  }
  if (json.is_number_integer()) return UnixMillis(json.get<std::int64_t>());
  if (!json.is_number_float()) return std::nullopt;
  const double v = std::floor(json.get<double>());
  if (v >= 9223372036854775808.0) return UnixMillis(INT64_MAX);
  if (v < -9223372036854775808.0) return UnixMillis(INT64_MIN);
  return UnixMillis(static_cast<std::int64_t>(v));
}

void read_fields(const Json& json, V1TextRow& row) {
  Members fields(json, "the entry");
  V1TextEntry& entry = row.entry;
  if (fields.find("table") != nullptr) entry.table = fields.string("table", true);
  if (const Json* row_id = fields.find("rowId")) {
    entry.row_id = row_id->is_string() ? row_id->get<std::string>() : v1::text_of(*row_id);
  }
  if (const Json* time = fields.find("timestamp")) {
    const auto t = time_of(*time);
    if (!t) fields.wrong("timestamp", "is not a time in milliseconds");
    entry.timestamp = t.value_or(UnixMillis(0));
  }
  entry.sequence = fields.integer<std::uint64_t>("sequence", true);
  entry.op = static_cast<Op>(fields.choice("operation", v1::op_names));
  if (fields.find("table") == nullptr) fields.wrong("table", "is missing");
  row.fault = fields.fault();
}

V1TextRow read_row(std::string_view text) {
  V1TextRow row;
  row.whole = text;
  Excerpt excerpt;
  const bool whole = for_each_member(text, [&](const std::string& name, std::string_view value) {
    if (name == "before") {
      row.before = value == "null" ? std::string_view() : value;
    } else if (name == "after") {
      row.after = value == "null" ? std::string_view() : value;
    } else if (name == "sequence" || name == "timestamp" || name == "operation" ||
               name == "table" || name == "rowId") {
      excerpt.add(name, value);
    }
    return true;
  });
  const Json json = whole ? excerpt.parse() : Json(Json::value_t::discarded);
  if (json.is_discarded()) {
    row.fault = "the entry is not a JSON object";
  } else {
    read_fields(json, row);
  }
  return row;
}

}  // namespace

V1TextHead peek_v1_text(std::string_view text) {
  V1TextHead head;
  text = behind_mark(text);
  for_each_member(text, [&](const std::string& name, std::string_view value) {
    if (name != "type" && name != "correlationId" && name != "sequenceNumber") return true;
    Excerpt excerpt;
    excerpt.add(name, value);
    const Json json = excerpt.parse();
    if (json.is_discarded()) return true;
    Members in(json, "");
    if (name == "type") head.type = in.string("type", false);
    if (name == "correlationId") head.correlation_id = in.optional_string("correlationId");
    if (name == "sequenceNumber") {
      head.batch_sequence = in.integer<std::uint64_t>("sequenceNumber", false);
    }
    return true;
  });
  return head;
}

Result<V1TextRows> read_v1_text_batch(std::string_view text) {
  text = behind_mark(text);
  Excerpt excerpt;
  std::string_view entries;
  std::size_t end = 0;
  const bool whole = for_each_member(text, [&](const std::string& name, std::string_view value) {
    end = static_cast<std::size_t>(value.data() + value.size() - text.data());
    if (name == "entries") {
      entries = value;
    } else if (name == "sourceDoId" || name == "sequenceNumber" || name == "correlationId") {
      excerpt.add(name, value);
    }
    return true;
  });
  const Json json = excerpt.parse();
  // One bracket closes it, and nothing follows.
  const std::size_t close = behind_space(text, end);
  if (!whole || json.is_discarded() || behind_space(text, close + 1) != text.size()) {
    return fail(ErrorKind::kInvalid, "a text message that is not a JSON object");
  }
  V1TextRows read;
  Members in(json, "cdc_batch");
  read.batch.source = in.string("sourceDoId", false);
  read.batch.batch_sequence = in.integer<std::uint64_t>("sequenceNumber", true);
  read.batch.correlation_id = in.optional_string("correlationId");
  if (in.fault()) return fail(ErrorKind::kInvalid, *in.fault());
  const bool all = for_each_element(entries, [&](std::string_view entry) {
    if (read.rows.size() == v1_entries_max) return false;
    read.rows.push_back(read_row(entry));
    return true;
  });
  if (all) return read;
  if (read.rows.size() == v1_entries_max) {
    return fail(ErrorKind::kOverLimit, "a batch of over " + std::to_string(v1_entries_max) +
                                           " entries; send fewer at once");
  }
  return fail(ErrorKind::kInvalid, "cdc_batch: 'entries' is missing or not an array");
}

}  // namespace evodb::wire
