// What the parent answers over HTTP: /healthz, /readyz, /metrics, /status, /flush, / and, for
// clients of the first generation, /health. docs/http.md describes each.
#pragma once

#include <functional>
#include <string>

#include "gate/gate.h"
#include "parent/parent.h"

namespace evodb::parent {

struct HttpSources {
  std::function<void(std::function<void(const ParentStatus&)>)> status;
  std::function<void(std::function<void(bool)>)> flush;
};

// Answers now or later; `respond` is called once.
void answer_http(const gate::HttpRequest& request, std::function<void(gate::HttpResponse)> respond,
                 HttpSources sources);

// The pieces, for tests.
std::string status_json(const ParentStatus& status);
std::string metrics_text(const ParentStatus& status);  // Prometheus text format, version 0.0.4
std::string live_page();                               // HTML that reads /status

}  // namespace evodb::parent
