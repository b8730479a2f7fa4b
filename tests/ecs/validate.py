#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a record what the Elastic Common Schema says it is, and what an index takes?

    validate.py FILE... | -        one JSON object a line; findings as FILE:LINE: FIELD: WHAT; exit status 1 if there are any

Every field must be in ecs-*-fields.json (Elastic's list) or in own-fields.json (mqtt.*, mqward.*, chain.*), with the JSON
type, the format and the values that stand there. Elasticsearch refuses a whole document for one field that is not."""
import datetime
import functools
import glob
import ipaddress
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
LONG = 1 << 63
KEYWORD_BYTES = 32766  # Lucene's longest term: Elasticsearch refuses the document for a longer one
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.A)
IP_FIELDS = ("source.ip", "destination.ip", "client.ip", "server.ip")
HASH_FIELDS = ("tls.client.hash.sha256", "mqtt.payload.sha256", "mqward.quarantine.sha256")
USER_FIELDS = ("user.name", "mqtt.username")


def _read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@functools.lru_cache(maxsize=None)
def ecs_table():
    """Elastic's list: {ecs, expected_types, fields}."""
    (path,) = glob.glob(os.path.join(HERE, "ecs-*-fields.json"))
    return _read(path)


@functools.lru_cache(maxsize=None)
def own_table():
    """Ours: {namespaces, required, fields}."""
    return _read(os.path.join(HERE, "own-fields.json"))


# ---- one value: each of these returns what is wrong, or None ----

def _keyword(spec):
    allowed = frozenset(spec["values"]) if "values" in spec else None
    pattern = re.compile(spec["pattern"]) if "pattern" in spec else None
    limit = spec.get("ignore_above", KEYWORD_BYTES)

    def check(value):
        if type(value) is not str:
            return f"{value!r} is no text"
        if 2 * len(value) > limit:  # of UTF-16, which Elasticsearch counts, a character is one unit or two
            if len(value.encode("utf-8", "surrogatepass")) > KEYWORD_BYTES:
                return f"a keyword of more than {KEYWORD_BYTES} bytes: Elasticsearch may refuse the document"
            if len(value.encode("utf-16-le", "surrogatepass")) // 2 > limit:
                return f"{len(value)} characters: Elasticsearch does not index a keyword of more than {limit}"
        if allowed is not None and value not in allowed:
            return f"{value!r} is not one of {', '.join(sorted(allowed))}"
        if pattern is not None and not pattern.fullmatch(value):
            return f"{value!r} does not match {pattern.pattern}"
        return None
    return check


def _text(_):
    return lambda value: None if type(value) is str else f"{value!r} is no text"


def _long(_):
    def check(value):
        if type(value) is not int:
            return f"{value!r} is no integer"
        return None if -LONG <= value < LONG else f"{value} is no 64 bit integer"
    return check


def _float(_):
    return lambda value: None if type(value) in (int, float) else f"{value!r} is no number"


def _boolean(_):
    return lambda value: None if type(value) is bool else f"{value!r} is neither true nor false"


def _date(_):
    def check(value):
        if type(value) is not str or not TIMESTAMP.fullmatch(value):
            return f"{value!r} is no timestamp with microseconds in UTC"
        try:
            datetime.datetime.fromisoformat(value[:-1])
        except ValueError as error:
            return f"{value!r}: {error}"
        return None
    return check


@functools.lru_cache(maxsize=65536)
def _is_ip(value):
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return "%" not in value


def _ip(_):
    return lambda value: None if type(value) is str and _is_ip(value) else f"{value!r} is no IP address"


CHECKS = {"keyword": _keyword, "constant_keyword": _keyword, "wildcard": _text, "match_only_text": _text, "text": _text, "long": _long,
          "integer": _long, "float": _float, "scaled_float": _float, "double": _float, "boolean": _boolean, "date": _date, "ip": _ip}


class _Leaf:
    """A field: how its values are checked."""

    def __init__(self, spec):
        self.array = spec.get("array", False)
        self.check = CHECKS[spec["type"]](spec) if spec["type"] in CHECKS else None  # None: an object of its own (labels)

    def findings(self, path, value, out):
        if self.check is None:
            if type(value) is not dict:
                out.append(f"{path}: {value!r} is no object")
        elif not self.array:
            wrong = "an array, where the schema has one value" if type(value) is list else self.check(value)
            if wrong:
                out.append(f"{path}: {wrong}")
        elif type(value) is not list or not value:
            out.append(f"{path}: {value!r} is no array with values, as the schema has it")
        else:
            out.extend(f"{path}: {wrong}" for wrong in map(self.check, value) if wrong)


class Schema:
    """The tables as a tree: a dict an object, a _Leaf a field."""

    def __init__(self, ecs=None, own=None):
        self.ecs, self.own = ecs or ecs_table(), own or own_table()
        self.tree, self.expected = {}, {name: frozenset(types) for name, types in self.ecs["expected_types"].items()}
        self.required = [path.split(".") for path in self.own["required"]]
        for table in (self.ecs, self.own):
            for path, spec in table["fields"].items():
                self._add(path, spec)

    def _add(self, path, spec):
        *parents, name = path.split(".")
        node = self.tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if isinstance(node, _Leaf):
                raise ValueError(f"{path}: {parent} is a field, not an object")
        if spec["type"] not in CHECKS and any(other.startswith(path + ".") for other in self.ecs["fields"]):
            return  # the list names some objects, too
        if name in node:
            raise ValueError(f"{path} is there twice")
        node[name] = _Leaf(spec)

    def _walk(self, prefix, node, value, out):
        for key, member in value.items():
            child = node.get(key)
            if child.__class__ is _Leaf:
                child.findings(prefix + key, member, out)
            elif child is None:
                out.append(f"{prefix}{key}: no such field")
            elif type(member) is not dict:
                out.append(f"{prefix}{key}: {member!r} is no object")
            elif not member:
                out.append(f"{prefix}{key}: an object without a field")
            else:
                self._walk(f"{prefix}{key}.", child, member, out)

    def findings(self, record):
        """What is wrong with a record (a dict), as texts "field: what"."""
        out = []
        if type(record) is not dict:
            return ["the record is no object"]
        self._walk("", self.tree, record, out)
        out.extend(f"{'.'.join(path)}: missing" for path in self.required if _get(record, path) is None)
        self._categories(record, out)
        _related(record, out)
        if _get(record, ("ecs", "version")) not in (None, self.ecs["ecs"]):
            out.append(f"ecs.version: {record['ecs']['version']!r}, checked against {self.ecs['ecs']}")
        return out

    def _categories(self, record, out):
        """Each type is one that a category of the event expects, and each category expects one of its types."""
        event = record.get("event")
        categories, types = (event.get("category"), event.get("type")) if type(event) is dict else (None, None)
        if type(categories) is not list or type(types) is not list:
            return  # found above
        for kind in types:
            if not any(kind in self.expected.get(category, ()) for category in categories if type(category) is str):
                out.append(f"event.type: {kind!r} is expected of none of {categories}")
        for category in categories:
            if type(category) is str and category in self.expected and not self.expected[category].intersection(types):
                out.append(f"event.category: {category!r} expects none of {types}")


def _get(record, path):
    for key in path:
        record = record.get(key) if type(record) is dict else None
    return record


def _related(record, out):
    """What is searched by related.* is found by it."""
    for name, paths, fold in (("ip", IP_FIELDS, False), ("hash", HASH_FIELDS, True), ("user", USER_FIELDS, False)):
        related = _get(record, ("related", name)) or ()
        for path in paths:
            value = _get(record, path.split("."))
            if type(value) is str and value not in related and not (fold and value.lower() in related):
                out.append(f"related.{name}: {path} {value!r} is not in it")


def _pairs(pairs):
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice")
    return result


def _constant(name):
    raise ValueError(f"{name} is no JSON")


def parse(line):
    """A line as a dict. ValueError for what is no JSON (RFC 8259), and for keys that are there twice."""
    return json.loads(line, object_pairs_hook=_pairs, parse_constant=_constant)


@functools.lru_cache(maxsize=None)
def schema():
    return Schema()


def findings(record):
    return schema().findings(record)


def findings_of_line(line):
    try:
        return findings(parse(line))
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        return [f"no JSON: {error}"]


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    records = wrong = 0
    for path in arguments:
        try:
            with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
                for number, line in enumerate(file, 1):
                    found = findings_of_line(line)
                    records += 1
                    wrong += bool(found)
                    for text in found:
                        print(f"{path}:{number}: {text}")
        except OSError as error:
            print(f"error: {path}: {error.strerror}", file=sys.stderr)
            return 2
    print(f"{records} records, {wrong} with findings (ECS {ecs_table()['ecs']})", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
