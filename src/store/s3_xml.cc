#include "store/s3_xml.h"

#include <charconv>
#include <functional>
#include <optional>

#include "base/bytes.h"

namespace evodb::store {
namespace {

constexpr std::size_t depth_max = 16;

// The text of one entity, without '&' and ';'.
bool append_entity(std::string& out, std::string_view name) {
  if (name == "amp") return out.push_back('&'), true;
  if (name == "lt") return out.push_back('<'), true;
  if (name == "gt") return out.push_back('>'), true;
  if (name == "quot") return out.push_back('"'), true;
  if (name == "apos") return out.push_back('\''), true;
  if (!name.starts_with('#')) return false;
  name.remove_prefix(1);
  const bool hex = name.starts_with('x') || name.starts_with('X');
  if (hex) name.remove_prefix(1);
  std::uint32_t c = 0;
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), c, hex ? 16 : 10);
  if (error != std::errc() || end != name.data() + name.size()) return false;
  if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return false;
  base::put_utf8(out, c);
  return true;
}

// Calls `leaf` with the path of element names and the text of each element that has ended. False:
// not well-formed as far as we look.
bool read_xml(std::string_view xml,
              const std::function<void(const std::vector<std::string_view>&, std::string&)>& leaf) {
  std::vector<std::string_view> path;
  std::string text;
  bool any = false;
  while (!xml.empty()) {
    if (xml[0] == '&') {
      const std::size_t end = xml.find(';');
      if (end == std::string_view::npos || end > 12) return false;
      if (!append_entity(text, xml.substr(1, end - 1))) return false;
      xml.remove_prefix(end + 1);
    } else if (xml[0] != '<') {
      const std::size_t end = std::min(xml.find_first_of("<&"), xml.size());
      text += xml.substr(0, end);
      xml.remove_prefix(end);
    } else if (xml.starts_with("<!--")) {
      const std::size_t end = xml.find("-->", 4);
      if (end == std::string_view::npos) return false;
      xml.remove_prefix(end + 3);
    } else if (xml.starts_with("<![CDATA[")) {
      const std::size_t end = xml.find("]]>", 9);
      if (end == std::string_view::npos) return false;
      text += xml.substr(9, end - 9);
      xml.remove_prefix(end + 3);
    } else if (xml.starts_with("<?")) {
      const std::size_t end = xml.find("?>", 2);
      if (end == std::string_view::npos) return false;
      xml.remove_prefix(end + 2);
    } else if (xml.starts_with("<!")) {
      return false;  // a DTD: S3 sends none, and we expand none
    } else {
      const std::size_t end = xml.find('>');
      if (end == std::string_view::npos) return false;
      std::string_view tag = xml.substr(1, end - 1);
      xml.remove_prefix(end + 1);
      const bool closing = tag.starts_with('/');
      const bool empty = !closing && tag.ends_with('/');
      if (closing) tag.remove_prefix(1);
      if (empty) tag.remove_suffix(1);
      tag = tag.substr(0, tag.find_first_of(" \t\r\n"));
      if (tag.empty()) return false;
      if (!closing) {
        if (path.empty() && any) return false;  // a second root
        if (path.size() == depth_max) return false;
        path.push_back(tag);
        text.clear();
        any = true;
      }
      if (closing || empty) {
        if (path.empty() || path.back() != tag) return false;
        leaf(path, text);
        path.pop_back();
        text.clear();
      }
    }
  }
  return any && path.empty();
}

std::optional<std::int64_t> parse_digits(std::string_view text) {
  std::int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return v;
}

std::string trimmed(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  text.remove_prefix(begin);
  return std::string(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
}

}  // namespace

UnixMillis parse_iso_time(std::string_view text) {
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text.back() != 'Z') {
    return UnixMillis{0};
  }
  const auto year = parse_digits(text.substr(0, 4)), month = parse_digits(text.substr(5, 2));
  const auto day = parse_digits(text.substr(8, 2)), hour = parse_digits(text.substr(11, 2));
  const auto minute = parse_digits(text.substr(14, 2)), second = parse_digits(text.substr(17, 2));
  if (!year || !month || !day || !hour || !minute || !second || *month < 1 || *month > 12 ||
      *day < 1 || *day > 31 || *year < 0 || *hour < 0 || *minute < 0 || *second < 0) {
    return UnixMillis{0};
  }
  std::int64_t millis = 0;
  if (text[19] == '.') {
    const std::string digits = std::string(text.substr(20, text.size() - 21)) + "000";
    millis = parse_digits(std::string_view(digits).substr(0, 3)).value_or(0);
    if (millis < 0) millis = 0;
  }
  // Days since 1970 in the proleptic Gregorian calendar (Howard Hinnant's days_from_civil).
  const std::int64_t y = *month <= 2 ? *year - 1 : *year;
  const std::int64_t era = y / 400, year_of_era = y - era * 400;
  const std::int64_t day_of_year = (153 * (*month + (*month > 2 ? -3 : 9)) + 2) / 5 + *day - 1;
  const std::int64_t days =
      era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
  return UnixMillis{((days * 24 + *hour) * 60 + *minute) * 60'000 + *second * 1000 + millis};
}

Result<ListPage> parse_list_page(std::string_view xml) {
  ListPage page;
  ObjectInfo object;
  bool is_list = false, sizes_ok = true;
  const bool well_formed = read_xml(xml, [&](const auto& path, std::string& text) {
    if (path[0] != "ListBucketResult") return;
    if (path.size() == 1) is_list = true;
    if (path.size() == 2) {
      if (path[1] == "IsTruncated") page.truncated = text == "true";
      if (path[1] == "NextContinuationToken") page.continuation = std::move(text);
      if (path[1] == "Contents") {
        if (object.key.empty()) sizes_ok = false;
        page.objects.push_back(std::exchange(object, {}));
      }
      return;
    }
    if (path.size() == 3 && path[1] == "Contents") {
      if (path[2] == "Key") {
        object.key = std::move(text);
      } else if (path[2] == "LastModified") {
        object.modified = parse_iso_time(text);
      } else if (path[2] == "Size") {
        const auto bytes = parse_digits(text);
        if (!bytes || *bytes < 0) sizes_ok = false;
        object.bytes = static_cast<std::uint64_t>(bytes.value_or(0));
      }
    }
  });
  if (!well_formed || !is_list || !sizes_ok) {
    return fail(ErrorKind::kCorrupt,
                "the answer to a listing is no ListBucketResult: is store.endpoint an S3 server?");
  }
  if (page.truncated && page.continuation.empty()) {
    return fail(ErrorKind::kCorrupt, "a truncated listing came without a continuation token");
  }
  return page;
}

S3Error parse_s3_error(std::string_view xml) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (xml.starts_with(byte_order_mark)) xml.remove_prefix(byte_order_mark.size());
  xml.remove_prefix(std::min(xml.find_first_not_of(" \t\r\n"), xml.size()));
  S3Error error;
  if (!xml.starts_with('<')) return error;  // as any object of ours: not read through
  // Broken or not, what it says before is an error's word.
  (void)read_xml(xml, [&](const auto& path, std::string& text) {
    const std::size_t depth = path.size();
    if (depth < 2 || path[depth - 2] != "Error") return;
    const std::string_view name = path[depth - 1];
    if (name == "Code") {
      error.code = trimmed(text);
    } else if (name == "Message") {
      error.message = trimmed(text);
    } else if (name == "Region") {
      error.region = trimmed(text);
    }
  });
  return error;
}

}  // namespace evodb::store
