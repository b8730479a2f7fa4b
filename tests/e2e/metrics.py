# SPDX-License-Identifier: Apache-2.0
"""The admin listener for tests: its requests, and a strict reader of the text format of Prometheus."""
import http.client
import json
import os
import re
import shutil
import socket
import subprocess

from processes import wait_until

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LISTEN = {"admin": {"listen": "127.0.0.1:0"}}
TIMEOUT = 30

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
VALUE = re.compile(r"[0-9]+(\.[0-9]+)?")


def address(world):
    """Where the admin listener of a world is: (host, port), or the path of a socket."""
    text = world.proxy.logged("metrics and health are answered")[-1]["address"]
    if text.startswith("/"):
        return text
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


def dial(where, timeout=TIMEOUT):
    peer = socket.socket(socket.AF_UNIX if isinstance(where, str) else
                         socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
    peer.settimeout(timeout)
    peer.connect(where)
    return peer


def until_end(peer):
    """All that comes until the other side ends, well or not."""
    data = b""
    while True:
        try:
            part = peer.recv(65536)
        except ConnectionResetError:
            return data
        if not part:
            return data
        data += part


def exchange(where, request, timeout=TIMEOUT):
    """What is answered to these bytes."""
    with dial(where, timeout) as peer:
        peer.sendall(request)
        return until_end(peer)


class Connection(http.client.HTTPConnection):
    def __init__(self, where, timeout=TIMEOUT):
        super().__init__("localhost", timeout=timeout)
        self.where = where

    def connect(self):
        self.sock = dial(self.where, self.timeout)


def ask(where, path, method="GET", headers=None, body=None):
    """(status, headers, body) of a request."""
    connection = Connection(where)
    try:
        connection.request(method, path, headers=headers or {}, body=body)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


class Family:
    def __init__(self, name, kind, text):
        self.name, self.kind, self.text = name, kind, text
        self.series = {}  # (name of the series, ((label, value), ...)) -> number


def unescape(text):
    return re.sub(r'\\(["\\n])', lambda match: "\n" if match[1] == "n" else match[1], text)


def read_line(line):
    """(name, ((label, value), ...), number) of a sample."""
    match = NAME.match(line)
    assert match, line
    at, labels = match.end(), []
    if line[at] == "{":
        while line[at] != "}":
            label = LABEL.match(line, at + 1)
            assert label, line
            labels.append((label[1], unescape(label[2])))
            at = label.end()
            assert line[at] in ",}", line
        at += 1
    assert line[at] == " " and VALUE.fullmatch(line[at + 1:]), line
    return match[0], tuple(labels), float(line[at + 1:])


def check_histogram(family):
    """Each set of labels has rising buckets that end in +Inf, the count; and a sum."""
    sets = {tuple(pair for pair in labels if pair[0] != "le") for _, labels in family.series}
    for labels in sets:
        buckets = [(dict(own)["le"], number) for (name, own), number in family.series.items()
                   if name.endswith("_bucket") and tuple(pair for pair in own if pair[0] != "le") == labels]
        assert [number for _, number in buckets] == sorted(number for _, number in buckets), family.name
        bounds = [float(bound) for bound, _ in buckets]
        assert bounds == sorted(set(bounds)) and buckets[-1][0] == "+Inf", family.name
        assert family.series[f"{family.name}_count", labels] == buckets[-1][1]
        assert (f"{family.name}_sum", labels) in family.series


def parse(text):
    """{name: Family} of a scrape; every line is held to the format."""
    families, family = {}, None
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, words = line[7:].split(" ", 1)
            assert name not in families
            families[name] = family = Family(name, None, words)
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family.name and family.kind is None and not family.series
            family.kind = line.split(" ")[3]
        else:
            name, labels, number = read_line(line)
            assert family.kind == "histogram" and name in (f"{family.name}_bucket", f"{family.name}_sum",
                                                           f"{family.name}_count") or name == family.name, line
            assert (name, labels) not in family.series, line
            assert len({label for label, _ in labels}) == len(labels), line
            family.series[name, labels] = number
    for one in families.values():
        assert one.series and one.kind in ("counter", "gauge", "histogram")
        assert (one.kind == "counter") == one.name.endswith("_total")
        if one.kind == "histogram":
            check_histogram(one)
    return families


class Scrape:
    """The numbers of one moment."""

    def __init__(self, world):
        status, headers, body = ask(address(world), "/metrics")
        assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
        self.text = body.decode()
        self.families = parse(self.text)

    def __call__(self, name, /, **labels):
        """The number of a series; of a histogram by the names of its series. None: it is not there."""
        wanted = tuple(labels.items())
        for family in self.families.values():
            for (series, own), number in family.series.items():
                if series == name and own == wanted:
                    return number
        return None

    def all(self, name):
        """{labels as a dict's items: number} of a family."""
        return self.families[name].series

    def counters(self):
        """All that may only grow."""
        return {key: number for family in self.families.values() for key, number in family.series.items()
                if family.kind == "counter" or family.kind == "histogram"}


def scrape_when(world, condition, what):
    """The first scrape that is as it should be."""
    last = []

    def look():
        last[:] = [Scrape(world)]
        return last[0] if condition(last[0]) else None
    try:
        return wait_until(look, what)
    except AssertionError:
        print(last[0].text if last else "no scrape")
        raise


def status(world):
    code, headers, body = ask(address(world), "/status")
    assert (code, headers["Content-Type"]) == (200, "application/json")
    return json.loads(body)


def promtool(text):
    """What promtool has to say against it; scripts/install-test.sh installs it."""
    tool = shutil.which("promtool")
    assert tool, "promtool (Debian's prometheus) is missing"
    done = subprocess.run([tool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=60,
                          check=False, env={**os.environ, "LC_ALL": "C"})
    return done.returncode, done.stdout.decode() + done.stderr.decode()
