#include "parent/iceberg_rest.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sim/seams/fake_loop.h"
#include "sim/seams/fake_network.h"
#include "sim/seams/fake_store.h"

namespace evodb::parent {
namespace {

using IcebergJson = nlohmann::json;

// Store work that runs when the test says so.
class HeldRunner final : public StoreRunner {
 public:
  explicit HeldRunner(sim::FakeStore& store) : store_(store) {}
  void flush(std::shared_ptr<lake::FlushMachine>, std::function<void()>) override {}
  void run(std::function<void(store::ObjectStore&, table::Catalog&)> work) override {
    works.push_back(std::move(work));
    if (!held) run_held();
  }
  void run_held() {
    for (const auto& work : std::exchange(works, {})) work(store_, *catalog);
  }
  const store::ObjectStore& naming() const override { return store_; }

  bool held = false;
  std::vector<std::function<void(store::ObjectStore&, table::Catalog&)>> works;
  std::unique_ptr<table::Catalog> catalog =
      table::open_sqlite_catalog(":memory:", "evodb", "evodb").value();

 private:
  sim::FakeStore& store_;
};

class IcebergRestTest : public testing::Test {
 protected:
  struct Answer {
    std::optional<gate::HttpResponse> response;
    int status() const { return response ? response->status : 0; }
    IcebergJson json() const {
      return response ? IcebergJson::parse(response->body, nullptr, false) : IcebergJson();
    }
    std::string type() const { return json()["error"]["type"]; }
    std::string message() const { return json()["error"]["message"]; }
  };

  void start(IcebergRestOptions options = {}) {
    rest_ = std::make_shared<IcebergRest>(IcebergRest::Seams{loop_, runner_}, std::move(options));
  }
  std::shared_ptr<Answer> ask(const std::string& path, const std::string& query = "",
                              const std::string& method = "GET") {
    if (!rest_) start();
    auto answer = std::make_shared<Answer>();
    const std::string whole = "/iceberg/v1" + path;
    rest_->answer({method, whole, query, {}}, [answer](gate::HttpResponse response) {
      EXPECT_FALSE(answer->response) << "answered twice";
      answer->response = std::move(response);
    });
    network_.run_for(10);
    return answer;
  }
  // One that nobody holds any longer.
  IcebergJson get(const std::string& path, const std::string& query = "") {
    const auto answer = ask(path, query);
    EXPECT_EQ(answer->status(), 200) << answer->response->body;
    return answer->json();
  }
  std::string add_table(const std::string& name, const std::string& metadata = R"({"a": 1})") {
    const std::string key = "evodb/" + name + "/metadata/v1.json";
    store_.set_object(key, metadata);
    EXPECT_TRUE(runner_.catalog->swap(writer_, name, std::nullopt, store_.location(key)));
    return store_.location(key);
  }

  sim::FakeNetwork network_{1};
  sim::FakeLoop loop_{network_, "parent"};
  sim::FakeStore store_{loop_.clock()};
  HeldRunner runner_{store_};
  table::WriterEpoch writer_ = runner_.catalog->claim().value();
  std::shared_ptr<IcebergRest> rest_;
};

const std::string tables = "/namespaces/evodb/tables";

TEST_F(IcebergRestTest, TheConfigurationNamesWhatIsServed) {
  start({.defaults = {{"s3.endpoint", "http://127.0.0.1:7070"}}});
  const IcebergJson config = get("/config", "warehouse=any");
  EXPECT_EQ(config["defaults"], (IcebergJson{{"s3.endpoint", "http://127.0.0.1:7070"}}));
  EXPECT_EQ(config["overrides"]["rest-metrics-reporting-enabled"], "false");
  EXPECT_EQ(config["endpoints"].size(), 6u);
  for (const std::string endpoint : config["endpoints"]) {
    EXPECT_TRUE(endpoint.starts_with("GET ") || endpoint.starts_with("HEAD ")) << endpoint;
  }
}

TEST_F(IcebergRestTest, TheOneNamespace) {
  EXPECT_EQ(get("/namespaces")["namespaces"], IcebergJson::parse(R"([["evodb"]])"));
  EXPECT_EQ(get("/namespaces", "parent=evodb")["namespaces"], IcebergJson::array());
  EXPECT_EQ(get("/namespaces/evodb"),
            IcebergJson::parse(R"({"namespace": ["evodb"], "properties": {}})"));
  EXPECT_EQ(ask("/namespaces/evodb", "", "HEAD")->status(), 204);
  for (const char* path : {"/namespaces/other", "/namespaces/evodb%1Fsub", "/namespaces/EVODB",
                           "/namespaces/other/tables", "/namespaces/other/tables/t"}) {
    const auto answer = ask(path);
    EXPECT_EQ(answer->status(), 404) << path;
    EXPECT_EQ(answer->type(), "NoSuchNamespaceException");
    EXPECT_EQ(answer->json()["error"]["code"], 404);
    EXPECT_EQ(answer->response->content_type, "application/json");
  }
  EXPECT_EQ(ask("/namespaces", "parent=other")->type(), "NoSuchNamespaceException");
  EXPECT_TRUE(ask("/namespaces/evodb%1Fsub")->message().find("evodb.sub") != std::string::npos);
}

TEST_F(IcebergRestTest, TablesAreListedInPages) {
  EXPECT_EQ(get(tables), IcebergJson::parse(R"({"identifiers": [], "next-page-token": null})"));
  const std::vector<std::string> names = {"a", "b/c", "d d", "e\u00e9", "f%"};
  for (const std::string& name : names) add_table(name);
  const auto listed = [](const IcebergJson& answer) {
    std::vector<std::string> found;
    for (const IcebergJson& one : answer["identifiers"]) {
      EXPECT_EQ(one["namespace"], IcebergJson::array({"evodb"}));
      found.push_back(one["name"]);
    }
    return found;
  };
  EXPECT_EQ(listed(get(tables)), names);
  EXPECT_EQ(listed(get(tables, "pageToken=")), names);
  for (const std::size_t size : {1u, 2u, 4u, 5u, 9u}) {
    std::vector<std::string> found;
    std::string query = "pageSize=" + std::to_string(size);
    for (int pages = 0; pages < 9; ++pages) {
      const IcebergJson page = get(tables, query);
      const auto some = listed(page);
      EXPECT_LE(some.size(), size);
      found.insert(found.end(), some.begin(), some.end());
      if (page["next-page-token"].is_null()) break;
      query = "pageSize=" + std::to_string(size) +
              "&pageToken=" + page["next-page-token"].get<std::string>();
    }
    EXPECT_EQ(found, names) << size;
  }
  // Behind a name that is gone by now.
  EXPECT_EQ(listed(get(tables, "pageToken=" + page_token_of("c"))),
            (std::vector<std::string>{"d d", "e\u00e9", "f%"}));
  EXPECT_EQ(ask(tables, "pageSize=0")->type(), "BadRequestException");
}

TEST_F(IcebergRestTest, ATableIsItsCurrentMetadataFile) {
  const std::string location = add_table("odd /%+\u00e9", R"({"current-snapshot-id": 2,
      "snapshots": [{"snapshot-id": 1}, {"snapshot-id": 2}]})");
  const std::string path = tables + "/odd%20%2F%25%2B%C3%A9";
  const IcebergJson table = get(path);
  EXPECT_EQ(table["metadata-location"], location);
  EXPECT_EQ(table["metadata"]["snapshots"].size(), 2u);
  EXPECT_EQ(table["config"], IcebergJson::object());
  EXPECT_EQ(get(path, "snapshots=refs")["metadata"]["snapshots"].size(), 1u);
  EXPECT_EQ(get(path, "snapshots=all")["metadata"]["snapshots"].size(), 2u);
  EXPECT_EQ(ask(path, "", "HEAD")->status(), 204);
  for (const char* method : {"GET", "HEAD"}) {
    const auto none = ask(tables + "/no%2Fsuch", "", method);
    EXPECT_EQ(none->status(), 404);
    EXPECT_EQ(none->type(), "NoSuchTableException");
    EXPECT_TRUE(none->message().find("evodb.no/such") != std::string::npos);
  }
}

TEST_F(IcebergRestTest, WhatCannotBeReadSaysWhoseFaultItIs) {
  add_table("damaged", "not JSON");
  const auto damaged = ask(tables + "/damaged");
  EXPECT_EQ(damaged->status(), 500);
  EXPECT_EQ(damaged->type(), "InternalServerError");
  add_table("t");
  store_.fail_if([](const sim::FakeStore::Call& call) {
    const bool hit = call.kind == sim::FakeStore::Kind::kGet;
    return hit ? std::optional(sim::FakeStore::Fault::kRetry) : std::nullopt;
  });
  const auto away = ask(tables + "/t");
  EXPECT_EQ(away->status(), 503) << away->response->body;
  EXPECT_EQ(away->response->headers, "Retry-After: 1\r\n");
  EXPECT_EQ(ask(tables + "/t", "", "HEAD")->status(), 204);  // the catalog knows
}

TEST_F(IcebergRestTest, MoreThanSoManyAreToldToComeBack) {
  start({.requests_max = 3});
  add_table("t");
  runner_.held = true;
  std::vector<std::shared_ptr<Answer>> waiting;
  for (int i = 0; i < 3; ++i) waiting.push_back(ask(tables + "/t"));
  EXPECT_EQ(runner_.works.size(), 1u) << "one after the other";
  const auto refused = ask(tables + "/t");
  EXPECT_EQ(refused->status(), 503);
  EXPECT_EQ(refused->type(), "SlowDownException");
  EXPECT_EQ(refused->response->headers, "Retry-After: 1\r\n");
  EXPECT_EQ(ask("/namespaces/evodb")->status(), 200) << "what asks nobody is answered";
  runner_.held = false;
  runner_.run_held();
  network_.run_for(10);
  for (const auto& answer : waiting) EXPECT_EQ(answer->status(), 200);
  EXPECT_EQ(ask(tables + "/t")->status(), 503) << "their answers are still leaving";
  EXPECT_EQ(rest_->held_requests(), 3u);
  EXPECT_GT(rest_->held_bytes(), 0u);
  waiting.clear();
  EXPECT_EQ(rest_->held_requests(), 0u);
  EXPECT_EQ(rest_->held_bytes(), 0u);
  EXPECT_EQ(ask(tables + "/t")->status(), 200);
}

TEST_F(IcebergRestTest, NothingIsReadWhileTooManyBytesAreLeaving) {
  start({.metadata_bytes_max = 2'000, .answers_bytes_max = 1'500});
  add_table("t", "{\"a\": \"" + std::string(1'000, 'x') + "\"}");
  auto first = ask(tables + "/t"), second = ask(tables + "/t"), third = ask(tables + "/t");
  EXPECT_EQ(first->status(), 200);
  EXPECT_EQ(second->status(), 200);
  EXPECT_EQ(third->status(), 0);
  first.reset();
  network_.run_for(10);
  EXPECT_EQ(third->status(), 200);
  add_table("large", "{\"a\": \"" + std::string(3'000, 'x') + "\"}");
  second.reset();
  third.reset();
  const auto large = ask(tables + "/large");
  EXPECT_EQ(large->status(), 500);
  EXPECT_TRUE(large->message().find("more than 2000 bytes") != std::string::npos);
}

TEST_F(IcebergRestTest, AStoreThatDoesNotAnswerIsNotWaitedForForEver) {
  start({.wait_ms_max = 5'000});
  add_table("t");
  runner_.held = true;
  const auto first = ask(tables + "/t"), second = ask(tables + "/t");
  network_.run_for(4'000);
  EXPECT_EQ(first->status(), 0);
  network_.run_for(1'100);
  EXPECT_EQ(first->status(), 503);
  EXPECT_EQ(second->status(), 503);
  EXPECT_EQ(first->type(), "ServiceUnavailableException");
  const auto third = ask(tables + "/t");
  runner_.held = false;
  runner_.run_held();
  network_.run_for(10);
  EXPECT_EQ(third->status(), 200);
}

TEST_F(IcebergRestTest, WhatWaitsIsAnsweredWhenItIsGivenUp) {
  add_table("t");
  runner_.held = true;
  const auto first = ask(tables + "/t"), second = ask(tables + "/t");
  rest_->give_up("the parent is being upgraded");
  for (const auto& answer : {first, second}) {
    EXPECT_EQ(answer->status(), 503);
    EXPECT_TRUE(answer->message().find("being upgraded") != std::string::npos);
  }
  runner_.held = false;
  runner_.run_held();
  network_.run_for(10);
  EXPECT_EQ(ask(tables + "/t")->status(), 200);
}

TEST_F(IcebergRestTest, SwitchedOffItSaysSo) {
  start({.enabled = false});
  const auto answer = ask("/config");
  EXPECT_EQ(answer->status(), 404);
  EXPECT_TRUE(answer->message().find("http.iceberg") != std::string::npos);
}

TEST_F(IcebergRestTest, AnEndWhileAStoreThreadWorksLeavesNothingBehind) {
  add_table("t");
  runner_.held = true;
  const auto answer = ask(tables + "/t");
  const std::weak_ptr<IcebergRest> alive = rest_;
  rest_.reset();
  EXPECT_FALSE(alive.expired()) << "the store thread has it";
  runner_.run_held();
  runner_.works.clear();
  network_.run_for(10);
  EXPECT_TRUE(alive.expired());
}

}  // namespace
}  // namespace evodb::parent
