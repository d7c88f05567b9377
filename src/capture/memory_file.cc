#include "capture/memory_file.h"

#include <cstdio>
#include <fstream>
#include <iterator>

#include "base/bytes.h"
#include "base/hash.h"

namespace evodb::capture {
namespace {

constexpr std::string_view magic = "EvODBme1";
constexpr std::size_t selected_max = 100'000;
constexpr std::uint8_t all_tables = 1, paused = 2;

}  // namespace

std::string memory_path(const std::string& db) { return db + "-evodb"; }

std::string encode_memory(const LogMemory& memory) {
  std::string out(magic);
  base::put_string(out, memory.source);
  for (const std::uint64_t number :
       {memory.life, memory.epoch.value, memory.trimmed.value, memory.trimmed_chain.value,
        memory.seen.value, memory.seen_hash, static_cast<std::uint64_t>(memory.definitions)}) {
    base::put_u64(out, number);
  }
  base::put_u8(out, static_cast<std::uint8_t>((memory.all_tables ? all_tables : 0) |
                                              (memory.paused ? paused : 0)));
  base::put_varint(out, memory.selection.size());
  for (const SelectedName& selected : memory.selection) {
    base::put_string(out, selected.name);
    base::put_u8(out, selected.excluded ? 1 : 0);
  }
  base::put_u32(out, base::crc32c(out));
  return out;
}

std::optional<LogMemory> decode_memory(std::string_view bytes) {
  if (!bytes.starts_with(magic) || bytes.size() < magic.size() + 4) return std::nullopt;
  const std::string_view body = bytes.substr(0, bytes.size() - 4);
  if (base::load_fixed<std::uint32_t>(bytes.data() + body.size()) != base::crc32c(body)) {
    return std::nullopt;
  }
  base::ByteReader in(body.substr(magic.size()));
  LogMemory memory;
  std::string_view source;
  std::uint64_t definitions = 0, count = 0;
  std::uint8_t flags = 0;
  const bool read = in.string(&source) && in.u64(&memory.life) && in.u64(&memory.epoch.value) &&
                    in.u64(&memory.trimmed.value) && in.u64(&memory.trimmed_chain.value) &&
                    in.u64(&memory.seen.value) && in.u64(&memory.seen_hash) &&
                    in.u64(&definitions) && in.u8(&flags) && in.varint(&count);
  if (!read || source.empty() || count > selected_max) return std::nullopt;
  memory.source = source;
  memory.definitions = static_cast<std::int64_t>(definitions);
  memory.all_tables = (flags & all_tables) != 0;
  memory.paused = (flags & paused) != 0;
  for (; count > 0; --count) {
    std::string_view name;
    std::uint8_t excluded = 0;
    if (!in.string(&name) || !in.u8(&excluded)) return std::nullopt;
    memory.selection.push_back({std::string(name), excluded != 0});
  }
  if (!in.at_end()) return std::nullopt;
  return memory;
}

std::optional<LogMemory> load_memory(const std::string& db) {
  std::ifstream in(memory_path(db), std::ios::binary);
  if (!in) return std::nullopt;
  return decode_memory(std::string(std::istreambuf_iterator<char>(in), {}));
}

void forget_memory(const std::string& db) { std::remove(memory_path(db).c_str()); }

void save_memory(const std::string& db, const LogMemory& memory) {
  const std::string path = memory_path(db);
  const std::string fresh = path + "-new";
  {
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << encode_memory(memory);
    out.flush();
    if (!out) {
      std::remove(fresh.c_str());
      return;
    }
  }
  if (std::rename(fresh.c_str(), path.c_str()) != 0) std::remove(fresh.c_str());
}

}  // namespace evodb::capture
