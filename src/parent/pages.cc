#include "parent/pages.h"

#include <cstdio>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/bytes.h"

namespace evodb::parent {

namespace {

using Json = nlohmann::ordered_json;

gate::HttpResponse json_response(int status, const Json& json) {
  return {.status = status,
          .content_type = "application/json",
          // `replace`: a tenant's table name may be any bytes.
          .body = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"};
}

gate::HttpResponse method_not_allowed(std::string_view allowed) {
  return {.status = 405, .body = "use " + std::string(allowed) + " here\n"};
}

std::string text_of(const std::optional<Error>& error) { return error ? error->text : ""; }

Json to_json(const ParentStatus& s) {
  Json reasons = Json::array();
  for (const Error& reason : s.degraded) {
    reasons.push_back({{"kind", error_kind_name(reason.kind)}, {"text", reason.text}});
  }
  Json tables = Json::object();
  for (const auto& t : s.lake.tables) {
    tables[t.name] = {
        {"watermark", t.watermark.value},
        {"lag_entries", t.buffered_entries},
        {"lag_bytes", t.buffered_bytes},
        {"lag_age_ms", t.oldest_entry_age_ms},
        {"flushing", t.flushing},
        {"entries_landed", t.entries_landed},
        {"entries_skipped", t.entries_skipped},
        {"unfit_values", t.unfit_values},
        {"commits", t.commits},
        {"files", t.files},
        {"last_commit_at_ms", t.last_commit_at.value},
        {"last_error", text_of(t.last_error)},
        {"waits", text_of(t.waits)},
        {"note", t.note},
    };
  }
  Json copies = Json::array();
  for (const auto& c : s.copies) {
    copies.push_back({{"source", c.source},
                      {"original", c.original},
                      {"since_ms", c.since_ms},
                      {"copies", c.copies}});
  }
  const auto& g = s.gate;
  const auto& i = s.ingest;
  return {
      {"version", s.version},
      {"phase", s.phase},
      {"ready", s.phase == "ready"},
      // The first of degraded_reasons, under the name that it had before there was a list.
      {"trouble", s.degraded.empty() ? "" : s.degraded.front().text},
      {"degraded_reasons", reasons},
      {"sick", s.sick},
      {"uptime_ms", s.uptime_ms},
      {"address", s.address},
      {"parent_id", s.parent_id},
      {"writer_epoch", s.writer_epoch},
      {"buffers",
       {{"entries", s.lake.buffers.entries},
        {"bytes", s.lake.buffers.bytes},
        {"oldest_entry_age_ms", s.lake.buffers.oldest_entry_age_ms},
        {"child_connections", g.children}}},
      {"connections",
       {{"open", g.connections},
        {"websockets", g.websockets},
        {"children", g.children},
        {"active", g.connections - g.hibernated},
        {"hibernated", g.hibernated},
        {"accepted_total", g.accepted},
        {"held_bytes", g.held_bytes}}},
      {"sources", {{"known", i.sources}, {"sessions", i.sessions}}},
      {"ingest",
       {{"batches", i.batches},
        {"entries", i.entries},
        {"bytes", i.bytes},
        {"duplicate_entries", i.duplicate_entries},
        {"gaps", i.gaps},
        {"chain_mismatches", i.chain_mismatches},
        {"new_epochs", i.new_epochs},
        {"copies_found", i.copies_found},
        {"copies_told", i.copies_told},
        {"over_credit", i.over_credit},
        {"over_gap_limit", i.over_gap_limit},
        {"unordered_sources_with_gaps", i.unordered_sources_with_gaps},
        {"unordered_gap_bytes", i.unordered_gap_bytes},
        {"v1_rejected_entries", g.v1_rejected_entries},
        {"malformed", i.malformed},
        {"inflight_bytes", i.inflight_bytes}}},
      {"journal",
       {{"id", base::hex16(s.journal_id)},
        {"first", s.journal_first.value},
        {"durable", s.journal_durable.value},
        {"landed", s.journal_landed.value},
        {"lag_bytes",
         s.journal_durable.value - std::min(s.journal_landed.value, s.journal_durable.value)},
        {"held_bytes", s.journal_bytes},
        {"max_bytes", s.journal_bytes_max},
        {"commits", s.journal_commits}}},
      {"landing",
       {{"entries_landed", s.lake.entries_landed},
        {"entries_skipped", s.lake.entries_skipped},
        {"entries_rejected", s.lake.entries_rejected},
        {"flushes", s.lake.flushes},
        {"flush_failures", s.lake.flush_failures},
        {"store_error", text_of(s.store_error)},
        {"store_probe", s.probed        ? "passed"
                        : s.probe_error ? s.probe_error->text
                                        : "under way"},
        {"set_aside_bytes", s.set_aside_bytes},
        {"orphans_removed", s.orphans_removed}}},
      {"tables", tables},
      {"copies", copies},
  };
}

class Metrics {
 public:
  void counter(const char* name, const char* help, std::uint64_t value) {
    add(name, help, "counter", value);
  }
  void gauge(const char* name, const char* help, double value) { add(name, help, "gauge", value); }
  // One counter with a label, several values.
  void labelled(const char* name, const char* help, const char* label,
                std::initializer_list<std::pair<const char*, std::uint64_t>> values) {
    head(name, help, "counter");
    for (const auto& [key, value] : values) {
      text_ +=
          std::string(name) + "{" + label + "=\"" + key + "\"} " + std::to_string(value) + "\n";
    }
  }
  std::string take() { return std::move(text_); }

 private:
  void head(const char* name, const char* help, const char* type) {
    text_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  void add(const char* name, const char* help, const char* type, double value) {
    head(name, help, type);
    char number[40];
    std::snprintf(number, sizeof number, "%.17g", value);
    text_ += std::string(name) + " " + number + "\n";
  }
  std::string text_;
};

}  // namespace

std::string status_json(const ParentStatus& status) {
  return json_response(200, to_json(status)).body;
}

std::string metrics_text(const ParentStatus& s) {
  const auto& g = s.gate;
  const auto& i = s.ingest;
  Metrics m;
  m.gauge("evodb_ready", "1 if changes are taken and landing works.", s.phase == "ready");
  m.gauge("evodb_uptime_seconds", "Time since the start.", s.uptime_ms / 1000.0);
  m.gauge("evodb_connections", "Open connections.", g.connections);
  m.gauge("evodb_connections_max",
          "Open connections at most: gate.connections_max, or what open files allow.",
          g.connections_max);
  m.gauge("evodb_connections_active", "Connections that are not hibernated.",
          g.connections - g.hibernated);
  m.gauge("evodb_connections_hibernated",
          "Children that hold nothing but their record: gate.hibernate_after_ms.", g.hibernated);
  m.counter("evodb_connections_woken_total", "Times that a hibernated child said something.",
            g.woken);
  m.gauge("evodb_children", "Connections that have said hello.", g.children);
  m.counter("evodb_connections_accepted_total", "Connections accepted.", g.accepted);
  m.gauge("evodb_gate_held_bytes", "Partial messages and waiting output.", g.held_bytes);
  m.counter("evodb_frames_received_total", "WebSocket messages received.", g.frames_in);
  m.counter("evodb_received_bytes_total", "Bytes received.", g.bytes_in);
  m.counter("evodb_sent_bytes_total", "Bytes sent.", g.bytes_out);
  m.counter("evodb_v1_messages_total", "Messages of wire v1 clients.", g.v1_messages);
  m.counter("evodb_v1_crc_mismatches_total", "Wire v1 batches whose CRC did not match (accepted).",
            g.v1_crc_mismatches);
  m.counter("evodb_v1_rejected_entries_total",
            "Entries of wire v1 batches that are no rows: they are in the rejects table.",
            g.v1_rejected_entries);
  m.labelled("evodb_refused_total", "Connections and requests refused, by reason.", "reason",
             {{"connections_max", g.refused_connections_max},
              {"header_size", g.refused_header_size},
              {"header_time", g.refused_header_time},
              {"malformed_http", g.refused_malformed_http},
              {"websocket", g.refused_websocket},
              {"frame", g.refused_frame},
              {"size", g.refused_size},
              {"slow_reader", g.refused_slow_reader},
              {"memory", g.refused_memory},
              {"hello_time", g.refused_hello_time},
              {"message_time", g.refused_message_time}});
  m.gauge("evodb_sources", "Sources (and epochs) with a mark.", i.sources);
  m.counter("evodb_batches_total", "Batches taken into the journal.", i.batches);
  m.counter("evodb_entries_total", "Changes taken into the journal.", i.entries);
  m.counter("evodb_entry_bytes_total", "Bytes of batches taken into the journal.", i.bytes);
  m.counter("evodb_duplicate_entries_total", "Changes that were here already.",
            i.duplicate_entries);
  m.labelled("evodb_nacks_total", "Batches and hellos not taken, by reason.", "reason",
             {{"gap", i.gaps},
              {"chain_mismatch", i.chain_mismatches},
              {"over_credit", i.over_credit},
              {"over_gap_limit", i.over_gap_limit},
              {"malformed", i.malformed}});
  m.gauge("evodb_unordered_sources_with_gaps", "Unordered sources whose LSNs have gaps.",
          i.unordered_sources_with_gaps);
  m.gauge("evodb_unordered_gap_bytes", "Memory for these gaps: dedup.max_sources bounds it.",
          i.unordered_gap_bytes);
  m.counter("evodb_new_epochs_total", "Times a child was asked to begin a new epoch.",
            i.new_epochs);
  m.counter("evodb_copies_found_total",
            "Times that two databases were found to stream as one source.", i.copies_found);
  m.counter("evodb_copies_told_total", "Hellos of copies that were told to take another name.",
            i.copies_told);
  m.gauge("evodb_sources_with_copies", "Sources of which a copy streamed.", i.sources_with_copies);
  m.gauge("evodb_ingest_inflight_bytes", "Taken and not yet durable.", i.inflight_bytes);
  m.counter("evodb_journal_commits_total", "Group commits (each is one sync).", s.journal_commits);
  m.gauge("evodb_journal_bytes", "Held by the journal.", s.journal_bytes);
  m.gauge("evodb_journal_max_bytes", "fallback.max_local_bytes.", s.journal_bytes_max);
  m.gauge("evodb_journal_lag_bytes", "Durable and not yet landed.",
          static_cast<double>(s.journal_durable.value) -
              static_cast<double>(std::min(s.journal_landed.value, s.journal_durable.value)));
  m.gauge("evodb_buffer_entries", "Changes in column buffers.", s.lake.buffers.entries);
  m.gauge("evodb_buffer_bytes", "Bytes of column buffers.", s.lake.buffers.bytes);
  m.gauge("evodb_buffer_oldest_seconds", "Age of the oldest buffered change.",
          s.lake.buffers.oldest_entry_age_ms / 1000.0);
  m.counter("evodb_entries_landed_total", "Changes in committed snapshots.", s.lake.entries_landed);
  m.counter("evodb_entries_rejected_total", "Changes put into the rejects table.",
            s.lake.entries_rejected);
  m.counter("evodb_flushes_total", "Flushes committed.", s.lake.flushes);
  m.counter("evodb_flush_failures_total", "Flushes that failed for good.", s.lake.flush_failures);
  m.gauge("evodb_store_away", "1 while a flush waits for the store.", s.store_error.has_value());
  m.gauge("evodb_tables", "Tables.", s.lake.tables.size());
  m.gauge("evodb_tables_sick", "Tables that wait, or whose files are gone; see /status.",
          static_cast<double>(s.sick.size()));
  m.gauge("evodb_set_aside_bytes", "Changes of tables that wait, on disk.",
          static_cast<double>(s.set_aside_bytes));
  m.counter("evodb_orphans_removed_total", "Files of crashed flushes removed at start.",
            s.orphans_removed);
  return m.take();
}

void answer_http(const gate::HttpRequest& request, std::function<void(gate::HttpResponse)> respond,
                 HttpSources sources) {
  const bool reading = request.method == "GET" || request.method == "HEAD";
  const std::string_view path = request.path;
  if (path == "/healthz" || path == "/health") {
    if (!reading) return respond(method_not_allowed("GET"));
    return respond({.body = path == "/health" ? "OK" : "ok\n"});
  }
  if (path == "/flush") {
    if (request.method != "POST") return respond(method_not_allowed("POST"));
    return sources.flush([respond](bool landed) {
      respond(landed ? json_response(200, {{"flushed", true}})
                     : json_response(503, {{"flushed", false},
                                           {"error",
                                            "not everything has landed yet: the journal "
                                            "keeps it; see /status"}}));
    });
  }
  if (path == "/") {
    if (!reading) return respond(method_not_allowed("GET"));
    return respond({.content_type = "text/html; charset=utf-8", .body = live_page()});
  }
  if (path != "/readyz" && path != "/status" && path != "/metrics") {
    return respond({.status = 404,
                    .body = "nothing here: see /status, /metrics, /healthz, /readyz, /flush, "
                            "/iceberg/v1/config; children connect by WebSocket\n"});
  }
  if (!reading) return respond(method_not_allowed("GET"));
  sources.status([respond, path = std::string(path)](const ParentStatus& status) {
    if (path == "/status") {
      respond(json_response(200, to_json(status)));
    } else if (path == "/metrics") {
      respond({.content_type = "text/plain; version=0.0.4; charset=utf-8",
               .body = metrics_text(status)});
    } else if (status.phase == "ready") {
      // One sick table is one sick table: the rest is served.
      std::string body = "ready\n";
      for (const std::string& line : status.sick) body += line + "\n";
      respond({.body = std::move(body)});
    } else {
      std::string body;
      for (const Error& reason : status.degraded) body += status.phase + ": " + reason.text + "\n";
      respond({.status = 503, .body = body.empty() ? status.phase + "\n" : std::move(body)});
    }
  });
}

}  // namespace evodb::parent
