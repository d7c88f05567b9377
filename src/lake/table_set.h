// TableSet: every table of the lake, and which source table each belongs to.
//
//   TableSet tables("rejects");
//   tables.add(state);                      // each of the catalog's, at start
//   LakeTable& goods = tables.of("goods");  // made now if there is none
//
// A table belongs to the source table whose exact name its location holds (naming.h); its name in
// the catalog is only what was free. Tables of somebody else keep their names and are never
// touched.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>

#include "lake/case_folding.h"
#include "lake/lake_table.h"
#include "table/append.h"

namespace evodb::lake {

class TableSet {
 public:
  explicit TableSet(std::string rejects_name) : rejects_name_(std::move(rejects_name)) {}

  void add(table::TableState state);
  void add_waiting(const std::string& name, const std::string& location, const Error& why);
  LakeTable& of(const std::string& source_table);
  LakeTable& rejects();
  // Ours, by name in the catalog. References to tables stay valid.
  const std::map<std::string, std::unique_ptr<LakeTable>>& all() const { return tables_; }

 private:
  // The table at the location, or null and the location at which to make it.
  LakeTable* find(std::string* location);
  LakeTable& keep(std::unique_ptr<LakeTable> table);
  bool is_rejects_location(const std::string& location) const;
  // By a name that an engine may take for this one.
  bool is_taken(const std::string& name) const { return folded_names_.contains(fold_case(name)); }

  std::string rejects_name_;
  std::map<std::string, std::unique_ptr<LakeTable>> tables_;
  std::unordered_map<std::string, LakeTable*> by_location_;
  std::set<std::string> folded_names_, foreign_locations_;
  LakeTable* rejects_ = nullptr;
};

}  // namespace evodb::lake
