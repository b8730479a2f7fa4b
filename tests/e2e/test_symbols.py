# SPDX-License-Identifier: Apache-2.0
"""No function of the program has the name of a function of its libraries: the linker takes one of them, silently."""
import os
import re
import subprocess

import pytest

from servers import binary

pytestmark = pytest.mark.brokerless

# Sanitizers take the place of libc's functions on purpose.
RUNTIME = re.compile(r"lib(asan|ubsan|tsan|lsan|gcc_s|stdc\+\+|c|m)\.so|ld-linux")


def symbols(path, *options):
    output = subprocess.run(["nm", "--defined-only", *options, path], timeout=60, check=True, text=True, capture_output=True).stdout
    rows = [line.split() for line in output.splitlines()]
    return {row[2].split("@")[0] for row in rows if len(row) == 3 and row[1] in "TDBRVW"}


def libraries(path):
    output = subprocess.run(["ldd", path], timeout=60, check=True, text=True, capture_output=True).stdout
    found = re.findall(r"=> (\S+)", output)
    return [path for path in found if not RUNTIME.search(os.path.basename(path))]


def test_no_symbol_is_one_of_a_library():
    ours = symbols(binary())
    used = libraries(binary())
    assert len(ours) > 100 and any("libjansson" in path for path in used)
    assert {os.path.basename(path): sorted(ours & symbols(path, "-D")) for path in used if ours & symbols(path, "-D")} == {}
