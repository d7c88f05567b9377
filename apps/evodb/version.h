#pragma once

namespace evodb::app {

// "0.1.0"
const char* version();

}  // namespace evodb::app
