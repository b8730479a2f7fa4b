# SPDX-License-Identifier: Apache-2.0
"""Writes the corpus of ordinary telemetry, tests/vectors/rules/telemetry: what devices, gateways and backends send, in
many formats, with some of the words that rules look for. The shipped rules must find nothing in it, raw or decoded.
The same files come out of each run.

    make_telemetry.py [FOLDER]
"""

import os
import sys

from corpus.base import kinds

# Each registers its kinds, in this order: the dice are shared.
import corpus.home  # noqa: F401
import corpus.industry  # noqa: F401
import corpus.words  # noqa: F401
import corpus.management  # noqa: F401
import corpus.binary  # noqa: F401

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "telemetry")
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    total = 0
    for name, count, ending, make in kinds:
        for i in range(count):
            payload = make(i)
            with open(os.path.join(folder, "%s-%02d.%s" % (name, i, ending)), "wb") as out:
                out.write(payload if isinstance(payload, bytes) else payload.encode())
            total += 1
    print("%d files in %s" % (total, folder))


if __name__ == "__main__":
    main()
