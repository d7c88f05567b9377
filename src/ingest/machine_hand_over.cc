// Sessions that go on in another process: docs/upgrade.md.
#include <algorithm>
#include <unordered_map>

#include "base/assert.h"
#include "base/bytes.h"
#include "ingest/machine.h"
#include "ingest/session_records.h"
#include "wire/table_def.h"

namespace evodb::ingest {

std::string IngestMachine::save_sessions() {
  EVODB_ASSERT(inflight_.empty(), "sessions are saved when everything appended is durable");
  SessionRecords records;
  std::unordered_map<TableIndex, std::uint32_t> definitions;
  for (std::uint32_t number = 0; number < sessions_.end(); ++number) {
    const Session* s = sessions_.find(SessionId(number));
    if (s == nullptr) continue;
    SessionRecord& r = records.sessions.emplace_back();
    r.session = number;
    r.superseded = s->superseded;
    r.starved = s->starved;
    if (const InAir* air = air_of(*s)) {
      r.kind = air->kind;
      r.source = air->unordered_source;
      r.granted_bytes = air->granted_bytes;
      r.granted_before_bytes = air->granted_before_bytes;
      r.unordered_durable = air->unordered_durable;
      r.unordered_persisted = air->unordered_persisted;
    } else {
      r.granted_bytes = s->granted_steps * grant_step_bytes();
      r.granted_before_bytes = s->granted_before_steps * grant_step_bytes();
    }
    if (r.kind == SessionKind::kOrdered) {
      r.source = sources_.name_of(s->source);
      r.epoch = sources_.at(s->source).epoch;
      r.life = s->life;
    }
    // Tables of a v1 session are numbered by the gate, and anew by the next one.
    if (r.kind == SessionKind::kUnorderedV1) continue;
    for (const TableBinding& binding : table_sets_.bindings(s->tables)) {
      const auto [at, added] = definitions.try_emplace(
          binding.table, static_cast<std::uint32_t>(records.definitions.size()));
      if (added) records.definitions.push_back(tables_.at(binding.table).encoded);
      r.tables.push_back({binding.table_ref, at->second});
    }
  }
  return encode_session_records(records);
}

Result<void> IngestMachine::restore_sessions(std::string_view saved, const NewSessionId& new_id) {
  const SessionRecords records = EVODB_TRY(decode_session_records(saved));
  struct Acquired {
    TableRegistry& tables;
    std::vector<TableIndex> list;
    ~Acquired() {
      for (const TableIndex table : list) tables.release(table);
    }
  } acquired{tables_, {}};
  for (const std::string_view definition : records.definitions) {
    base::ByteReader in(definition);
    const wire::TableDef def = EVODB_TRY(wire::decode_table_def(in));
    acquired.list.push_back(EVODB_TRY(tables_.acquire(std::string(definition), def.fingerprint())));
  }
  for (const SessionRecord& r : records.sessions) {
    const std::optional<SessionId> id = new_id(SessionId(r.session));
    if (!id || sessions_.find(*id) != nullptr) {
      return fail(ErrorKind::kInvalid, "a session was handed over without its connection");
    }
    const bool ordered = r.kind == SessionKind::kOrdered;
    const SourceIndex source = ordered ? sources_.find(r.source, r.epoch) : SourceTable::none;
    if (ordered && source == SourceTable::none) {
      return fail(ErrorKind::kCorrupt, "the checkpoint does not have source '" +
                                           std::string(r.source) + "', which has a session");
    }
    Session& s = open_session(*id, r.kind);
    s.source = source;
    s.life = r.life;
    s.superseded = r.superseded;
    if (ordered) {
      const std::uint64_t step = grant_step_bytes();
      const auto steps = [&](std::uint64_t bytes) {
        return static_cast<std::uint32_t>(
                   std::min<std::uint64_t>((bytes + step - 1) / step, Session::grant_steps_max)) &
               Session::grant_steps_max;
      };
      s.granted_steps = steps(r.granted_bytes);
      s.granted_before_steps = steps(r.granted_before_bytes);
      if (!r.superseded) {
        SourceState state = sources_.at(source);
        state.session = id->value;
        sources_.put(source, state);
      }
    } else {
      InAir& air = airs_[s.air];
      air.granted_bytes = r.granted_bytes;
      air.granted_before_bytes = r.granted_before_bytes;
      air.unordered_source = std::string(r.source);
      air.unordered_durable = r.unordered_durable;
      air.unordered_persisted = r.unordered_persisted;
    }
    TableSets::Bindings bindings;
    for (const SessionRecord::Table& table : r.tables) {
      bindings.push_back({table.table_ref, acquired.list[table.definition]});
    }
    s.tables = table_sets_.intern(std::move(bindings));
    if (r.starved) starve(*id);
  }
  return {};
}

}  // namespace evodb::ingest
