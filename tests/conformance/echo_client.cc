// The shipped client's link on the shipped poll loop with one difference: a whole message is
// answered with itself, instead of being read as a frame. Handshake, parser, masking, pings,
// closing, the loop: what ships.
//
//   evodb-echo-client HOST PORT AGENT [PARALLEL]
//
// Asks a fuzzing server how many cases it has, runs all of them, PARALLEL (4) at a time, and asks
// for the report.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/posix/poll_loop.h"
#include "base/posix/system_clock.h"
#include "edge/parent_link.h"

namespace evodb::edge {
namespace {

class EchoLink final : public ParentLink {
 public:
  using ParentLink::ParentLink;
  std::string last_text;

 private:
  void take_data(const wire::WsMessage& message) override {
    last_text = message.payload.substr(0, 16);
    send_websocket(message.opcode, message.payload);
  }
};

// One connection after the other, to the paths that `next` names, until it names none.
class Runner final : public LinkEvents {
 public:
  Runner(base::Loop& loop, base::Random& random, LinkOptions options,
         std::function<std::string()> next, std::function<void()> done)
      : loop_(loop), random_(random), options_(std::move(options)), next_(next), done_(done) {}

  void start() {
    options_.parent.path = next_();
    if (options_.parent.path.empty()) return done_();
    link_ = std::make_unique<EchoLink>(loop_, random_, options_, *this);
    if (auto opened = link_->open(); !opened) on_link_closed(opened.error());
  }
  std::string last_text() const { return link_ ? link_->last_text : ""; }

 private:
  void on_link_open() override { opened_ = true; }
  void on_link_frame(const wire::Frame&) override {}
  void on_link_writable() override {}
  void on_link_closed(const Error& why) override {
    if (!opened_) std::fprintf(stderr, "evodb-echo-client: %s\n", why.text.c_str());
    if (!opened_) std::exit(1);
    opened_ = false;
    loop_.after(0, [this] { start(); });  // the link is still in its own event
  }

  base::Loop& loop_;
  base::Random& random_;
  LinkOptions options_;
  std::function<std::string()> next_;
  std::function<void()> done_;
  std::unique_ptr<EchoLink> link_;
  bool opened_ = false;
};

int run(const std::string& host, std::uint16_t port, const std::string& agent, int parallel) {
  auto loop = base::PollLoop::create();
  if (!loop) {
    std::fprintf(stderr, "evodb-echo-client: %s\n", loop.error().text.c_str());
    return 1;
  }
  base::SystemRandom random;
  const LinkOptions options{.parent = {.host = host, .port = port}, .ping_idle_ms = 600'000};

  // The whole life of one runner that visits each path in turn.
  const auto visit = [&](std::vector<std::string> paths) {
    std::size_t at = 0;
    Runner runner(
        **loop, random, options, [&] { return at < paths.size() ? paths[at++] : std::string(); },
        [&] { (*loop)->stop(); });
    runner.start();
    (*loop)->run();
    return runner.last_text();
  };

  const std::string answer = visit({"/getCaseCount"});
  int count = 0;
  std::from_chars(answer.data(), answer.data() + answer.size(), count);
  int next = 0, busy = parallel;
  std::vector<std::unique_ptr<Runner>> runners;
  for (int i = 0; i < parallel; ++i) {
    runners.push_back(std::make_unique<Runner>(
        **loop, random, options,
        [&] {
          if (next == count) return std::string();
          return "/runCase?case=" + std::to_string(++next) + "&agent=" + agent;
        },
        [&] {
          if (--busy == 0) (*loop)->stop();
        }));
  }
  for (auto& runner : runners) runner->start();
  (*loop)->run();
  visit({"/updateReports?agent=" + agent});
  std::printf("%d cases\n", count);
  return count > 0 ? 0 : 1;
}

}  // namespace
}  // namespace evodb::edge

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: evodb-echo-client HOST PORT AGENT [PARALLEL]\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  return evodb::edge::run(argv[1], static_cast<std::uint16_t>(std::atoi(argv[2])), argv[3],
                          argc > 4 ? std::atoi(argv[4]) : 4);
}
