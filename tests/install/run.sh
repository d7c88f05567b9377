#!/usr/bin/env bash
# Builds the client library alone, installs it, moves the installed tree, and builds an application
# against it by find_package and by pkg-config. Fails if that links anything but SQLite and the C++
# runtime, or needs anything of the parent.
#   tests/install/run.sh [BUILD_DIR]     BUILD_DIR: a server-less build to use again
set -euo pipefail
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build=${1:-$work/build}
die() { echo "install: $*" >&2; exit 1; }

cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DEVODB_SERVER=OFF -DEVODB_TESTS=OFF > "$work/log" 2>&1 || { cat "$work/log" >&2; die configure; }
cmake --build "$build" --target evodb_client > "$work/log" 2>&1 || { cat "$work/log" >&2; die build; }
cmake --install "$build" --prefix "$work/first" > "$work/log" 2>&1 || { cat "$work/log" >&2; die install; }
mv "$work/first" "$work/prefix"
prefix=$work/prefix
[[ -f $prefix/include/evodb/client.h ]] || die "client.h is not installed"
# Each public header stands by itself.
for header in "$prefix"/include/evodb/*.h; do
  printf '#include <evodb/%s>\n' "$(basename "$header")" |
    g++ -std=c++23 -Wall -Wextra -Werror -fsyntax-only -I "$prefix/include" -x c++ - ||
    die "$(basename "$header") does not compile alone"
done

cmake -S "$root/tests/install/example" -B "$work/by_cmake" -G Ninja \
  -DCMAKE_PREFIX_PATH="$prefix" > "$work/log" 2>&1 || { cat "$work/log" >&2; die find_package; }
cmake --build "$work/by_cmake" > "$work/log" 2>&1 || { cat "$work/log" >&2; die "build by find_package"; }

pc=$(dirname "$(find "$prefix" -name evodb.pc)")
# shellcheck disable=SC2046
g++ -std=c++23 "$root/tests/install/example/example.cc" -o "$work/by_pkg_config" \
  $(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs evodb) || die "build by pkg-config"

for program in "$work/by_cmake/example" "$work/by_pkg_config"; do
  "$program" > "$work/out" || { cat "$work/out" >&2; die "$program failed"; }
  cat "$work/out"
  foreign=$(ldd "$program" | awk '{print $1}' | sed 's|.*/||' |
    grep -Ev '^(linux-vdso|libsqlite3|libstdc\+\+|libm|libgcc_s|libc|libpthread|libdl|libz|ld-linux[-a-z0-9_]*)\.so' || true)
  [[ -z $foreign ]] || die "links $foreign"
done
echo "install: built both ways, links nothing but SQLite and the C++ runtime"
