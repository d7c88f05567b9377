// QuietStore: a FakeStore as a reader sees it whom no fault meets and nobody counts.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sim/seams/fake_store.h"
#include "store/store.h"

namespace evodb::sim {

class QuietStore final : public store::ObjectStore {
 public:
  explicit QuietStore(const FakeStore& store) : store_(store) {}
  Result<std::string> get(const std::string& key) override {
    auto bytes = store_.peek(key);
    if (!bytes) return fail(store::no_such_object(key));
    return *std::move(bytes);
  }
  std::string location(const std::string& key) const override { return store_.location(key); }
  Result<std::string> key_of(const std::string& location) const override {
    return store_.key_of(location);
  }
  Result<void> put(const std::string&, std::string_view, store::PutMode) override { return no(); }
  Result<void> remove(const std::string&) override { return no(); }
  Result<std::vector<store::ObjectInfo>> list(const std::string&) override { return no(); }
  Result<void> check() override { return {}; }

 private:
  static std::unexpected<Error> no() { return fail(ErrorKind::kInternal, "readers only read"); }
  const FakeStore& store_;
};

}  // namespace evodb::sim
