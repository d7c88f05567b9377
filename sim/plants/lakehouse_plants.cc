// Bugs of catalog, claim and pointers: what is believed of a lakehouse that somebody has worked on.
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

#include "lake/flush_job.h"
#include "sim/plants/plant_list.h"
#include "sim/plants/wraps.h"
#include "table/claim.h"

namespace evodb::sim {
namespace {

// --- operators

// After its swap a commit leaves no pointer in the store.
class PointerNotPut final : public Plant {
 public:
  void before_io(table::IoRequest& io) override {
    if (auto* put = std::get_if<table::PutObjects>(&io)) {
      for (auto& object : put->objects) lead_astray(object.key);
    }
    if (auto* remove = std::get_if<table::RemoveObject>(&io)) lead_astray(remove->key);
  }

 private:
  static void lead_astray(std::string& key) {
    if (key.starts_with(table::pointers_prefix)) key.insert(0, "nowhere/");
  }
};

template <class Wrap>
class StorePlant final : public Plant {
 public:
  store::ObjectStore& store(store::ObjectStore& real) override { return stores_.make(real); }

 private:
  Kept<Wrap> stores_;
};

// The catalog is believed: the store is not asked what was there.
struct AsksNoStore final : StoreWrap {
  using StoreWrap::StoreWrap;
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override {
    if (prefix == table::pointers_prefix || prefix == "evodb/") {
      return std::vector<store::ObjectInfo>();
    }
    return real_.list(prefix);
  }
};

// What the catalog has is not compared with the pointers.
struct AsksNoPointer final : StoreWrap {
  using StoreWrap::StoreWrap;
  Result<std::vector<store::ObjectInfo>> list(const std::string& prefix) override {
    if (prefix == table::pointers_prefix) return std::vector<store::ObjectInfo>();
    return real_.list(prefix);
  }
};

// Whoever has put its pointer calls the commit persisted, whether or not its claim is there still.
class ClaimNotConfirmed final : public Plant {
 public:
  store::ObjectStore& store(store::ObjectStore& real) override {
    return stores_.make(real, claims_);
  }
  void after_io(const table::IoRequest& io, table::IoResponse& response,
                store::ObjectStore&) override {
    const auto* get = std::get_if<table::GetObject>(&io);
    if (get == nullptr || response || response.error().kind != ErrorKind::kNotFound) return;
    const auto claim = claims_.find(get->key);
    if (claim != claims_.end()) response = table::IoValue{.bytes = claim->second};
  }

 private:
  using Claims = std::map<std::string, std::string>;
  struct Wrap final : StoreWrap {
    Wrap(store::ObjectStore& real, Claims& claims) : StoreWrap(real), claims_(claims) {}
    Result<void> put(const std::string& key, std::string_view bytes, store::PutMode mode) override {
      if (key.starts_with(table::claims_prefix)) claims_[key] = bytes;
      return real_.put(key, bytes, mode);
    }
    Result<std::string> get(const std::string& key) override {
      auto bytes = real_.get(key);
      const auto claim = claims_.find(key);
      if (!bytes && bytes.error().kind == ErrorKind::kNotFound && claim != claims_.end()) {
        return claim->second;
      }
      return bytes;
    }
    Claims& claims_;
  };
  Claims claims_;
  Kept<Wrap> stores_;
};

// --- other engines

// Metadata that another engine has written is read as if the columns were those before.
class ForeignColumnsUnread final : public Plant {
 public:
  void after_io(const table::IoRequest& io, table::IoResponse& response,
                store::ObjectStore&) override {
    const auto* get = std::get_if<table::GetObject>(&io);
    if (get == nullptr || !response || get->key.find("/foreign-") == std::string::npos) return;
    auto metadata = nlohmann::json::parse(response->bytes);
    const std::int64_t present = metadata["current-schema-id"];
    std::int64_t before = -1;
    for (const auto& schema : metadata["schemas"]) {
      const std::int64_t id = schema["schema-id"];
      if (id < present) before = std::max(before, id);
    }
    if (before < 0) return;
    metadata["current-schema-id"] = before;
    response->bytes = metadata.dump();
  }
};

// A table's files keep the ids that its columns had when this parent first wrote it.
class IdsKept final : public Plant {
 public:
  lake::FileEncoder& encoder(lake::FileEncoder& real) override {
    return encoders_.make(real, ids_);
  }

 private:
  using Ids = std::map<std::string, std::map<std::string, std::int32_t>>;  // by table, column
  struct Wrap final : EncoderWrap {
    Wrap(lake::FileEncoder& real, Ids& ids) : EncoderWrap(real), ids_(ids) {}
    Result<std::vector<lake::EncodedFile>> encode(const lake::FlushJob& job,
                                                  std::uint64_t file_bytes_max) override {
      lake::FlushJob other = job;
      auto& known = ids_[job.location_key];
      for (table::Field& field : other.schema.fields) {
        field.id = known.try_emplace(field.name, field.id).first->second;
      }
      return real_.encode(other, file_bytes_max);
    }
    Ids& ids_;
  };
  Ids ids_;
  Kept<Wrap> encoders_;
};

}  // namespace

std::vector<PlantInfo> lakehouse_plants() {
  return {
      {"pointer-not-put", "a commit leaves no pointer in the store", "operator",
       make_one<PointerNotPut>},
      {"empty-catalog-believed", "tables that the catalog lacks begin anew", "operator",
       make_one<StorePlant<AsksNoStore>>},
      {"old-catalog-believed", "a copy of the catalog that came back is gone on from", "operator",
       make_one<StorePlant<AsksNoPointer>>},
      {"claim-not-confirmed", "a parent that was replaced goes on saying persisted", "operator",
       make_one<ClaimNotConfirmed>},
      {"foreign-columns-unread", "what another engine did to the columns is undone",
       "other-engines", make_one<ForeignColumnsUnread>},
      {"column-ids-kept", "files have the ids of columns that were dropped", "other-engines",
       make_one<IdsKept>},
  };
}

}  // namespace evodb::sim
