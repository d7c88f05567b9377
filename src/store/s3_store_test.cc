// S3Store against versitygw, a real S3 server that checks signatures, and against servers that
// answer what no healthy server does.
#include "store/s3_store.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>

#include <gtest/gtest.h>

namespace evodb::store {
namespace {

int listen_anywhere(int* port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::listen(fd, 16), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length), 0);
  *port = ntohs(address.sin_port);
  return fd;
}

StoreOptions options_for(int port) {
  return {.url = "s3://bucket/ware/house",
          .endpoint = "http://127.0.0.1:" + std::to_string(port),
          .region = "us-east-1",
          .access_key_id = "k",
          .secret_access_key = "secret",
          .connect_timeout_ms = 2'000,
          .request_timeout_ms = 10'000};
}

class S3StoreTest : public testing::Test {
 protected:
  static std::string binary() {
    if (const char* path = ::getenv("EVODB_VERSITYGW")) return path;
    return std::string(EVODB_SOURCE_DIR) + "/.deps/bin/versitygw";
  }
  void SetUp() override {
    if (::access(binary().c_str(), X_OK) != 0) {
      GTEST_SKIP() << "no versitygw at " << binary()
                   << ": run scripts/setup, or set EVODB_VERSITYGW";
    }
    char name[] = "/tmp/evodb-s3-XXXXXX";
    root_ = ::mkdtemp(name);
    std::filesystem::create_directory(root_ + "/bucket");
    ::close(listen_anywhere(&port_));  // a port that was free a moment ago
    start();
    store_ = open_store(options_for(port_)).value();
  }
  void TearDown() override {
    stop();
    std::error_code ignored;
    if (!root_.empty()) std::filesystem::remove_all(root_, ignored);
  }
  void start() {
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // no server outlives a test that crashed
      ::setenv("ROOT_ACCESS_KEY", "k", 1);
      ::setenv("ROOT_SECRET_KEY", "secret", 1);
      const std::string address = "127.0.0.1:" + std::to_string(port_), path = binary();
      ::freopen("/dev/null", "w", stdout);
      ::freopen("/dev/null", "w", stderr);
      ::execl(path.c_str(), path.c_str(), "--port", address.c_str(), "posix", root_.c_str(),
              nullptr);
      ::_exit(127);
    }
    const auto probe = open_store(options_for(port_)).value();
    Result<void> up;
    for (int i = 0; i < 200; ++i) {
      up = probe->check();
      if (up) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    FAIL() << "versitygw does not come up: " << up.error().text;
  }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  std::string root_;
  int port_ = 0;
  pid_t pid_ = -1;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(S3StoreTest, PutGetListRemoveWithKeysThatNeedEncoding) {
  const std::vector<std::string> keys = {"plain.parquet", "t/day=2026-11-24/x y+z.parquet",
                                         "t/é/日本.avro", "t/a&b<c>\"d'~!*().x", "t/100%/#1?.x"};
  for (const std::string& key : keys) {
    const std::string bytes = "bytes of " + key + std::string(1, '\0');
    const auto put = store_->put(key, bytes, PutMode::kIfAbsent);
    ASSERT_TRUE(put) << key << ": " << put.error().text;
    EXPECT_EQ(store_->get(key).value(), bytes) << key;
  }
  const auto all = store_->list("");
  ASSERT_TRUE(all) << all.error().text;
  std::set<std::string> seen;
  for (const auto& object : *all) {
    seen.insert(object.key);
    EXPECT_EQ(object.bytes, object.key.size() + 10) << object.key;
    EXPECT_GT(object.modified.value, 1'600'000'000'000) << object.key;
  }
  EXPECT_EQ(seen, std::set<std::string>(keys.begin(), keys.end()));
  EXPECT_EQ(store_->list("t/").value().size(), 4u);
  EXPECT_EQ(store_->list("t/day=").value().size(), 1u);
  for (const std::string& key : keys) {
    ASSERT_TRUE(store_->remove(key)) << key;
    ASSERT_TRUE(store_->remove(key)) << "absent is no error: " << key;
    EXPECT_EQ(store_->get(key).error().kind, ErrorKind::kNotFound) << key;
  }
  EXPECT_TRUE(std::filesystem::exists(root_ + "/bucket"));
}

TEST_F(S3StoreTest, IfAbsentIsTheServersPromise) {
  ASSERT_TRUE(store_->put("k", "one", PutMode::kIfAbsent));
  const auto again = store_->put("k", "two", PutMode::kIfAbsent);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, ErrorKind::kExists) << again.error().text;
  EXPECT_EQ(store_->get("k").value(), "one");
  ASSERT_TRUE(store_->put("k", "two", PutMode::kOverwrite));
  EXPECT_EQ(store_->get("k").value(), "two");
  EXPECT_EQ(store_->get_at_most("k", 3).value(), "two");
  EXPECT_EQ(store_->get_at_most("k", 2).error().kind, ErrorKind::kOverLimit);
}

TEST_F(S3StoreTest, PutAllPutsAllAndLeavesWhatAnEarlierTryLeft) {
  ASSERT_TRUE(store_->put("t/data/x", "mine", PutMode::kIfAbsent));
  const std::vector<NewObject> objects = {
      {"t/data/x", "mine"}, {"t/data/y", "two"}, {"t/metadata/z", "three"}};
  const auto all = store_->put_all(objects);
  ASSERT_TRUE(all) << all.error().text;
  EXPECT_EQ(store_->get("t/data/x").value(), "mine");
  EXPECT_EQ(store_->get("t/data/y").value(), "two");
  EXPECT_EQ(store_->get("t/metadata/z").value(), "three");
  ASSERT_TRUE(store_->put_all(objects)) << "the same once more";
  const std::vector<NewObject> another_is_there = {{"t/data/x", "ours"}};
  EXPECT_EQ(store_->put_all(another_is_there).error().kind, ErrorKind::kExists);
  EXPECT_TRUE(store_->holds("t/data/x", "mine").value());
  EXPECT_FALSE(store_->holds("t/data/x", "ours").value());
  EXPECT_EQ(store_->holds("t/data", "mine").error().kind, ErrorKind::kNotFound);
  stop();
  EXPECT_EQ(store_->put_all(objects).error().kind, ErrorKind::kRetry);
}

TEST_F(S3StoreTest, EmptyAndLargeObjects) {
  ASSERT_TRUE(store_->put("empty", "", PutMode::kIfAbsent));
  EXPECT_EQ(store_->get("empty").value(), "");
  std::string large(20u << 20, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 2654435761u >> 7);
  ASSERT_TRUE(store_->put("large", large, PutMode::kIfAbsent));
  EXPECT_TRUE(store_->get("large").value() == large);
}

TEST_F(S3StoreTest, ListsMoreThanOnePage) {
  for (int i = 0; i < 1005; ++i) {  // a page has 1,000
    const std::string key = "many/" + std::to_string(10'000 + i);
    ASSERT_TRUE(store_->put(key, "", PutMode::kOverwrite));
  }
  const auto all = store_->list("many/");
  ASSERT_TRUE(all) << all.error().text;
  ASSERT_EQ(all->size(), 1005u);
  EXPECT_EQ(all->front().key, "many/10000");
  EXPECT_EQ(all->back().key, "many/11004");
}

TEST_F(S3StoreTest, WrongKeysAndBucketsSayWhatToDo) {
  StoreOptions options = options_for(port_);
  options.secret_access_key = "wrong";
  auto error = open_store(options).value()->check().error();
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_NE(error.text.find("AWS_SECRET_ACCESS_KEY"), std::string::npos) << error.text;
  options.access_key_id = "nobody";
  error = open_store(options).value()->put("x", "y", PutMode::kIfAbsent).error();
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_NE(error.text.find("AWS_ACCESS_KEY_ID"), std::string::npos) << error.text;
  options = options_for(port_);
  options.url = "s3://missing";
  error = open_store(options).value()->check().error();
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_NE(error.text.find("create the bucket 'missing'"), std::string::npos) << error.text;
  error = open_store(options).value()->get("x").error();
  EXPECT_EQ(error.kind, ErrorKind::kInvalid);
  EXPECT_NE(error.kind, ErrorKind::kNotFound)
      << "no bucket is not the same as no object: " << error.text;
}

TEST_F(S3StoreTest, AServerThatStoppedIsAwayAndComesBack) {
  ASSERT_TRUE(store_->put("k", "one", PutMode::kIfAbsent));
  stop();
  EXPECT_EQ(store_->check().error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->put("l", "x", PutMode::kIfAbsent).error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store_->get("k").error().kind, ErrorKind::kRetry);
  start();
  EXPECT_EQ(store_->get("k").value(), "one");
}

TEST_F(S3StoreTest, ManyThreadsShareOneStore) {
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 12; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        const std::string key = "t" + std::to_string(t) + "/" + std::to_string(i);
        if (!store_->put(key, key, PutMode::kIfAbsent)) ++wrong;
        const auto got = store_->get(key);
        if (!got || *got != key) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// Answers as a script says, byte for byte: the words of a wire on which no S3 server is.
class ScriptedServer {
 public:
  struct Reply {
    std::string bytes;              // "": closes without an answer
    bool hangs = false;             // afterwards, until the asker goes away
    std::size_t trickle_bytes = 0;  // so many at a time, a few milliseconds apart
  };
  using Script = std::function<Reply(const std::string& head)>;

  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    fd_ = listen_anywhere(&port_);
    thread_ = std::thread([this] {
      while (true) {
        const int peer = ::accept(fd_, nullptr, nullptr);
        if (peer < 0) return;
        serve(peer);
        ::close(peer);
      }
    });
  }
  // The same answer, whatever is asked.
  explicit ScriptedServer(const std::string& answer)
      : ScriptedServer([answer](const std::string&) {
          return answer == "hang" ? Reply{.hangs = true} : Reply{.bytes = answer};
        }) {}
  ~ScriptedServer() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  int port() const { return port_; }

 private:
  void serve(int peer) {
    char buffer[65536];
    const ssize_t n = ::recv(peer, buffer, sizeof buffer, 0);
    if (n <= 0) return;
    const Reply reply = script_(std::string(buffer, static_cast<std::size_t>(n)));
    if (reply.bytes.empty() && !reply.hangs) return;
    const std::size_t step = reply.trickle_bytes > 0 ? reply.trickle_bytes : reply.bytes.size();
    for (std::size_t at = 0; at < reply.bytes.size(); at += step) {
      const std::string piece = reply.bytes.substr(at, step);
      if (::send(peer, piece.data(), piece.size(), MSG_NOSIGNAL) < 0) return;
      if (reply.trickle_bytes > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (!reply.hangs) ::shutdown(peer, SHUT_WR);
    while (::recv(peer, buffer, sizeof buffer, 0) > 0) {
    }
  }

  Script script_;
  int fd_ = -1, port_ = 0;
  std::thread thread_;
};
using OneAnswerServer = ScriptedServer;

ErrorKind put_kind(const std::string& answer, ErrorKind* get_kind) {
  // A look tells nothing here: what it may tell is s3_answers_test.cc's.
  ScriptedServer server([&answer](const std::string& head) {
    if (head.starts_with("HEAD ")) return ScriptedServer::Reply{};
    return ScriptedServer::Reply{.bytes = answer == "hang" ? "" : answer,
                                 .hangs = answer == "hang"};
  });
  StoreOptions options = options_for(server.port());
  options.request_timeout_ms = 300;
  const auto store = open_store(options).value();
  const auto put = store->put("k", "v", PutMode::kIfAbsent);
  const auto got = store->get("k");
  const std::vector<NewObject> one = {{"k", "v"}};
  const auto all = store->put_all(one);
  EXPECT_FALSE(put) << answer;
  // That it is there is looked at, and a look is answered no better here.
  const bool exists = !put && put.error().kind == ErrorKind::kExists;
  EXPECT_EQ(all ? ErrorKind::kInternal : all.error().kind,
            exists ? ErrorKind::kRetry : put.error().kind)
      << answer;
  EXPECT_FALSE(got) << answer;
  *get_kind = got ? ErrorKind::kInternal : got.error().kind;
  return put ? ErrorKind::kInternal : put.error().kind;
}

TEST(S3StoreErrors, ALostAnswerToAPutLeavesItsOutcomeOpen) {
  ErrorKind get_kind;
  for (const char* status : {"500 Internal Server Error", "502 Bad Gateway",
                             "503 Service Unavailable", "504 Gateway Timeout"}) {
    const std::string answer = std::string("HTTP/1.1 ") + status + "\r\nContent-Length: 0\r\n\r\n";
    EXPECT_EQ(put_kind(answer, &get_kind), ErrorKind::kOutcomeUnknown) << status;
    EXPECT_EQ(get_kind, ErrorKind::kRetry) << status;
  }
  EXPECT_EQ(put_kind("", &get_kind), ErrorKind::kOutcomeUnknown) << "connection closed";
  EXPECT_EQ(get_kind, ErrorKind::kRetry);
  EXPECT_EQ(put_kind("hang", &get_kind), ErrorKind::kOutcomeUnknown) << "no answer in time";
  EXPECT_EQ(get_kind, ErrorKind::kRetry);
  // An answer that was cut off is none, wherever; curl takes one without the head's end for whole.
  const std::string whole = "HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 1\r\nEtag: e\r\n\r\nv";
  for (std::size_t n = 1; n < whole.size(); ++n) {
    OneAnswerServer server(whole.substr(0, n));
    const auto store = open_store(options_for(server.port())).value();
    const auto got = store->get("k");
    ASSERT_FALSE(got) << n;
    EXPECT_EQ(got.error().kind, ErrorKind::kRetry) << n << ": " << got.error().text;
    const auto put = store->put("k", "v", PutMode::kIfAbsent);
    ASSERT_FALSE(put) << n;
    EXPECT_EQ(put.error().kind, ErrorKind::kOutcomeUnknown) << n << ": " << put.error().text;
  }
  (void)put_kind("HTTP/1.1 200 OK\r\n\r\nhalf of what there is", &get_kind);
  EXPECT_EQ(get_kind, ErrorKind::kRetry) << "nobody knows how long it is";
  // The beginning of an object is no object.
  (void)put_kind("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", &get_kind);
  EXPECT_EQ(get_kind, ErrorKind::kRetry);
}

// A page of a proxy, a dump of a stack: the status is what counts, not how long it talks.
TEST(S3StoreErrors, ALongAnswerIsNeverThereAlready) {
  const auto long_answer = [](const std::string& status) {
    const std::string body((16u << 20) + 100, 'x');
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  };
  const auto looked_at = [](std::string answer) {
    return [answer = std::move(answer)](const std::string& head) {
      const bool look = head.starts_with("HEAD ");
      return ScriptedServer::Reply{.bytes = look ? "HTTP/1.1 404 Not Found\r\n\r\n" : answer};
    };
  };
  ScriptedServer failing(looked_at(long_answer("500 Internal Server Error")));
  auto store = open_store(options_for(failing.port())).value();
  EXPECT_EQ(store->put("k", "v", PutMode::kIfAbsent).error().kind, ErrorKind::kOutcomeUnknown);
  const std::vector<NewObject> one = {{"k", "v"}};
  const auto all = store->put_all(one);
  ASSERT_FALSE(all) << "this one counted as stored once";
  EXPECT_EQ(all.error().kind, ErrorKind::kOutcomeUnknown);
  EXPECT_EQ(store->get("k").error().kind, ErrorKind::kRetry);
  EXPECT_EQ(store->remove("k").error().kind, ErrorKind::kOutcomeUnknown);
  ScriptedServer fine(looked_at(long_answer("200 OK")));
  store = open_store(options_for(fine.port())).value();
  EXPECT_EQ(store->put("k", "v", PutMode::kIfAbsent).error().kind, ErrorKind::kOutcomeUnknown);
  EXPECT_EQ(store->list("").error().kind, ErrorKind::kOverLimit);
}

TEST(S3StoreErrors, ARefusalIsNoUnknownOutcome) {
  ErrorKind get_kind;
  const auto answer = [](const std::string& status, const std::string& code) {
    const std::string body = "<Error><Code>" + code + "</Code><Message>m</Message></Error>";
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) +
           "\r\n\r\n" + body;
  };
  EXPECT_EQ(put_kind(answer("403 F", "AccessDenied"), &get_kind), ErrorKind::kInvalid);
  EXPECT_EQ(get_kind, ErrorKind::kInvalid);
  EXPECT_EQ(put_kind(answer("403 F", "RequestTimeTooSkewed"), &get_kind), ErrorKind::kInvalid);
  EXPECT_EQ(put_kind(answer("301 M", "PermanentRedirect"), &get_kind), ErrorKind::kInvalid);
  EXPECT_EQ(put_kind(answer("404 N", "NoSuchBucket"), &get_kind), ErrorKind::kInvalid);
  EXPECT_EQ(put_kind(answer("409 C", "ConditionalRequestConflict"), &get_kind), ErrorKind::kRetry);
  EXPECT_EQ(put_kind(answer("412 P", "PreconditionFailed"), &get_kind), ErrorKind::kExists);
  EXPECT_EQ(put_kind(answer("429 T", "SlowDown"), &get_kind), ErrorKind::kRetry);
  EXPECT_EQ(put_kind(answer("400 B", "RequestTimeout"), &get_kind), ErrorKind::kRetry);
  EXPECT_EQ(put_kind("HTTP/1.1 404 N\r\nContent-Length: 5\r\n\r\nhello", &get_kind),
            ErrorKind::kInvalid);
  EXPECT_EQ(get_kind, ErrorKind::kInvalid);
}

// What only the wire can do wrong; what answers mean is s3_answers_test.cc's.
TEST(S3StoreErrors, AnAnswerThatIsNoneIsNotBelieved) {
  ErrorKind get_kind;
  const std::string tag = "ETag: \"e\"\r\n";
  for (const std::string& answer : std::vector<std::string>{
           "garbage\r\n\r\n", "HTTP/1.1 banana\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n",
           std::string("\x16\x03\x01\0\0", 5),
           "HTTP/1.1 200 OK\r\n" + tag + "Content-Length: banana\r\n\r\nv",
           "HTTP/1.1 200 OK\r\n" + tag + "Content-Length: -5\r\n\r\nv",
           "HTTP/1.1 200 OK\r\n" + tag + "Content-Length: 18446744073709551617\r\n\r\nv",
           "HTTP/1.1 200 OK\r\n" + tag + "Content-Length: 1000\r\n\r\nv",
           "HTTP/1.1 200 OK\r\n" + tag + "Transfer-Encoding: chunked\r\n\r\n1\r\nv\r\n",
           "HTTP/1.1 200 OK\r\n" + tag + "Transfer-Encoding: chunked\r\n\r\nbanana\r\nv\r\n",
           "HTTP/1.1 100 Continue\r\n\r\n",
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 200 OK\r\n" + tag + std::string(500'000, 'x') + ": y\r\n\r\n"}) {
    EXPECT_EQ(put_kind(answer, &get_kind), ErrorKind::kOutcomeUnknown) << answer.substr(0, 60);
    EXPECT_EQ(get_kind, ErrorKind::kRetry) << answer.substr(0, 60);
  }
}

TEST(S3StoreErrors, AHundredContinueBeforeASuccessIsOne) {
  ScriptedServer server([](const std::string&) {
    return ScriptedServer::Reply{
        .bytes =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nETag: \"e\"\r\n"
            "Content-Length: 0\r\n\r\n"};
  });
  EXPECT_TRUE(open_store(options_for(server.port())).value()->put("k", "v", PutMode::kOverwrite));
}

// A server that sends something all the time is as good as hung: the whole call has its time.
TEST(S3StoreErrors, ATrickleEndsWithTheCallsTime) {
  const std::string body(1'000'000, 'x');
  ScriptedServer server([&](const std::string&) {
    return ScriptedServer::Reply{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: " +
                                          std::to_string(body.size()) + "\r\n\r\n" + body,
                                 .trickle_bytes = 10};
  });
  StoreOptions options = options_for(server.port());
  options.request_timeout_ms = 300;
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(open_store(options).value()->get("k").error().kind, ErrorKind::kRetry);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
}

TEST(S3StoreErrors, APutIsDoneWhereALookFindsIt) {
  std::atomic<int> puts{0};
  ScriptedServer server([&](const std::string& head) {
    const std::string found =
        "HTTP/1.1 200 OK\r\nETag: \"9e3669d19b675bd57058fd4664205d2a\"\r\n"
        "Content-Length: 1\r\n\r\n";
    if (head.starts_with("HEAD ")) return ScriptedServer::Reply{.bytes = found};
    ++puts;
    return ScriptedServer::Reply{};  // carried out, and the connection lost
  });
  const auto store = open_store(options_for(server.port())).value();
  const auto put = store->put("k", "v", PutMode::kIfAbsent);
  EXPECT_TRUE(put) << put.error().text;
  EXPECT_EQ(puts, 1) << "nothing is sent again behind the caller's back";
}

TEST(S3StoreOptions, SaysWhichOptionIsWrong) {
  const auto refused = [](StoreOptions options, std::string_view word) {
    const auto store = open_store(options);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().kind, ErrorKind::kInvalid);
    EXPECT_NE(store.error().text.find(word), std::string::npos) << store.error().text;
  };
  StoreOptions options = options_for(1);
  options.url = "s3://UPPER/x";
  refused(options, "UPPER");
  options = options_for(1);
  options.secret_access_key.clear();
  refused(options, "AWS_SECRET_ACCESS_KEY");
  options = options_for(1);
  options.endpoint = "127.0.0.1:7070";
  refused(options, "http://");
  options.endpoint = "http://host/bucket";
  refused(options, "store.url");
}

TEST(S3StoreOptions, LocationsRoundTrip) {
  const auto store = open_store(options_for(1)).value();
  EXPECT_EQ(store->location("t/x"), "s3://bucket/ware/house/t/x");
  EXPECT_EQ(store->key_of("s3://bucket/ware/house/t/x").value(), "t/x");
  EXPECT_EQ(store->key_of("s3a://bucket/ware/house/t/x").value(), "t/x");
  EXPECT_FALSE(store->key_of("s3://bucket/ware/housewife"));
  EXPECT_FALSE(store->key_of("s3://other/ware/house/t"));
  EXPECT_FALSE(store->key_of("s3://bucket/ware/house/"));
}

}  // namespace
}  // namespace evodb::store
