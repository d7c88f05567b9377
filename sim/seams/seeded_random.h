// SeededRandom: base::Random that gives the same numbers for the same seed, everywhere.
//
// splitmix64 (Steele, Lea, Flood 2014): one addition and three multiplications a number, any seed
// is a good one, and a child generator is one number of its parent's.
#pragma once

#include <cstdint>

#include "base/clock.h"

namespace evodb::sim {

class SeededRandom final : public base::Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

}  // namespace evodb::sim
