#pragma once

namespace evodb::app {
inline constexpr char version_text[] = EVODB_VERSION;
}  // namespace evodb::app
