#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the release preset if need be and runs the benchmark; the arguments are bench.py's (--help shows them), or,
# behind --instructions, those of instructions.py.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
build=${MQWARD_BUILD:-$root/build/release}

if [ ! -f "$build/CMakeCache.txt" ]; then
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo
fi
cmake --build "$build" -j "$(nproc)" --target proxy/all tests/bench/all >&2
script=bench.py
if [ "${1:-}" = --instructions ]; then
    script=instructions.py
    shift
fi
exec /usr/bin/python3 "$root/tests/bench/$script" --build "$build" "$@"
