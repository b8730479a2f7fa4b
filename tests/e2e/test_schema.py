# SPDX-License-Identifier: Apache-2.0
"""`mqward policy schema`: takes every policy that mqward takes, and refuses what is wrong with a policy's form."""
import glob
import json
import os

import jsonschema
import pytest
import yaml

from servers import run_cli

pytestmark = pytest.mark.brokerless

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
GOOD = sorted(glob.glob(os.path.join(ROOT, "tests", "policies", "good", "*.yaml")) +
              glob.glob(os.path.join(ROOT, "tests", "policies", "good", "*.d", "*.yaml")) +
              glob.glob(os.path.join(ROOT, "examples", "*", "policy*.yaml")))
BAD = sorted(glob.glob(os.path.join(ROOT, "tests", "policies", "bad", "*.yaml")))

# What a schema can't see, file by file.
UNSEEN = {
    "names that are defined elsewhere": (
        "cert-path-for-ca", "cert-unknown-ca", "password-unknown-file", "group-unknown-attribute", "rule-unknown-group",
        "rule-who-a-source", "rule-who-an-identity", "rule-who-everybody", "client-id-itself", "client-id-unknown-placeholder",
        "group-member"),
    "names that are given twice": ("rule-name-twice", "rules-three-alike", "group-everyone"),
    "keys that do not go together": (
        "condition-of-other-verb", "deny-retain-of-receive", "deny-retain-of-subscribe", "deny-with-bounds", "deny-with-features",
        "deny-with-max-qos", "publish-with-shared", "subscribe-with-delayed", "subscribe-with-size", "group-empty", "check-by",
        "check-connects-topics", "check-connects-who", "check-rate-bursts", "checks-too-many", "on-deny-repeat-by-without-ban",
        "check-signature-receive", "check-signature-together", "check-yara-receive", "check-yara-told", "checks"),
    "what the other files of a folder may have": ("name-missing",),
    "numbers behind their units, and levels": ("limits-duration-too-long", "topic-too-deep"),
    "what tests say, and what comes of it": (
        "tests-acts", "tests-clients", "tests-failed", "tests-mistaken", "tests-signed", "tests-signatures-failed", "tests-matches",
        "tests-matches-failed"),
    "the text as it was written, where a reader of YAML knows it no more": (
        "duplicate-key", "group-twice", "version-decimal", "yaml-anchor", "yaml-byte-order-mark", "yaml-directive", "yaml-keys-twice",
        "yaml-missing-comma", "yaml-missing-dash-in-topics", "yaml-missing-dash", "yaml-reordering", "yaml-yes"),
}


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    result = run_cli("policy", "schema", folder=tmp_path_factory.mktemp("schema"))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def validator(schema):
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def test_it_is_the_file_that_is_installed(schema):
    with open(os.path.join(ROOT, "docs", "policy.v1.schema.json"), encoding="utf-8") as file:
        assert json.load(file) == schema


@pytest.mark.parametrize("path", GOOD, ids=lambda path: os.path.relpath(path, ROOT))
def test_a_good_policy_is_valid(validator, path):
    assert [error.message for error in validator.iter_errors(load(path))] == []


def name_of(path):
    return os.path.basename(path)[:-5]


def is_valid(validator, path):
    """False also for what is not even YAML."""
    try:
        return validator.is_valid(load(path))
    except (yaml.YAMLError, UnicodeError):
        return False


UNSEEN_NAMES = {name for names in UNSEEN.values() for name in names}


@pytest.mark.parametrize("path", [path for path in BAD if name_of(path) not in UNSEEN_NAMES], ids=name_of)
def test_a_bad_form_is_refused(validator, path):
    assert not is_valid(validator, path)


def test_what_a_schema_can_see_is_not_exempt(validator):
    """An entry of UNSEEN that is refused, or is gone, goes from the list."""
    assert UNSEEN_NAMES <= {name_of(path) for path in BAD}
    assert [name_of(path) for path in BAD if name_of(path) in UNSEEN_NAMES and not is_valid(validator, path)] == []


def test_most_bad_policies_are_refused():
    assert len([path for path in BAD if name_of(path) not in UNSEEN_NAMES]) >= 120


def properties(schema, path=""):
    """All properties of a schema: (path, schema of the property)."""
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
    for key, inner in schema.items():
        if isinstance(inner, dict):
            yield from properties(inner, f"{path}.{key}")
        elif isinstance(inner, list):
            for item in inner:
                if isinstance(item, dict):
                    yield from properties(item, path)


def test_every_key_has_a_type_and_a_description(schema):
    found = dict(properties(schema))
    assert len(found) >= 50
    for path, inner in found.items():
        assert {"type", "enum", "anyOf"} & set(inner), f"{path}: its row in the keyword table needs shape or like"
        assert inner.get("description"), f"{path}: its row in the keyword table needs help"


def test_unknown_keys_are_refused_everywhere(schema):
    def objects(node):
        if isinstance(node, dict):
            if "properties" in node and node.get("type") == "object":
                yield node
            for inner in node.values():
                yield from objects(inner)
        elif isinstance(node, list):
            for inner in node:
                yield from objects(inner)
    found = list(objects(schema))
    assert len(found) >= 10
    assert all(node["additionalProperties"] is False for node in found)


@pytest.mark.parametrize("text,valid", (
    ("10s", True), ("0", True), ("0s", True), ("24h", True), ("500ms", True), ("10", False), ("1.5h", False), ("10 s", False), ("s", False),
))
def test_durations(validator, text, valid):
    assert validator.is_valid(yaml.safe_load(f"version: 1\npolicy: p\nlimits: {{session_expiry: {text}}}")) is valid


@pytest.mark.parametrize("text,valid", (
    ("1KiB", True), ("4096", True), ("1MB", True), ("200B", True), ("64Kib", False), ("1 KiB", False), ("64", False), ("1.5MiB", False),
))
def test_sizes(validator, text, valid):
    assert validator.is_valid(yaml.safe_load(f"version: 1\npolicy: p\nlimits: {{packet: {text}}}")) is valid


@pytest.mark.parametrize("text,valid", (
    ("0%", True), ("100%", True), ("0.5%", True), ("99.9999%", True), ("100.0%", True), ("100.1%", False), ("101%", False), ("1", False), ("05%", False),
))
def test_shares(validator, text, valid):
    assert validator.is_valid(yaml.safe_load(f"version: 1\npolicy: p\naudit: {{allow: {text}}}")) is valid


@pytest.mark.parametrize("arguments,status", ((("policy",), 2), (("policy", "shema"), 2), (("policy", "schema", "x"), 2), (("policy", "--help"), 0),
                                              (("policy", "schema", "--help"), 0), (("help", "policy"), 0), (("help", "policy", "schema"), 0)))
def test_the_command_line(tmp_path, arguments, status):
    result = run_cli(*arguments, folder=tmp_path)
    assert result.returncode == status, result.stdout + result.stderr
    assert "schema" in result.stdout + result.stderr
