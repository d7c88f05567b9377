// Bugs of flushes, store and catalog: what an answer that does not come is taken for.
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "sim/plants/plant_list.h"
#include "sim/plants/wraps.h"

namespace evodb::sim {
namespace {

// --- requests and their answers

constexpr std::string_view position_text = "\"evodb.position\":\"";

// Of a table's snapshots and of its properties, ascending, each once.
std::vector<std::uint64_t> positions_in(const std::string& json) {
  std::set<std::uint64_t> found;
  for (auto at = json.find(position_text); at != std::string::npos;
       at = json.find(position_text, at + 1)) {
    found.insert(std::strtoull(json.c_str() + at + position_text.size(), nullptr, 10));
  }
  return {found.begin(), found.end()};
}

void replace_position(std::string& json, std::uint64_t from, std::uint64_t to) {
  const std::string old = std::string(position_text) + std::to_string(from) + "\"";
  const std::string other = std::string(position_text) + std::to_string(to) + "\"";
  for (auto at = json.find(old); at != std::string::npos; at = json.find(old, at + 1)) {
    json.replace(at, old.size(), other);
  }
}

// The watermark is written by a commit of its own, later: here, by the table's next one.
class WatermarkApart final : public Plant {
 public:
  void before_io(table::IoRequest& io) override {
    auto* put = std::get_if<table::PutObjects>(&io);
    if (put == nullptr) return;
    for (auto& object : put->objects) {
      if (!object.key.ends_with(".metadata.json")) continue;
      std::string json = *object.bytes;
      const std::vector<std::uint64_t> positions = positions_in(json);
      if (positions.empty()) continue;
      const std::string table = object.key.substr(0, object.key.find("/metadata/"));
      const std::uint64_t before = std::exchange(newest_[table], positions.back());
      if (before == 0 || before == positions.back()) continue;
      replace_position(json, positions.back(), before);
      object.bytes = std::make_shared<const std::string>(std::move(json));
    }
  }

 private:
  std::map<std::string, std::uint64_t> newest_;  // by table
};

// A swap whose answer was lost is taken for one that failed, and nobody looks: what the table says
// of our watermark afterwards is not read.
class RetriesBlindly final : public Plant {
 public:
  void after_io(const table::IoRequest& io, table::IoResponse& response,
                store::ObjectStore& store) override {
    if (const auto* swap = std::get_if<table::SwapTable>(&io)) {
      if (response || response.error().kind != ErrorKind::kOutcomeUnknown) return;
      response = fail(ErrorKind::kRetry, response.error().text);
      if (const auto key = store.key_of(swap->metadata_location)) unread_.insert(*key);
    }
    const auto* get = std::get_if<table::GetObject>(&io);
    if (get != nullptr && response && unread_.contains(get->key)) {
      hide_newest_watermark(response->bytes);
    }
  }

 private:
  // The properties and the newest snapshot get the position of the snapshot before.
  static void hide_newest_watermark(std::string& json) {
    const std::vector<std::uint64_t> positions = positions_in(json);
    std::uint64_t before = 0;
    for (const std::uint64_t p : positions) {
      if (p != positions.back()) before = std::max(before, p);
    }
    if (before != 0) replace_position(json, positions.back(), before);
  }
  std::set<std::string> unread_;
};

// Its data files are removed, since the commit "failed".
class DeletesAfterUnknown final : public Plant {
 public:
  void after_io(const table::IoRequest& io, table::IoResponse& response,
                store::ObjectStore& store) override {
    if (const auto* put = std::get_if<table::PutObjects>(&io); put != nullptr) {
      for (const auto& object : put->objects) {
        if (!object.key.ends_with(".parquet")) continue;
        newest_[object.key.substr(0, object.key.find("/data/"))] = object.key;
      }
    }
    const auto* swap = std::get_if<table::SwapTable>(&io);
    if (swap == nullptr || response || response.error().kind != ErrorKind::kOutcomeUnknown) return;
    const auto key = store.key_of(swap->metadata_location);
    if (key) (void)store.remove(newest_[key->substr(0, key->find("/metadata/"))]);
  }

 private:
  std::map<std::string, std::string> newest_;  // data file, by table
};

// A put that failed is taken for done.
class PutTakenForDone final : public Plant {
 public:
  void after_io(const table::IoRequest& io, table::IoResponse& response,
                store::ObjectStore&) override {
    const auto* put = std::get_if<table::PutObjects>(&io);
    if (put == nullptr || response || !put->objects.front().key.ends_with(".parquet")) return;
    response = table::IoValue();
  }
};

// One flush at a time, and whoever waits for the store keeps its turn: a table whose calls do not
// come through holds up all others.
class OneSlowTable final : public Plant {
 public:
  bool may_go_on(const lake::FlushMachine& machine) override {
    if (!machine.table().starts_with("notes")) return notes_flushes_ < 2;
    ++notes_flushes_;
    return notes_flushes_ < 3;  // the second never gets its lock back
  }

 private:
  std::uint64_t notes_flushes_ = 0;
};

// --- answers

// `Misread` changes the answer to a put into what somebody took it for.
template <void (*Misread)(store::S3Answer&)>
class PutMisread final : public Plant {
 public:
  std::unique_ptr<store::S3Transport> s3(std::unique_ptr<store::S3Transport> real) override {
    return std::make_unique<Reader>(std::move(real));
  }

 private:
  struct Reader final : store::S3Transport {
    explicit Reader(std::unique_ptr<store::S3Transport> real) : real_(std::move(real)) {}
    std::string endpoint() const override { return real_->endpoint(); }
    Result<store::S3Answer> exchange(const store::S3Request& request) override {
      auto answer = real_->exchange(request);
      if (request.method == "PUT" && answer) Misread(*answer);
      return answer;
    }
    std::unique_ptr<store::S3Transport> real_;
  };
};

// It was once a limit that was reached, as an object is that exists already.
void long_answer_is_stored(store::S3Answer& answer) {
  if (answer.cut) answer = {.status = 200, .etag = "\"any\""};
}

// The status is looked at, the error document below it is not.
void error_in_ok_is_stored(store::S3Answer& answer) {
  if (answer.status != 200) return;
  answer.body.clear();
  answer.etag = "\"any\"";
}

// --- the catalog

template <class Wrap>
class CatalogPlant final : public Plant {
 public:
  table::Catalog& catalog(table::Catalog& real) override { return catalogs_.make(real); }

 private:
  Kept<Wrap> catalogs_;
};

// A parent that was replaced may go on committing: each swap comes as from the newest writer.
class NotFenced final : public Plant {
 public:
  table::Catalog& catalog(table::Catalog& real) override { return catalogs_.make(real, newest_); }

 private:
  struct Wrap final : CatalogWrap {
    Wrap(table::Catalog& real, table::WriterEpoch& newest) : CatalogWrap(real), newest_(newest) {}
    Result<table::WriterEpoch> claim(table::WriterEpoch at_least) override {
      newest_ = EVODB_TRY(real_.claim(at_least));
      return newest_;
    }
    Result<table::WriterEpoch> claim_above(table::WriterEpoch held,
                                           table::WriterEpoch at_least) override {
      newest_ = EVODB_TRY(real_.claim_above(held, at_least));
      return newest_;
    }
    Result<void> swap(table::WriterEpoch, const std::string& table,
                      const std::optional<std::string>& expected,
                      const std::string& metadata_location) override {
      return real_.swap(newest_, table, expected, metadata_location);
    }
    table::WriterEpoch& newest_;
  };
  table::WriterEpoch newest_;  // of all lives
  Kept<Wrap> catalogs_;
};

// A swap does not compare: what another one committed meanwhile is lost.
struct SwapsWithoutComparing final : CatalogWrap {
  using CatalogWrap::CatalogWrap;
  Result<void> swap(table::WriterEpoch writer, const std::string& table,
                    const std::optional<std::string>& expected,
                    const std::string& metadata_location) override {
    if (!expected) return real_.swap(writer, table, expected, metadata_location);
    const auto now = EVODB_TRY(real_.load(table));
    return real_.swap(writer, table, now, metadata_location);
  }
  // Stale, as from a cache.
  Result<std::optional<std::string>> load(const std::string& table) override {
    auto location = EVODB_TRY(real_.load(table));
    auto& last = cache_[table];
    std::swap(last, location);
    return location ? location : last;
  }
  std::map<std::string, std::optional<std::string>> cache_;
};

constexpr char never[] = "18446744073709551615";  // no writer epoch is beyond it

// A lost journal is not noticed: the catalog remembers whatever journal there is.
class JournalLossUnnoticed final : public Plant {
 public:
  std::unique_ptr<journal::Journal> journal(std::unique_ptr<journal::Journal> real) override {
    id_ = std::to_string(real->id().value);
    return real;
  }
  table::Catalog& catalog(table::Catalog& real) override { return catalogs_.make(real, *this); }

 private:
  struct Wrap final : CatalogWrap {
    Wrap(table::Catalog& real, JournalLossUnnoticed& plant) : CatalogWrap(real), plant_(plant) {}
    Result<std::optional<std::string>> property(const std::string& key) override {
      auto value = EVODB_TRY(real_.property(key));
      if (key == "evodb.journal-id" && value) value = plant_.id_;
      return key == "evodb.journal-since" ? never : value;
    }
    JournalLossUnnoticed& plant_;
  };
  std::string id_;
  Kept<Wrap> catalogs_;
};

// A data directory that comes back behind a newer journal goes on as if there had been none.
struct BelievesOldJournal final : CatalogWrap {
  using CatalogWrap::CatalogWrap;
  Result<std::optional<std::string>> property(const std::string& key) override {
    auto value = EVODB_TRY(real_.property(key));
    return key == "evodb.journal-since" ? never : value;
  }
};

}  // namespace

std::vector<PlantInfo> store_plants() {
  return {
      {"watermark-outside-the-commit", "it is written by the next commit", "kills",
       make_one<WatermarkApart>},
      {"retry-without-look-up", "a swap without an answer counts as failed", "catalog",
       make_one<RetriesBlindly>},
      {"files-deleted-after-unknown", "and its data file is removed", "catalog",
       make_one<DeletesAfterUnknown>},
      {"failed-put-taken-for-done", "a commit names a file that is not there", "store",
       make_one<PutTakenForDone>},
      {"long-answer-counts-as-stored", "an answer larger than we take is one: exists already",
       "odd-answers", make_one<PutMisread<long_answer_is_stored>>},
      {"error-in-200-counts-as-stored", "what stands below the status is not read", "odd-answers",
       make_one<PutMisread<error_in_ok_is_stored>>},
      {"slow-table-blocks-all", "a flush that waits keeps all others waiting", "swarm",
       make_one<OneSlowTable>},
      {"zombie-not-fenced", "a replaced parent goes on committing", "zombies", make_one<NotFenced>},
      {"swap-without-compare", "a commit overwrites another", "zombies",
       make_one<CatalogPlant<SwapsWithoutComparing>>},
      {"journal-loss-unnoticed", "a new journal counts as the old one", "disaster",
       make_one<JournalLossUnnoticed>},
      {"old-journal-believed", "a data directory comes back behind a newer journal", "operator",
       make_one<CatalogPlant<BelievesOldJournal>>},
  };
}

}  // namespace evodb::sim
