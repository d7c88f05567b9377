#include "version.h"

namespace evodb::app {

const char* version() { return EVODB_VERSION; }

}  // namespace evodb::app
