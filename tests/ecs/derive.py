#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Derives ecs-<version>-fields.json from Elastic's own field list, generated/ecs/ecs_flat.yml of elastic/ecs (also as
JSON, as the npm package @elastic/ecs has it):

    derive.py VERSION ecs_flat.yml >ecs-VERSION-fields.json

Only what the validator and the index template need: field sets that describe a proxy's event, without descriptions."""
import json
import sys

import yaml

SETS = ("@timestamp", "message", "labels", "tags", "ecs", "event", "network", "source", "destination", "client", "server", "user",
        "tls", "rule", "threat", "observer", "related", "host", "error", "service", "data_stream", "log", "agent", "organization")
# Field sets that are reused below another one, and that no event of a proxy has.
NESTED = ("user.changes.", "user.effective.", "user.target.", "user.risk.", "threat.enrichments", "threat.indicator.", "threat.software.",
          "threat.group.", "threat.feed.", "service.origin.", "service.target.", "host.risk.", "host.target.", "host.entity.",
          "service.entity.", "user.entity.", "network.inner.", "observer.egress.", "observer.ingress.")


def wanted(name):
    return name.split(".")[0] in SETS and not name.startswith(NESTED)


def spec(field):
    result = {"type": field["type"]}
    if "array" in field["normalize"]:
        result["array"] = True
    if "ignore_above" in field:
        result["ignore_above"] = field["ignore_above"]
    values = [value["name"] for value in field.get("allowed_values", ())] or field.get("expected_values")
    if values:
        result["values"] = values
    if field.get("pattern"):
        result["pattern"] = field["pattern"]
    if field.get("multi_fields"):
        result["multi_fields"] = {multi["name"]: multi["type"] for multi in field["multi_fields"]}
    return result


def main():
    version, path = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        flat = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    print("{")
    for key, value in (("ecs", version), ("source", f"elastic/ecs {version}, generated/ecs/ecs_flat.yml: see README.md"),
                       ("licence", "Apache-2.0, Copyright Elasticsearch B.V.")):
        print(f" {json.dumps(key)}: {json.dumps(value)},")
    expected = {value["name"]: value["expected_event_types"] for value in flat["event.category"]["allowed_values"]}
    for key, rows in (("expected_types", expected), ("fields", {name: spec(flat[name]) for name in sorted(flat) if wanted(name)})):
        print(f" {json.dumps(key)}: {{")
        print(",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()))
        print(" }" + ("," if key != "fields" else ""))
    print("}")


if __name__ == "__main__":
    main()
