# evodb::client: one static library of base, wire, capture and edge, installable by itself.
#
#   cmake --install build --prefix P     P/include/evodb, P/lib/libevodb_client.a,
#                                        find_package(evodb) and pkg-config evodb
#
# It links SQLite, threads and the C++ runtime; tests/install/run.sh holds it to that.

include(CMakePackageConfigHelpers)

add_library(evodb_client STATIC)
add_library(evodb::client ALIAS evodb_client)
foreach(room base wire capture edge)
  target_sources(evodb_client PRIVATE $<TARGET_OBJECTS:evodb_${room}>)
endforeach()
set_target_properties(evodb_client PROPERTIES EXPORT_NAME client LINKER_LANGUAGE CXX)
target_compile_features(evodb_client INTERFACE cxx_std_23)
target_include_directories(evodb_client INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
                                                  $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(evodb_client PUBLIC SQLite::SQLite3 Threads::Threads)

set(evodb_package ${CMAKE_INSTALL_LIBDIR}/cmake/evodb)
install(TARGETS evodb_client EXPORT evodb-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT evodb-targets NAMESPACE evodb:: DESTINATION ${evodb_package})
install(FILES include/evodb/client.h include/evodb/protocol.h include/evodb/result.h
              include/evodb/types.h include/evodb/value.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/evodb)

file(WRITE ${CMAKE_BINARY_DIR}/evodb-config.cmake
     "include(CMakeFindDependencyMacro)
find_dependency(SQLite3)
find_dependency(Threads)
include(\"\${CMAKE_CURRENT_LIST_DIR}/evodb-targets.cmake\")
")
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/evodb-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/evodb-config.cmake
              ${CMAKE_BINARY_DIR}/evodb-config-version.cmake
        DESTINATION ${evodb_package})

# Paths from the file's own place, so that an installed tree may be moved.
file(RELATIVE_PATH evodb_prefix_from_pc
     /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
file(WRITE ${CMAKE_BINARY_DIR}/evodb.pc
     "prefix=\${pcfiledir}/${evodb_prefix_from_pc}
includedir=\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}
libdir=\${prefix}/${CMAKE_INSTALL_LIBDIR}

Name: evodb
Description: ${PROJECT_DESCRIPTION} (client library)
Version: ${PROJECT_VERSION}
Requires: sqlite3
Cflags: -I\${includedir}
Libs: -L\${libdir} -levodb_client -lpthread -lstdc++ -lm
")
install(FILES ${CMAKE_BINARY_DIR}/evodb.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
