// Lives: tells two copies of one database that both stream from one that was restarted. A hello
// carries its database's life (wire-v2.md), a number that is drawn anew by whoever opens a file
// that another process did not close. So a new life is a restart, or a copy; and a life that comes
// back after another one took its place is the original, and the other one is a copy.
//
//   switch (lives.on_hello(source, hello.life, hello.epoch, connected, newest, hello.agent, now)) {
//     case Lives::Verdict::kGoOn: break;      // its sessions of other lives are to be closed
//     case Lives::Verdict::kOriginal: break;  // welcome: new epoch, at least lives.epoch_for(source)
//     case Lives::Verdict::kCopy: break;      // welcome: copy, lives.why(source)
//   }
//
// Nobody is called a copy before the original has done as it was asked and begun that epoch: an old
// hello that comes late makes nothing of it. Epochs tell it, since whoever begins one draws a new
// life.
//
// Memory: nothing for a source that is connected under one life; up to records_max that left lately
// or had several, for remembered_ms; and as many that have copies, for ever and across restarts.
// Which life was first is forgotten by a restart of the parent where no copy was found yet: then
// the one that comes first counts as the original.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evodb/types.h"

namespace evodb::ingest {

class Lives {
 public:
  static constexpr std::size_t lives_max = 3;  // remembered of a source, beside the current one
  static constexpr std::size_t agent_bytes_max = 256;
  struct Limits {
    std::size_t records_max = 65'536;
    std::int64_t remembered_ms = 3'600'000;
  };
  enum class Verdict : std::uint8_t { kGoOn, kOriginal, kCopy };

  // A source with copies.
  struct Copied {
    std::string_view source;
    std::uint64_t original = 0;  // its life
    std::vector<std::uint64_t> copies;
    UnixMillis since;
    std::string_view agent;  // of the original
  };

  explicit Lives(const Limits& limits) : limits_(limits) {}

  // `connected`: the life of a session of this source that is open, 0 if there is none. `newest`:
  // the source's newest epoch. A life of 0 tells nothing.
  Verdict on_hello(std::string_view source, std::uint64_t life, Epoch epoch,
                   std::uint64_t connected, Epoch newest, std::string_view agent, UnixMillis now);
  // Its session is over.
  void on_gone(std::string_view source, std::uint64_t life);

  // After kOriginal: above whatever the copy used, and no epoch that anybody else is told.
  Epoch epoch_for(std::string_view source) const;
  // After kCopy, for people.
  std::string why(std::string_view source) const;

  std::uint64_t found() const { return found_; }
  std::size_t sources_with_copies() const { return copied_.records.size(); }
  void for_each_copied(const std::function<void(const Copied&)>& visit) const;
  void restore(const Copied& copied);

 private:
  struct Record {
    std::string source;
    std::uint64_t current = 0;
    std::vector<std::uint64_t> earlier;  // the oldest first; another one took their place
    std::uint64_t asked = 0;             // this life came back, and was asked to begin that epoch
    Epoch asked_epoch;
    std::int64_t touched_ms = 0;
    std::vector<std::uint64_t> copies;
    UnixMillis since;
    std::string agent;
  };
  // Records by their source; who was touched last comes first.
  struct Table {
    std::list<Record> records;
    std::unordered_map<std::string_view, std::list<Record>::iterator> by_source;

    Record* find(std::string_view source);
    const Record* find(std::string_view source) const;
    void touch(Record& record);
    Record& add(std::string_view source, std::size_t records_max);
    void remove(std::string_view source);
  };

  void advance(UnixMillis now);
  Record* find(std::string_view source);
  void confirm(Record& record, std::uint64_t life, std::string_view agent, UnixMillis now);

  Limits limits_;
  Table recent_, copied_;  // without and with copies
  std::uint64_t found_ = 0;
  std::int64_t elapsed_ms_ = 0, last_now_ms_ = 0;
  bool started_ = false;
};

}  // namespace evodb::ingest
