#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the component template with the mappings of every field of docs/audit.md, from the field tables:

    template.py >examples/siem/elasticsearch/mappings.json"""
import json
import os
import re
import sys

import validate

MANUAL = os.path.join(validate.HERE, "..", "..", "docs", "audit.md")
# What shippers, ingest pipelines and data streams add, and what stands in the place of an IP address.
OTHERS = ("client.address", "server.address", "source.address", "destination.address", "event.ingested", "error.message", "tags",
          "data_stream.type", "data_stream.dataset", "data_stream.namespace")
CONSTANTS = {"data_stream.type": "logs", "data_stream.dataset": "mqward.audit"}


def fields():
    """The fields of the manual's table."""
    with open(MANUAL, encoding="utf-8") as file:
        page = file.read()
    return re.findall(r"^\| `([\w@.]+)` \|", page[page.index("\n## The record\n"):page.index("<!-- generated: audit reference -->")], re.M)


def mapping(name, spec):
    if name in CONSTANTS:
        return {"type": "constant_keyword", "value": CONSTANTS[name]}
    result = {"type": spec["type"]}
    if spec["type"] == "keyword":
        result["ignore_above"] = spec.get("ignore_above", 1024)
    if "multi_fields" in spec:
        result["fields"] = {key: {"type": kind} for key, kind in spec["multi_fields"].items()}
    return result


def template():
    table = {**validate.ecs_table()["fields"], **validate.own_table()["fields"]}
    properties = {}
    for name in sorted({*fields(), *OTHERS}):
        *parents, last = name.split(".")
        node = properties
        for parent in parents:
            node = node.setdefault(parent, {}).setdefault("properties", {})
        node[last] = mapping(name, table[name])
    return {"_meta": {"description": "mqward's audit events", "managed_by": "mqward", "ecs": validate.ecs_table()["ecs"]},
            "template": {"mappings": {"date_detection": False, "properties": properties}}}


if __name__ == "__main__":
    json.dump(template(), sys.stdout, indent=2)
    print()
