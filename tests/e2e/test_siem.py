# SPDX-License-Identifier: Apache-2.0
"""examples/siem: the files for what is not in Debian are parsed and held against the tables of fields, actions and reasons;
the installer for Elasticsearch runs."""
import copy
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
import yaml

from ecs import GOOD  # first: it makes tests/ecs a place of modules
import template
import validate
from siem import actions, documented, names, path_of, read, reasons

pytestmark = pytest.mark.brokerless


# ---- Elasticsearch ----

def leaves(properties, prefix=""):
    for name, node in properties.items():
        if "properties" in node:
            yield from leaves(node["properties"], f"{prefix}{name}.")
        else:
            yield prefix + name, node


def test_the_mappings_are_those_of_the_field_tables():
    """tests/ecs/template.py >examples/siem/elasticsearch/mappings.json writes them anew."""
    assert json.loads(read("elasticsearch", "mappings.json")) == template.template()


def test_every_field_of_the_manual_is_mapped():
    mapped = dict(leaves(json.loads(read("elasticsearch", "mappings.json"))["template"]["mappings"]["properties"]))
    table = {**validate.ecs_table()["fields"], **validate.own_table()["fields"]}
    assert set(documented()) - set(mapped) == set()
    for name, node in mapped.items():
        assert node["type"] in (table[name]["type"], "constant_keyword"), name
        if node["type"] == "keyword":
            assert node["ignore_above"] >= 1024, name


@pytest.mark.parametrize("name", names("elasticsearch/*.json") + names("grafana/*.json"))
def test_json_is_json_without_keys_that_are_there_twice(name):
    validate.parse(read(name))


def test_the_templates_name_each_other():
    index = json.loads(read("elasticsearch", "index-template.json"))
    settings = json.loads(read("elasticsearch", "settings.json"))["template"]["settings"]["index"]
    install = dict(re.findall(r"^put (\S+) (\S+)$", read("elasticsearch", "install.sh"), re.M))
    parts = {path.split("/")[1] for path in install if path.startswith("_component_template/")}
    assert parts == set(index["composed_of"]) - set(index["ignore_missing_component_templates"])
    assert f"_ilm/policy/{settings['lifecycle']['name']}" in install
    assert f"_ingest/pipeline/{settings['default_pipeline']}" in install
    assert sorted(install.values()) == [os.path.basename(name) for name in names("elasticsearch/*.json")]
    # Built in is logs-*-* with 100; ours has to win.
    assert index["priority"] > 100 and index["data_stream"] == {}


class Answering(http.server.BaseHTTPRequestHandler):
    """Takes what the installer puts."""

    def do_PUT(self):  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers["Authorization"], self.headers["Content-Type"], json.loads(body)))
        status = 400 if self.server.refuses in self.path else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def elasticsearch():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.requests, server.refuses = [], "nothing"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def install(server, **environment):
    return subprocess.run([path_of("elasticsearch", "install.sh")], capture_output=True, timeout=60, check=False, text=True,
                          env={"PATH": os.environ["PATH"], "ES": f"http://127.0.0.1:{server.server_address[1]}/", **environment})


def test_the_installer_puts_everything_in_an_order_that_works(elasticsearch):
    result = install(elasticsearch, ES_API_KEY="c2VjcmV0")
    assert result.returncode == 0, result.stderr
    paths = [path for path, *_ in elasticsearch.requests]
    assert [path.split("/")[1] for path in paths] == ["_ilm", "_ingest", "_component_template", "_component_template", "_index_template"]
    assert all(key == "ApiKey c2VjcmV0" and kind == "application/json" for _, key, kind, _ in elasticsearch.requests)
    assert elasticsearch.requests[2][3] == template.template()


def test_the_installer_stops_at_an_error(elasticsearch):
    elasticsearch.refuses = "_component_template"
    assert install(elasticsearch, ES_API_KEY="x").returncode != 0
    assert len(elasticsearch.requests) == 3
    assert "API key" in install(elasticsearch).stderr


# ---- Logstash: a parser of its configuration language, for want of Logstash ----

TOKEN = re.compile(r"""\s+|\#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|=>|==|!=|[{}\[\](),]|[\w@.:/*-]+""", re.S)


class Logstash:
    """pipeline: (input|filter|output) { plugin {...} | if ... {...} else {...} }; fails where it is no such thing."""

    def __init__(self, text):
        self.tokens, at = [], 0
        while at < len(text):
            match = TOKEN.match(text, at)
            assert match, f"no token: {text[at:at + 40]!r}"
            if not match[0].isspace() and not match[0].startswith("#"):
                self.tokens.append(match[0])
            at = match.end()
        self.at, self.plugins = 0, []
        while self.at < len(self.tokens):
            section = self.take()
            assert section in ("input", "filter", "output"), section
            self.block(section)

    def take(self, wanted=None):
        assert self.at < len(self.tokens), "it ends too early"
        token = self.tokens[self.at]
        self.at += 1
        assert wanted is None or token == wanted, f"{token!r} where {wanted!r} is expected"
        return token

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def block(self, section):
        self.take("{")
        while self.peek() != "}":
            name = self.take()
            if name in ("if", "else"):
                while self.peek() != "{":
                    self.take()
                self.block(section)
            else:
                self.plugins.append((section, name, self.settings()))
        self.take("}")

    def settings(self):
        self.take("{")
        found = {}
        while self.peek() != "}":
            name = self.take()
            assert re.fullmatch(r"\w+", name), name
            self.take("=>")
            assert name not in found, f"{name} is there twice"
            found[name] = self.value()
        self.take("}")
        return found

    def value(self):
        token = self.take()
        if token == "[":
            items = []
            while self.peek() != "]":
                items.append(self.value())
                if self.peek() == ",":
                    self.take()
            self.take("]")
            return items
        assert token not in "{}](),=>", token
        if self.peek() == "{":  # a codec
            return token, self.settings()
        return token[1:-1] if token[0] in "\"'" else token


# What the plugins of Logstash 8.13 to 9 know, of what is used here.
KNOWN = {
    "redis": {"id", "data_type", "key", "host", "port", "ssl", "password", "batch_count", "codec"},
    "file": {"id", "path", "mode", "start_position", "sincedb_path", "codec"},
    "mutate": {"remove_field"},
    "elasticsearch": {"id", "hosts", "api_key", "ssl_enabled", "ssl_certificate_authorities", "data_stream", "data_stream_type",
                      "data_stream_dataset", "data_stream_namespace", "data_stream_auto_routing"},
}


@pytest.mark.parametrize("name", names("logstash/*.conf"))
def test_a_logstash_pipeline_is_well_formed_and_writes_to_the_data_stream(name):
    plugins = Logstash(read(name)).plugins
    for _, plugin, settings in plugins:
        assert set(settings) - KNOWN[plugin] == set()
    (output,) = [settings for section, plugin, settings in plugins if (section, plugin) == ("output", "elasticsearch")]
    stream = "-".join(output[f"data_stream_{part}"] for part in ("type", "dataset", "namespace"))
    assert stream == "logs-mqward.audit-default" and output["data_stream"] == "true"
    for section, _, settings in plugins:
        if section == "input":
            assert settings["codec"] == ("json", {"ecs_compatibility": "v8"})


@pytest.mark.parametrize("text", ["input { redis { key => } }", "input { redis { key \"x\" } }", "input { redis { } ", "inputs { }",
                                  "input { redis { a => 1 a => 2 } }"])
def test_the_parser_of_logstash_configurations_can_fail(text):
    with pytest.raises(AssertionError):
        Logstash(text)


# ---- Vector, Filebeat ----

@pytest.mark.parametrize("name", names("vector/*.yaml"))
def test_a_vector_configuration_is_one_graph(name):
    document = yaml.safe_load(read(name))
    made = {*document["sources"], *document["transforms"]}
    used = {source for kind in ("transforms", "sinks") for node in document[kind].values() for source in node["inputs"]}
    assert used == made
    for node in document["transforms"].values():
        assert node["type"] == "remap" and node["drop_on_error"] is False
        assert ". = object!(parse_json!(string!(.message)))" in node["source"]
    for node in document["sources"].values():
        assert node["type"] in ("file", "redis")
        if node["type"] == "file":
            assert node["max_line_bytes"] >= 256 * 1024
    for label in re.findall(r"\{\{ ([\w.]+) \}\}", read(name)):
        assert label in documented()


def test_the_data_stream_is_the_same_everywhere():
    stream = yaml.safe_load(read("vector", "elasticsearch.yaml"))["sinks"]["siem"]["data_stream"]
    assert f"{stream['type']}-{stream['dataset']}-{stream['namespace']}" == "logs-mqward.audit-default"
    filebeat = yaml.safe_load(read("filebeat", "filebeat.yml"))
    assert filebeat["output.elasticsearch"]["index"] == "logs-mqward.audit-default"
    (source,) = filebeat["filebeat.inputs"]
    assert source["type"] == "filestream"
    assert source["parsers"] == [{"ndjson": {"target": "", "overwrite_keys": True, "add_error_key": True}}]
    assert source["message_max_bytes"] >= 256 * 1024 and source["prospector.scanner.fingerprint"]["length"] >= 160
    assert not {field.split(".")[0] for field in filebeat["processors"][0]["drop_fields"]["fields"]} & {
        field.split(".")[0] for field in documented()}


@pytest.mark.parametrize("name", names("*/*.y*ml"))
def test_yaml_is_yaml_and_holds_no_secret(name):
    assert list(yaml.safe_load_all(read(name)))
    for secret in re.findall(r"(?:password|api_key): *(\S+)", read(name)):
        assert "${" in secret, secret


# ---- Sigma ----

def value_at(record, field):
    for key in field.split("."):
        record = record.get(key) if isinstance(record, dict) else None
    return record


def sigma_matches(rule, record):
    """Of Sigma what the rules use: maps of fields to a value or a list of them, and names with `or`."""
    def selected(selection):
        for field, wanted in selection.items():
            have = value_at(record, field)
            have = have if isinstance(have, list) else [have]
            if not set(have) & set(wanted if isinstance(wanted, list) else [wanted]):
                return False
        return True
    detection = rule["detection"]
    return any(selected(detection[name]) for name in detection["condition"].split(" or "))


@pytest.mark.parametrize("name", names("sigma/*.yml"))
def test_a_sigma_rule_names_what_there_is_and_finds_it(name):
    rule = yaml.safe_load(read(name))
    assert rule["logsource"] == {"product": "mqward", "service": "audit"} and rule["level"] in ("low", "medium", "high", "critical")
    assert set(rule["fields"]) - set(documented()) == set()
    selections = {key: value for key, value in rule["detection"].items() if key != "condition"}
    assert set(selections) == set(rule["detection"]["condition"].split(" or "))
    assert not sigma_matches(rule, GOOD)
    for selection in selections.values():
        assert set(selection) - set(documented()) == set()
        wanted = {field: value if isinstance(value, list) else [value] for field, value in selection.items()}
        assert set(wanted.get("event.action", ())) - set(actions()) == set()
        assert set(wanted.get("event.reason", ())) - reasons() == set()
        for action in wanted.get("event.action", ["mqtt-publish-denied"]):
            kind, categories, types = actions()[action]
            for reason in wanted.get("event.reason", ["none"]):
                record = copy.deepcopy(GOOD)
                record["event"].update(action=action, kind=kind, category=categories.split(","), type=types.split(","), reason=reason)
                assert sigma_matches(rule, record), (action, reason)


def test_sigma_rules_have_ids_of_their_own():
    ids = [yaml.safe_load(read(name))["id"] for name in names("sigma/*.yml")]
    assert len(ids) == len(set(ids)) >= 6
