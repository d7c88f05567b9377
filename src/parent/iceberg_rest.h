// IcebergRest: the parent's tables by the Iceberg REST catalog protocol, read-only, on its one port
// under /iceberg/v1 (docs/http.md).
//
//   auto rest = std::make_shared<IcebergRest>(IcebergRest::Seams{loop, store}, options);
//   if (is_iceberg_path(request.path)) rest->answer(request, std::move(respond));
//
// What asks the catalog or the store is done by a store thread, one request after the other, so
// that readers never take the threads that landing needs. Bounds: requests_max that wait or whose
// answers are still leaving, the others are told to come back; metadata_bytes_max for one answer;
// nothing more is read while answers of over answers_bytes_max are leaving.
//
// Threads: the loop's only. Owner: the parent; work on a store thread holds it alive.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/loop.h"
#include "gate/gate.h"
#include "parent/iceberg_request.h"
#include "parent/store_runner.h"

namespace evodb::parent {

struct IcebergRestOptions {
  bool enabled = true;
  std::string name_space = "evodb";  // the one that the catalog has
  // What readers take where their own settings say nothing, such as s3.endpoint. No secrets.
  std::map<std::string, std::string> defaults;
  std::uint32_t requests_max = 64;
  std::uint64_t metadata_bytes_max = 32u << 20;
  std::uint64_t answers_bytes_max = 64u << 20;
  std::int64_t wait_ms_max = 30'000;  // then it is told that the store does not answer
};

class IcebergRest : public std::enable_shared_from_this<IcebergRest> {
 public:
  struct Seams {
    base::Loop& loop;
    StoreRunner& store;
  };
  using Respond = std::function<void(gate::HttpResponse)>;

  IcebergRest(const Seams& seams, IcebergRestOptions options)
      : seams_(seams), options_(std::move(options)) {}

  // REQUIRES: is_iceberg_path(request.path). `respond` is called once, now or later.
  void answer(const gate::HttpRequest& request, Respond respond);
  // Answers all that wait: not now, and why.
  void give_up(const std::string& why);

  std::uint32_t held_requests() const { return held_requests_; }
  std::uint64_t held_bytes() const { return held_bytes_; }

 private:
  using Number = std::uint64_t;  // of a request; rises
  class Held;                    // counts a request, and its answer's bytes, while it lives

  struct Waiting {
    IcebergRequest request;
    Respond respond;
    base::TimerId timer;
    std::shared_ptr<Held> held;
  };

  void wait(IcebergRequest request, Respond respond);
  void read_next();
  void give(Number number, gate::HttpResponse response);
  void let_go(std::uint64_t bytes);

  const Seams seams_;
  const IcebergRestOptions options_;
  std::map<Number, Waiting> waiting_;  // not answered yet; read in their order
  Number last_ = 0;                    // that was given to a request
  Number last_read_ = 0;               // behind it nothing has begun
  bool reading_ = false;
  std::uint32_t held_requests_ = 0;
  std::uint64_t held_bytes_ = 0;
};

// The pieces, for tests.
gate::HttpResponse iceberg_error(const IcebergRefusal& refusal);
// Blocking.
gate::HttpResponse iceberg_answer(const IcebergRequest& request, const IcebergRestOptions& options,
                                  store::ObjectStore& store, table::Catalog& catalog);

}  // namespace evodb::parent
