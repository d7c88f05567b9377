# evodb_arrow: Apache Arrow and Parquet for C++, one target wherever they come from.
#
#   include(cmake/EvodbArrow.cmake)
#   target_link_libraries(mine PRIVATE evodb_arrow)
#
# First an installed Arrow (Homebrew, vcpkg, Apache's packages, newer distributions). Debian 12 has
# none; there it is the one in the pyarrow wheel that scripts/setup puts into .deps/venv. That one
# is whole, headers and libraries, but brings no CMake files and no libarrow.so without a version.

set(EVODB_ARROW_VERSION_MIN 18)

find_package(Arrow CONFIG QUIET)
if(Arrow_FOUND AND Arrow_VERSION VERSION_GREATER_EQUAL EVODB_ARROW_VERSION_MIN)
  find_package(Parquet CONFIG QUIET)
endif()

add_library(evodb_arrow INTERFACE)
if(Parquet_FOUND)
  if(TARGET Arrow::arrow_shared AND TARGET Parquet::parquet_shared)
    target_link_libraries(evodb_arrow INTERFACE Parquet::parquet_shared Arrow::arrow_shared)
  else()
    target_link_libraries(evodb_arrow INTERFACE Parquet::parquet_static Arrow::arrow_static)
  endif()
  message(STATUS "Arrow ${Arrow_VERSION}: ${Arrow_DIR}")
else()
  # CMAKE_CURRENT_LIST_DIR, not CMAKE_SOURCE_DIR: it holds in another project's tree too.
  cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH evodb_arrow_tree)
  file(GLOB evodb_arrow_wheel ${evodb_arrow_tree}/.deps/venv/lib/python3*/site-packages/pyarrow)
  file(GLOB evodb_arrow_libraries ${evodb_arrow_wheel}/libparquet.so.[0-9]*
       ${evodb_arrow_wheel}/libarrow.so.[0-9]*)
  list(LENGTH evodb_arrow_libraries evodb_arrow_count)
  if(NOT evodb_arrow_count EQUAL 2)
    message(FATAL_ERROR "No Arrow C++ ${EVODB_ARROW_VERSION_MIN} or newer: run scripts/setup")
  endif()

  target_include_directories(evodb_arrow SYSTEM INTERFACE ${evodb_arrow_wheel}/include)
  target_link_libraries(evodb_arrow INTERFACE ${evodb_arrow_libraries})
  # The wheel's libraries find each other when they run, which the linker does not look into. The
  # rpath is an option, so that it also stays in what `cmake --install` installs.
  target_link_options(evodb_arrow INTERFACE LINKER:--allow-shlib-undefined
                      LINKER:-rpath,${evodb_arrow_wheel})
  # The wheel's libparquet exports the OpenSSL that it was built with, 3,000 symbols and more. The
  # loader takes the first library that has one: were it libparquet, our SHA-256 and libcurl's TLS
  # would run in a mixture of that OpenSSL and the system's libssl (tests/system/test_openssl.py).
  # So the system's stand first. Options come before libraries; the flag keeps what seems unused.
  target_link_options(evodb_arrow INTERFACE
                      LINKER:--push-state,--no-as-needed -lssl -lcrypto LINKER:--pop-state)
  message(STATUS "Arrow of the pyarrow wheel: ${evodb_arrow_wheel}")
endif()
