# SPDX-License-Identifier: Apache-2.0
# Flags that every target shares, and mqward_library(), which declares a layer.

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(mqward_flags INTERFACE)
target_compile_options(mqward_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wundef
    -fno-strict-aliasing -fstack-protector-strong -fno-omit-frame-pointer)
target_compile_definitions(mqward_flags INTERFACE _GNU_SOURCE MQWARD_VERSION="${PROJECT_VERSION}")
if(MQWARD_SANITIZE)
    target_compile_options(mqward_flags INTERFACE -fsanitize=${MQWARD_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(mqward_flags INTERFACE -fsanitize=${MQWARD_SANITIZE})
    if(MQWARD_SANITIZE MATCHES "address")
        # Hundreds of thousands of relocations in the sanitizers' tables were a third of the start of a process.
        target_compile_options(mqward_flags INTERFACE -fno-pie)
        target_link_options(mqward_flags INTERFACE -no-pie)
    endif()
elseif(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    target_compile_definitions(mqward_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
target_link_options(mqward_flags INTERFACE -Wl,-z,relro,-z,now)

# Assertions stay on in every build: they guard against our own mistakes.
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELEASE "${CMAKE_C_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_C_FLAGS_RELWITHDEBINFO "${CMAKE_C_FLAGS_RELWITHDEBINFO}")

# mqward_library(<target> <folder as it is named in #include lines> SOURCES ... LINK ... PRIVATE_LINK ...)
function(mqward_library target folder)
    cmake_parse_arguments(arg "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
    set(stage ${CMAKE_BINARY_DIR}/include/${target})
    get_filename_component(parent ${stage}/${folder} DIRECTORY)
    file(MAKE_DIRECTORY ${parent})
    file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${stage}/${folder} SYMBOLIC)
    if(arg_SOURCES)
        add_library(${target} STATIC ${arg_SOURCES})
        target_include_directories(${target} PUBLIC ${stage})
        target_link_libraries(${target} PUBLIC ${arg_LINK} PRIVATE mqward_flags ${arg_PRIVATE_LINK})
    else()
        add_library(${target} INTERFACE)
        target_include_directories(${target} INTERFACE ${stage})
        target_link_libraries(${target} INTERFACE ${arg_LINK})
    endif()
endfunction()
