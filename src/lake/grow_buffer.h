// GrowBuffer: a growing array of plain values whose memory is counted where it is taken.
//
//   MemoryMeter meter;
//   GrowBuffer<std::int64_t> longs(meter);
//   longs.push_back(7);                  // meter.bytes is what was really allocated
//
// std::vector would do but for the counting: the lake's bound is on capacity, not on size. Grows by
// half, so at most a third is spare; by realloc, which moves a large block's pages instead of
// copying what is in them to new ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>

namespace evodb::lake {

struct MemoryMeter {
  std::uint64_t bytes = 0;
};

// One owner; the meter outlives it. Move only.
template <class T>
class GrowBuffer {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= alignof(std::max_align_t));

 public:
  explicit GrowBuffer(MemoryMeter& meter) : meter_(&meter) {}
  GrowBuffer(GrowBuffer&&) noexcept = default;
  GrowBuffer& operator=(GrowBuffer&&) noexcept = default;

  std::size_t size() const { return size_; }
  const T* data() const { return data_.get(); }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T& operator[](std::size_t i) { return data_[i]; }

  void push_back(T v) {
    if (size_ == capacity_) [[unlikely]]
      grow(size_ + 1);
    data_[size_++] = v;
  }
  void append(const T* from, std::size_t n) {
    if (n == 0) return;
    if (capacity_ - size_ < n) grow(size_ + n);
    copy(data_.get() + size_, from, n * sizeof(T));
    size_ += n;
  }
  // REQUIRES: n >= size().
  void extend_to(std::size_t n, T with) {
    if (n > capacity_) grow(n);
    while (size_ < n) data_[size_++] = with;
  }

 private:
  // Names and numbers as text have 8 to 16 bytes, for which a call of memcpy is long.
  static void copy(void* to, const void* from, std::size_t bytes) {
    if (bytes < 8 || bytes > 16) {
      std::memcpy(to, from, bytes);
      return;
    }
    std::uint64_t first, last;  // they overlap
    std::memcpy(&first, from, 8);
    std::memcpy(&last, static_cast<const char*>(from) + bytes - 8, 8);
    std::memcpy(to, &first, 8);
    std::memcpy(static_cast<char*>(to) + bytes - 8, &last, 8);
  }
  void grow(std::size_t at_least) {
    std::size_t capacity = capacity_ + capacity_ / 2;
    if (capacity < 16) capacity = 16;
    if (capacity < at_least) capacity = at_least;
    void* const larger = std::realloc(data_.get(), capacity * sizeof(T));
    if (larger == nullptr) throw std::bad_alloc();
    (void)data_.release();  // realloc has taken it
    data_.reset(static_cast<T*>(larger));
    meter_->bytes += (capacity - capacity_) * sizeof(T);
    capacity_ = capacity;
  }

  struct Free {
    void operator()(T* p) const { std::free(p); }
  };

  MemoryMeter* meter_;
  std::unique_ptr<T[], Free> data_;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace evodb::lake
