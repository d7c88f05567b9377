// `evodb edge`: follows one application's database and streams its changes to a parent.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "base/posix/system_clock.h"
#include "capture/install.h"
#include "capture/memory_file.h"
#include "capture/reinstall.h"
#include "capture/sqlite_outbox.h"
#include "commands/command.h"
#include "edge/edge_runner.h"

namespace evodb::app {

namespace {

using OrderedJson = nlohmann::ordered_json;

struct EdgeArguments {
  std::string db, parent, source;
  std::string wait = "persisted";
  std::string on_copy = "rename";
  bool until_caught_up = false;
  bool json = false;
  capture::PoliteOptions polite;
  std::uint64_t outbox_max_bytes = 0;
  std::string outbox_full = "pause";
};

// For the signal handler, which has no other way.
std::atomic<edge::EdgeRunner*> running = nullptr;
std::atomic<bool> stop_asked = false;

void stop_running(int) {
  stop_asked = true;
  if (edge::EdgeRunner* runner = running) runner->stop();
}

void stop_on_signals() {
  struct sigaction action = {};
  action.sa_handler = stop_running;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file over its limit is a full disk: EFBIG, not our end
}

void say(const std::string& what) { std::fprintf(stderr, "evodb edge: %s\n", what.c_str()); }

// A database that is captured already keeps what was chosen for it, also a pause.
Result<std::string> ensure_captured(const EdgeArguments& arguments) {
  std::string source;
  // Whole or not, the runner knows how it was: it repairs it.
  const auto memory = capture::load_memory(arguments.db);
  if (memory) {
    source = memory->source;
  } else {
    base::SystemClock clock;
    base::SystemRandom random;
    // What tools dropped of capture comes back by itself.
    const auto repaired = capture::repair(arguments.db, arguments.source, clock, random);
    if (!repaired && repaired.error().kind != ErrorKind::kNotFound) return fail(repaired.error());
    if (repaired && *repaired) {
      say("capture in " + arguments.db + " was not whole; repaired, every table is sent again");
    }
  }
  base::SystemClock clock_of_outbox;
  capture::SqliteOutboxOptions as_guest;
  as_guest.clock = &clock_of_outbox;
  as_guest.polite.emplace();
  as_guest.busy_timeout_ms = 30'000;  // for a moment between writes to a rollback journal
  if (auto outbox = capture::SqliteOutbox::open(arguments.db, as_guest)) {
    source = (*outbox)->memory().source;
    (*outbox)->abandon();  // only looked at
  } else if (outbox.error().kind != ErrorKind::kInvalid &&
             outbox.error().kind != ErrorKind::kNotFound) {
    return fail(outbox.error());
  } else if (!memory) {
    base::SystemClock clock;
    base::SystemRandom random;
    const auto done = EVODB_TRY(
        capture::install({.db = arguments.db, .source = arguments.source}, clock, random));
    say("installed capture of " + std::to_string(done.captured.size()) + " tables in " +
        arguments.db);
    return done.source;
  }
  if (!arguments.source.empty() && arguments.source != source) {
    return fail(ErrorKind::kInvalid, arguments.db + " is captured as source `" + source +
                                         "`, not `" + arguments.source +
                                         "`: leave --source out, or remove capture first");
  }
  return source;
}

// One line that stays, on a terminal; elsewhere a line for each change of fortune.
class Teller {
 public:
  explicit Teller(std::string parent) : parent_(std::move(parent)) {}

  void tell(const edge::EdgeProgress& now) {
    const edge::UplinkStats& link = now.uplink;
    const std::string error = link.last_error ? link.last_error->text : "";
    if (isatty(STDERR_FILENO)) {
      std::fprintf(stderr, "\r\033[Ksent %lu  durable %lu  persisted %lu of %lu  %s",
                   link.changes_sent, link.last_ack_lsn.value, link.last_persisted_lsn.value,
                   now.head.value, link.connected ? "" : error.c_str());
      drawn_ = true;
    } else if (link.connected && !connected_) {
      std::fprintf(stderr, "evodb edge: connected to %s\n", parent_.c_str());
    } else if (!link.connected && link.last_error && error != error_) {
      std::fprintf(stderr, "evodb edge: %s; changes are kept, trying again\n", error.c_str());
    }
    connected_ = link.connected;
    error_ = error;
  }
  ~Teller() {
    if (drawn_) std::fprintf(stderr, "\n");
  }

 private:
  std::string parent_, error_;
  bool connected_ = false, drawn_ = false;
};

OrderedJson to_json(const EdgeArguments& arguments, const std::string& source,
                    const edge::EdgeReport& report_of) {
  const edge::EdgeProgress& p = report_of.progress;
  const edge::UplinkStats& link = p.uplink;
  return {{"db", arguments.db},
          {"source", source},
          {"caught_up", report_of.caught_up},
          {"head_lsn", p.head.value},
          {"durable_lsn", link.last_ack_lsn.value},
          {"persisted_lsn", link.last_persisted_lsn.value},
          {"trimmed_lsn", link.trimmed.value},
          {"changes_sent", link.changes_sent},
          {"batches_sent", link.messages_sent},
          {"bytes_sent", link.bytes_sent},
          {"reconnects", link.reconnects},
          {"new_epochs", link.new_epochs},
          {"writes", p.polite.steps},
          {"anyway_writes", p.polite.anyway_steps},
          {"last_error", link.last_error ? link.last_error->text : ""}};
}

capture::PoliteOptions polite_options(const EdgeArguments& arguments) {
  constexpr std::int64_t long_idle_times = 60;
  capture::PoliteOptions polite = arguments.polite;
  polite.long_idle_ms = long_idle_times * polite.idle_ms;
  return polite;
}

int run_edge(const EdgeArguments& arguments) {
  stop_on_signals();
  const auto url = edge::parse_parent_url(arguments.parent);
  if (!url) return report(url.error());
  const auto source = ensure_captured(arguments);
  if (!source) return report(source.error());

  Result<edge::EdgeReport> done = edge::EdgeReport{};
  {
    Teller teller(arguments.parent);
    edge::EdgeOptions options;
    options.db = arguments.db;
    options.uplink.link.parent = *url;
    options.uplink.wait = arguments.wait == "durable" ? WaitLevel::kDurable : WaitLevel::kPersisted;
    options.uplink.on_copy =
        arguments.on_copy == "wait" ? edge::CopyRule::kWait : edge::CopyRule::kRename;
    options.until_caught_up = arguments.until_caught_up;
    options.polite = polite_options(arguments);
    options.space.max_bytes = arguments.outbox_max_bytes;
    if (arguments.outbox_full == "block") options.space.when_full = capture::WhenFull::kBlock;
    options.on_event = say;
    options.on_progress = [&](const edge::EdgeProgress& now) { teller.tell(now); };
    auto runner = edge::EdgeRunner::create(std::move(options));
    if (!runner) return report(runner.error());
    running = runner->get();
    if (stop_asked) (*runner)->stop();
    done = (*runner)->run();
    running = nullptr;
  }
  if (!done) return report(done.error());
  if (arguments.json) {
    // `replace`: a source's name may be any bytes.
    std::printf("%s\n", to_json(arguments, done->renamed_to.value_or(*source), *done)
                            .dump(-1, ' ', false, OrderedJson::error_handler_t::replace)
                            .c_str());
  }
  if (arguments.until_caught_up && !done->caught_up) {
    return report({ErrorKind::kRetry,
                   "stopped before everything was acknowledged; the rest is "
                   "in the outbox"});
  }
  return kExitOk;
}

}  // namespace

void add_edge(CLI::App& app, int& exit_code) {
  auto arguments = std::make_shared<EdgeArguments>();
  auto* command = app.add_subcommand("edge", "Stream the changes of one database to a parent");
  command->add_option("--db", arguments->db, "The application's database")
      ->required()
      ->type_name("FILE");
  command->add_option("--parent", arguments->parent, "ws://HOST:PORT")
      ->required()
      ->type_name("URL");
  command->add_option("--source", arguments->source,
                      "The database's name, if capture is to be installed");
  command->add_option("--wait", arguments->wait, "How long the outbox keeps a change")
      ->check(CLI::IsMember({"durable", "persisted"}));
  command
      ->add_option("--on-copy", arguments->on_copy,
                   "If another copy of this database streams under its name: take a name of "
                   "its own, or wait")
      ->check(CLI::IsMember({"rename", "wait"}));
  command->add_option("--trim-bytes", arguments->polite.trim_bytes,
                      "Acknowledged changes are worth a write from here on");
  command
      ->add_option("--idle-ms", arguments->polite.idle_ms,
                   "Or where nobody else wrote for so long (rollback journal: 60 times as long)")
      ->check(CLI::Range(0, 3'600'000));
  command->add_option("--anyway-bytes", arguments->polite.anyway_bytes,
                      "Beyond it they are trimmed even where no polite moment comes");
  command
      ->add_option("--anyway-ms", arguments->polite.anyway_ms,
                   "So long a change of the schema or a resend waits for one")
      ->check(CLI::Range(0, 86'400'000));
  command->add_option("--outbox-max-bytes", arguments->outbox_max_bytes,
                      "What may wait in the outbox; 0: until the disk is nearly full");
  command
      ->add_option("--outbox-full", arguments->outbox_full,
                   "Then: pause capture and send all again later, or let writes fail")
      ->check(CLI::IsMember({"pause", "block"}));
  command->add_flag("--until-caught-up", arguments->until_caught_up,
                    "End when all that is in the outbox has been acknowledged");
  command->add_flag("--json", arguments->json, "Print one JSON object at the end");
  command->callback([arguments, &exit_code] { exit_code = run_edge(*arguments); });
}

}  // namespace evodb::app
