# evodb_room(NAME ROOMS r... LIBRARIES l...): the static library evodb_NAME of src/NAME.
#
# The boundary: a room's headers are reached as "NAME/x.h" through boundaries/NAME, a folder that
# holds one link, and a target gets such a folder only for itself and the rooms that it names (not
# for theirs in turn). An include across a boundary therefore finds no file.
#
# In a room's folder x_test.cc are its unit tests (evodb_NAME_test), x_fuzz.cc one fuzz target each.

set(EVODB_BOUNDARIES ${CMAKE_BINARY_DIR}/boundaries)

add_library(evodb_flags INTERFACE)
target_compile_options(evodb_flags INTERFACE -Wall -Wextra -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(evodb_flags INTERFACE -fno-semantic-interposition)
endif()
if(EVODB_SANITIZE)
  add_compile_options(-fsanitize=${EVODB_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${EVODB_SANITIZE})
  if(EVODB_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
endif()

# With sanitizers gtest's macros take the compiler longer than all of the code that they test: what
# only calls the tested code is not optimized, which halves that. Templates that both use are then
# those of the test, for the linker takes the first: so not where a test is about who is faster, or
# runs for minutes.
function(evodb_compile_fast target)
  if(EVODB_SANITIZE AND NOT target MATCHES "^evodb_(capture|journal)_test$")
    target_compile_options(${target} PRIVATE -O0)
  endif()
endfunction()

# One precompiled header of the standard library for every target with the same flags.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # ccache asks for it
else()
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:SHELL:-Xclang -fno-pch-timestamp>")
endif()
function(evodb_precompile target)
  target_precompile_headers(${target} PRIVATE <algorithm> <cstdint> <cstring> <expected> <functional>
                            <map> <memory> <optional> <span> <string> <string_view>
                            <unordered_map> <utility> <variant> <vector>)
endfunction()

# A build from nothing is done sooner where several files are compiled as one; what a developer changes
# is not. Names in anonymous namespaces must then differ within a room.
function(evodb_unity target)
  if(EVODB_UNITY)
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 6)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # Every .cc is an included file there, which the first takes for a header. The second misreads
      # std::expected where more is inlined.
      target_compile_options(${target} PRIVATE -Wno-subobject-linkage -Wno-maybe-uninitialized)
    endif()
  endif()
endfunction()

function(evodb_folder name path)
  cmake_parse_arguments(ARG "" "" "ROOMS;LIBRARIES" ${ARGN})
  set(folder ${CMAKE_SOURCE_DIR}/${path})
  file(MAKE_DIRECTORY ${EVODB_BOUNDARIES}/${name})
  file(CREATE_LINK ${folder} ${EVODB_BOUNDARIES}/${name}/${name} SYMBOLIC)

  set(folders ${CMAKE_SOURCE_DIR}/include ${EVODB_BOUNDARIES}/${name})
  set(room_targets)
  foreach(room IN LISTS ARG_ROOMS)
    list(APPEND folders ${EVODB_BOUNDARIES}/${room})
    list(APPEND room_targets evodb_${room})
  endforeach()

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cc)
  set(tests ${sources})
  set(fuzzers ${sources})
  list(FILTER sources EXCLUDE REGEX "_(test|fuzz|main)\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/empty_${name}.cc "")
    set(sources ${CMAKE_BINARY_DIR}/empty_${name}.cc)
  endif()

  add_library(evodb_${name} STATIC ${sources})
  target_include_directories(evodb_${name} PRIVATE ${folders})
  target_link_libraries(evodb_${name} PRIVATE evodb_flags ${ARG_LIBRARIES})
  # INTERFACE, and only to link: a user of this room names the rooms that it includes itself.
  target_link_libraries(evodb_${name} INTERFACE ${room_targets} ${ARG_LIBRARIES})
  evodb_precompile(evodb_${name})

  if(EVODB_TESTS AND tests)
    find_package(GTest REQUIRED)
    add_executable(evodb_${name}_test ${tests})
    # A test may also use the simulator's seams (sim/fake_*.h need nothing but base and store).
    target_include_directories(evodb_${name}_test PRIVATE ${folders} ${EVODB_BOUNDARIES}/sim ${EVODB_BOUNDARIES}/store)
    target_link_libraries(evodb_${name}_test PRIVATE evodb_flags evodb_${name} evodb_sim_seams
                          GTest::gmock GTest::gtest GTest::gtest_main)
    if("SQLite::SQLite3" IN_LIST ARG_LIBRARIES)
      target_link_libraries(evodb_${name}_test PRIVATE evodb_sim_sqlite)
    endif()
    target_compile_definitions(evodb_${name}_test PRIVATE
                               EVODB_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    evodb_compile_fast(evodb_${name}_test)
    target_precompile_headers(evodb_${name}_test PRIVATE <gtest/gtest.h> <map> <memory> <string>
                              <vector>)
    add_test(NAME ${name} COMMAND evodb_${name}_test WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set_tests_properties(${name} PROPERTIES TIMEOUT 1500)
  endif()
  if(EVODB_FUZZ)
    foreach(fuzzer IN LISTS fuzzers)
      cmake_path(GET fuzzer STEM stem)
      add_executable(${stem} ${fuzzer})
      target_include_directories(${stem} PRIVATE ${folders} ${EVODB_BOUNDARIES}/sim ${EVODB_BOUNDARIES}/store)
      target_link_libraries(${stem} PRIVATE evodb_flags evodb_${name} evodb_sim_seams)
      target_link_options(${stem} PRIVATE -fsanitize=fuzzer)
      set_property(GLOBAL APPEND PROPERTY EVODB_FUZZERS ${stem})
    endforeach()
  endif()
endfunction()

function(evodb_room name)
  evodb_folder(${name} src/${name} ${ARGN})
  evodb_unity(evodb_${name})
endfunction()

enable_testing()

# The fake clock, disk, loop and store of sim/seams, included as "sim/seams/fake_disk.h": for unit
# tests and for the simulator. They see base and store's interface, no other room. sqlite_disk is a
# library of its own, evodb_sim_sqlite, so that the others do without SQLite.
function(evodb_seams)
  file(MAKE_DIRECTORY ${EVODB_BOUNDARIES}/sim ${EVODB_BOUNDARIES}/store)
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/sim ${EVODB_BOUNDARIES}/sim/sim SYMBOLIC)
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/src/store ${EVODB_BOUNDARIES}/store/store SYMBOLIC)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sim/seams/*.cc)
  list(FILTER sources EXCLUDE REGEX "(_test|/sqlite_disk)\\.cc$")
  if(NOT sources)
    file(WRITE ${CMAKE_BINARY_DIR}/empty_seams.cc "")
    set(sources ${CMAKE_BINARY_DIR}/empty_seams.cc)
  endif()
  add_library(evodb_sim_seams STATIC ${sources})
  target_include_directories(evodb_sim_seams PRIVATE ${CMAKE_SOURCE_DIR}/include
                             ${EVODB_BOUNDARIES}/sim ${EVODB_BOUNDARIES}/base ${EVODB_BOUNDARIES}/store)
  target_link_libraries(evodb_sim_seams PRIVATE evodb_flags INTERFACE evodb_base)
  evodb_precompile(evodb_sim_seams)
  add_library(evodb_sim_sqlite STATIC ${CMAKE_SOURCE_DIR}/sim/seams/sqlite_disk.cc)
  target_include_directories(evodb_sim_sqlite PRIVATE ${CMAKE_SOURCE_DIR}/include
                             ${EVODB_BOUNDARIES}/sim ${EVODB_BOUNDARIES}/base)
  target_link_libraries(evodb_sim_sqlite PRIVATE evodb_flags
                        INTERFACE evodb_base SQLite::SQLite3)
  evodb_precompile(evodb_sim_sqlite)
endfunction()
