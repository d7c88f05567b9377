// The far side of the differential tests: what our code makes of what Python sends.
//
//   evodb_differential COMMAND [DIRECTORY] < input > one line of JSON a case
//
// Commands and their input: see each one's file. For tests only.
#include <cstdio>
#include <string_view>

#include "differential.h"

int main(int argc, char** argv) {
  const std::string_view command = argc > 1 ? argv[1] : "";
  const char* const directory = argc > 2 ? argv[2] : ".";
  if (command == "wire-v1") return evodb::differential::wire_v1();
  if (command == "hashes") return evodb::differential::hashes();
  if (command == "manifests") return evodb::differential::manifests(directory);
  if (command == "landing") return evodb::differential::landing(directory);
  std::fputs("usage: evodb_differential wire-v1|hashes|manifests|landing [DIRECTORY]\n", stderr);
  return 2;
}
