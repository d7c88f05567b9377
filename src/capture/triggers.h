// The triggers of one captured table, as SQL.
//
//   for (const Trigger& t : triggers_of(shape, slot, definition_id, "")) EVODB_TRY(db.run(t.sql));
//
// They run in the application's connections, so they are plain SQL with SQLite's own functions.
//
// What each does (S is the table's slot):
//   evodb_S_insert, _delete   one outbox row
//   evodb_S_update            one outbox row (two halves for a wide table), if the key stays
//   evodb_S_rekey             DELETE of the old row and INSERT of the new one, if the key changes
// and for OR REPLACE, which with recursive_triggers off takes rows away without a trigger:
//   evodb_S_before_insert, _before_update   if a row stands in the new row's way under any unique
//                    key, that row is noted in evodb_victims. It may live on (OR IGNORE, UPSERT),
//                    so this alone says nothing.
//   evodb_S_insert_victims, _update_victims   what was noted and is gone: a DELETE each, in front
//                    of the new row's own change.
//   evodb_S_delete_victims   a row whose delete trigger fired is no victim any more.
// A note of a row that lives on stays behind; it is kept true by the update and delete triggers,
// at most a few a table are kept, and trimming clears them away.
//
// Example: t(id INTEGER PRIMARY KEY, v) with slot 3 and definition 7. What goes in is its shape,
// what comes out begins with
//   CREATE TRIGGER "evodb_3_insert" AFTER INSERT ON "t" BEGIN
//     INSERT INTO evodb_outbox(tbl,op,v0,v1) VALUES(7,0,NEW."id",NEW."v"); END
//   CREATE TRIGGER "evodb_3_delete" AFTER DELETE ON "t" BEGIN
//     INSERT INTO evodb_outbox(tbl,op,v0,v1) VALUES(7,2,OLD."id",OLD."v"); END
//   CREATE TRIGGER "evodb_3_update" AFTER UPDATE ON "t" WHEN NEW."rowid"=OLD."rowid" BEGIN
//     INSERT INTO evodb_outbox(tbl,op,v0,v1,v2,v3)
//       VALUES(7,1,OLD."id",OLD."v",NEW."id",NEW."v"); END
// and INSERT OR REPLACE INTO t VALUES(1, 'b') over the row (1, 'a') leaves in the outbox
//   tbl 7, op 2, 1, 'a'      from evodb_3_insert_victims: noted before, gone after
//   tbl 7, op 0, 1, 'b'      from evodb_3_insert
//
// Loops (TableShape::loops). SQLite carries out the actions of foreign keys before it fires the AFTER
// triggers of the row whose change causes them. In `tree(id PRIMARY KEY, parent REFERENCES tree(id)
// ON UPDATE CASCADE)` the row (1, 1) becomes (2, 1), then by the key (2, 2): of which the triggers
// are told (2, 1) to (2, 2) first, and behind it (1, 1) to (2, 1). And OR REPLACE may, by deleting
// another row, change the very row that it is about. So in such a table
//   - before a row is changed in a way that may lead back, it is noted in evodb_victims, as the log
//     has it; that a row is not in the log is noted, too. Who makes a note holds it until its own
//     AFTER trigger; those nested inside use it
//   - while there is any note of the table, what is logged is what makes of the noted rows the rows
//     as they are now: first DELETEs, then UPDATEs, then INSERTs
//   - all others, changes of no key with nothing noted, are logged as in any table
// evodb_victims.tbl is S for a row as the log has it, -S for one that the log has not, S + 2^40 for a
// hold, S + 2^41 for a row that OR REPLACE may take away.
//
// Order: SQLite fires the newest trigger of a kind first. So the _victims triggers are created
// last (their DELETEs come before the row's own change), and all of them after the application's
// own (a row that an application's trigger changes again is logged in the order of the changes).
//
// Not seen: a row that a BEFORE trigger of the application's puts in the way of the very row that
// it fires for, if that one then replaces it with recursive_triggers off. Internal to capture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "capture/table_shape.h"

namespace evodb::capture {

struct Trigger {
  std::string name;
  std::string sql;
};

// In the order in which they must be created. `note`: a comment that one of them carries
// (repair.h).
std::vector<Trigger> triggers_of(const TableShape& shape, std::int64_t slot, std::int64_t id,
                                 const std::string& note);

// Of the triggers, the one that only tables have whose changes lead back to them.
std::string before_delete_trigger(std::int64_t slot);

// The slot in a trigger's name, or 0 if it is none of ours.
std::int64_t slot_of_trigger(std::string_view trigger_name);

// Whether a row of the table has a NULL in its key.
std::string key_is_null_sql(const TableShape& shape);

}  // namespace evodb::capture
