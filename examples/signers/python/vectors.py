#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tries mps1.py on the vectors: vectors.py sign.tsv"""
import sys

import mps1

names = {number: name for name, (number, _, _) in mps1.ALGORITHMS.items()}
failed = count = 0
with open(sys.argv[1], encoding="utf-8") as file:
    for line in file:
        if line.startswith("#"):
            continue
        name, alg, flags, kid, sub, t, *rest = ("" if field == "-" else field for field in line.rstrip("\n").split("\t"))
        key, nonce, topic, content_type, response_topic, correlation_data, payload, header = map(bytes.fromhex, rest)
        made = mps1.sign(key, kid, sub, topic.decode(), payload, flags=int(flags), t=int(t), nonce=nonce, alg=names[int(alg)],
                         content_type=content_type.decode(), response_topic=response_topic.decode(),
                         correlation_data=correlation_data)
        count += 1
        if made != header:
            failed += 1
            print("FAILED", name)
print(count, "vectors,", failed, "failed")
sys.exit(1 if failed or not count else 0)
