// Named maxima that more than one room must agree on. A room's own limits stand in that room.
#pragma once

#include <cstddef>
#include <cstdint>

namespace evodb::base {

inline constexpr std::size_t frame_bytes_max = 16u << 20;        // one wire frame, inflated
inline constexpr std::size_t hello_frame_bytes_max = 64u << 10;  // before a hello is accepted
inline constexpr std::size_t row_bytes_max = 8u << 20;           // one change, encoded
inline constexpr std::size_t source_name_bytes_max = 256;
inline constexpr std::size_t table_name_bytes_max = 1024;
inline constexpr std::size_t column_name_bytes_max = 1024;
inline constexpr std::size_t columns_per_table_max = 2000;  // SQLite's own default
inline constexpr std::size_t table_defs_per_session_max = 10'000;

// Readers and SQLite keep LSNs and epochs in signed integers, and there must be a next one.
inline constexpr std::uint64_t stored_number_max = std::uint64_t{1} << 62;        // of an outbox
inline constexpr std::uint64_t epoch_max = (std::uint64_t{1} << 63) - 1'000'001;  // on the wire

inline constexpr std::size_t batch_entries_default = 100;
inline constexpr std::size_t batch_bytes_default = 1'000'000;
inline constexpr std::int64_t batch_delay_ms_default = 50;

}  // namespace evodb::base
