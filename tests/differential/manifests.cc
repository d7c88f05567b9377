#include "differential.h"
int evodb::differential::manifests(const char*) { return 1; }
