// The timed part of Load.java with librdkafka, the C client that most other languages' clients are
// made of: it takes less of the cores that it shares with the broker. Load.java makes the topic,
// runs this, and checks what the broker has then.
//
//   native-load TOPIC ENTRIES SOURCES PARTITIONS PRODUCERS NAME=VALUE...
//
// NAME=VALUE are librdkafka's settings. Prints the seconds from the first row sent to the last one
// acknowledged.
#include <librdkafka/rdkafka.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t payload_bytes = 200;
constexpr int flush_ms_max = 60'000;

struct Options {
  std::string topic;
  std::int64_t entries = 0, sources = 0, partitions = 0, producers = 0;
  std::vector<std::pair<std::string, std::string>> settings;
};

[[noreturn]] void die(const std::string& text) {
  std::fprintf(stderr, "native-load: %s\n", text.c_str());
  std::exit(1);
}

using Payload = std::array<char, payload_bytes>;

void put_big_endian(Payload& bytes, std::size_t at, std::uint64_t value, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    bytes[at + i] = static_cast<char>(value >> (8 * (count - 1 - i)));
  }
}

// As Load.fill() in Load.java, which reads it back.
void fill(Payload& bytes, std::int64_t source, std::uint64_t lsn) {
  put_big_endian(bytes, 0, static_cast<std::uint64_t>(source), 2);
  put_big_endian(bytes, 2, lsn, 8);
  for (std::size_t i = 0; i < 64; i += 8) {
    const std::uint64_t noise = (lsn + i) * 0x9e3779b97f4a7c15u;
    for (std::size_t j = 0; j < 8; ++j) {
      bytes[10 + i + j] = static_cast<char>('a' + ((noise >> (8 * j)) & 0xff) % 26);
    }
  }
}

// Every number-th source's rows, in order, through one producer. Owned and used by one thread;
// librdkafka calls back in that thread's poll.
class Producer {
 public:
  Producer(const Options& options, std::int64_t number) : options_(options), number_(number) {
    std::array<char, 512> error{};
    rd_kafka_conf_t* conf = rd_kafka_conf_new();
    for (const auto& [name, value] : options.settings) {
      if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), error.data(), error.size()) !=
          RD_KAFKA_CONF_OK) {
        die(error.data());
      }
    }
    rd_kafka_conf_set_opaque(conf, this);
    rd_kafka_conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* m, void* self) {
      if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) die(rd_kafka_err2str(m->err));
      ++static_cast<Producer*>(self)->acknowledged_;
    });
    client_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error.data(), error.size());
    if (client_ == nullptr) die(error.data());
    topic_ = rd_kafka_topic_new(client_, options.topic.c_str(), nullptr);
    const rd_kafka_metadata_t* metadata = nullptr;
    if (rd_kafka_metadata(client_, 0, topic_, &metadata, 30'000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      die("the broker does not answer");
    }
    rd_kafka_metadata_destroy(metadata);
  }
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;
  ~Producer() {
    rd_kafka_topic_destroy(topic_);
    rd_kafka_destroy(client_);
  }

  void run() {
    Payload payload;
    payload.fill('x');
    const auto share = static_cast<std::uint64_t>(options_.entries / options_.sources);
    for (std::uint64_t lsn = 1; lsn <= share; ++lsn) {
      for (std::int64_t s = number_; s < options_.sources; s += options_.producers) {
        fill(payload, s, lsn);
        send(static_cast<std::int32_t>(s % options_.partitions), payload);
      }
      rd_kafka_poll(client_, 0);
    }
    if (rd_kafka_flush(client_, flush_ms_max) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      die("not acknowledged in a minute");
    }
    const auto mine = share * static_cast<std::uint64_t>(options_.sources / options_.producers);
    if (acknowledged_ != mine) die("acknowledged: " + std::to_string(acknowledged_));
  }

 private:
  void send(std::int32_t partition, Payload& payload) {
    while (rd_kafka_produce(topic_, partition, RD_KAFKA_MSG_F_COPY, payload.data(), payload.size(),
                            nullptr, 0, nullptr) != 0) {
      const auto error = rd_kafka_last_error();
      if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(error));
      rd_kafka_poll(client_, 1);
    }
  }

  const Options& options_;
  std::int64_t number_;
  rd_kafka_t* client_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  std::uint64_t acknowledged_ = 0;
};

std::int64_t positive(const char* text) {
  char* end = nullptr;
  const long long value = std::strtoll(text, &end, 10);
  if (*end != '\0' || value < 1) die(std::string("not a number above 0: ") + text);
  return value;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("%s\n", rd_kafka_version_str());
    return 0;
  }
  if (argc < 6) die("usage: native-load TOPIC ENTRIES SOURCES PARTITIONS PRODUCERS NAME=VALUE...");
  Options options{argv[1],           positive(argv[2]), positive(argv[3]),
                  positive(argv[4]), positive(argv[5]), {}};
  if (options.sources % options.producers != 0 || options.entries % options.sources != 0) {
    die("sources must be a multiple of producers, entries of sources");
  }
  for (int i = 6; i < argc; ++i) {
    const std::string_view setting = argv[i];
    const auto equals = setting.find('=');
    if (equals == std::string_view::npos) die("not NAME=VALUE: " + std::string(setting));
    options.settings.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  std::vector<std::unique_ptr<Producer>> producers;
  for (std::int64_t i = 0; i < options.producers; ++i) {
    producers.push_back(std::make_unique<Producer>(options, i));
  }
  const auto begun = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (auto& producer : producers) threads.emplace_back([&producer] { producer->run(); });
  for (auto& thread : threads) thread.join();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begun;
  std::printf("%.6f\n", seconds.count());
}
