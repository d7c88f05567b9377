#include "ingest/session_records.h"

#include "base/bytes.h"
#include "base/limits.h"

namespace evodb::ingest {
namespace {

constexpr std::uint8_t flag_superseded = 1, flag_starved = 2, flag_life = 4;
constexpr std::size_t session_bytes_min = 8;
constexpr std::size_t definition_bytes_max = base::frame_bytes_max;

bool decode_session(base::ByteReader& in, std::size_t definitions, SessionRecord* s) {
  std::uint8_t kind = 0, flags = 0;
  std::uint64_t tables = 0;
  if (!in.u32(&s->session) || !in.u8(&kind) || kind > 2 || !in.u8(&flags) ||
      flags > (flag_superseded | flag_starved | flag_life) ||
      !in.string(&s->source, base::source_name_bytes_max) || s->source.empty()) {
    return false;
  }
  s->kind = static_cast<SessionKind>(kind);
  s->superseded = (flags & flag_superseded) != 0;
  s->starved = (flags & flag_starved) != 0;
  if (s->kind == SessionKind::kOrdered && !in.varint(&s->epoch.value)) return false;
  if ((flags & flag_life) != 0 &&
      (s->kind != SessionKind::kOrdered || !in.u64(&s->life) || s->life == 0)) {
    return false;
  }
  if (!in.varint(&s->granted_bytes) || !in.varint(&s->granted_before_bytes)) return false;
  if (s->kind == SessionKind::kUnordered &&
      (!in.varint(&s->unordered_durable.value) || !in.varint(&s->unordered_persisted.value))) {
    return false;
  }
  if (!in.varint(&tables) || tables > base::table_defs_per_session_max ||
      tables > in.remaining() / 2) {
    return false;
  }
  for (std::uint64_t i = 0; i < tables; ++i) {
    std::uint64_t ref = 0, definition = 0;
    if (!in.varint(&ref) || ref > UINT32_MAX || !in.varint(&definition) ||
        definition >= definitions) {
      return false;
    }
    if (i > 0 && ref <= s->tables.back().table_ref) return false;
    s->tables.push_back({static_cast<std::uint32_t>(ref), static_cast<std::uint32_t>(definition)});
  }
  return true;
}

}  // namespace

std::string encode_session_records(const SessionRecords& records) {
  std::string out;
  base::put_varint(out, records.definitions.size());
  for (const std::string_view definition : records.definitions) {
    base::put_string(out, definition);
  }
  base::put_varint(out, records.sessions.size());
  for (const SessionRecord& s : records.sessions) {
    base::put_u32(out, s.session);
    base::put_u8(out, static_cast<std::uint8_t>(s.kind));
    base::put_u8(out, static_cast<std::uint8_t>((s.superseded ? flag_superseded : 0) |
                                                (s.starved ? flag_starved : 0) |
                                                (s.life != 0 ? flag_life : 0)));
    base::put_string(out, s.source);
    if (s.kind == SessionKind::kOrdered) base::put_varint(out, s.epoch.value);
    if (s.life != 0) base::put_u64(out, s.life);
    base::put_varint(out, s.granted_bytes);
    base::put_varint(out, s.granted_before_bytes);
    if (s.kind == SessionKind::kUnordered) {
      base::put_varint(out, s.unordered_durable.value);
      base::put_varint(out, s.unordered_persisted.value);
    }
    base::put_varint(out, s.tables.size());
    for (const SessionRecord::Table& table : s.tables) {
      base::put_varint(out, table.table_ref);
      base::put_varint(out, table.definition);
    }
  }
  return out;
}

Result<SessionRecords> decode_session_records(std::string_view bytes) {
  const auto damaged = [] {
    return fail(ErrorKind::kInvalid, "the sessions that were handed over are damaged");
  };
  SessionRecords records;
  base::ByteReader in(bytes);
  std::uint64_t definitions = 0, sessions = 0;
  if (!in.varint(&definitions) || definitions > in.remaining()) return damaged();
  for (std::uint64_t i = 0; i < definitions; ++i) {
    if (!in.string(&records.definitions.emplace_back(), definition_bytes_max)) return damaged();
  }
  if (!in.varint(&sessions) || sessions > in.remaining() / session_bytes_min) return damaged();
  records.sessions.reserve(static_cast<std::size_t>(sessions));
  for (std::uint64_t i = 0; i < sessions; ++i) {
    if (!decode_session(in, records.definitions.size(), &records.sessions.emplace_back())) {
      return damaged();
    }
  }
  if (!in.at_end()) return damaged();
  return records;
}

}  // namespace evodb::ingest
