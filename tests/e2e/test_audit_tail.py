# SPDX-License-Identifier: Apache-2.0
"""mqward audit tail: what people see of the journal, also while it grows, rotates and its writer restarts."""
import contextlib
import json
import os
import pty
import re
import signal
import subprocess

import pytest

import raw
from servers import binary, run_cli, sanitizer_environment, wait_until
from world import ALLOW_ALL

pytestmark = pytest.mark.brokerless
POLICY = ALLOW_ALL.replace('topics: ["#"]', 'topics: ["open/#"]')
SMALL = {"audit": {"segment": "16KiB"}}


def deny(world, *topics, name="thief"):
    client = world.connected(name)
    for topic in topics:
        client.send(raw.publish(client.version, topic, b"x"))
    client.ping()
    client.disconnect()


@pytest.fixture(scope="module")
def world(make_shared_world):
    world = make_shared_world(POLICY, configuration=SMALL)
    deny(world, *(f"closed/{number}" for number in range(100)))
    deny(world, "closed/other", name="other")
    world.audit.wait_for_count(2, action="mqtt-disconnect")  # nothing more comes by itself
    return world


def tail(world, *arguments):
    result = run_cli("audit", "tail", *arguments, folder=world.proxy.folder)
    assert result.returncode == 0, result.stderr
    return result.stdout.split("\n")[:-1]  # not at U+2028


class Follower:
    """mqward audit tail -f, its output in a pipe or on a terminal."""

    def __init__(self, world, *arguments, terminal=False, directory="audit"):
        self.text = b""
        self.master, output = pty.openpty() if terminal else os.pipe()
        environment = {**sanitizer_environment(world.proxy.folder), "TERM": "xterm"}
        environment.pop("NO_COLOR", None)
        command = [binary(), "audit", "tail", "-f", *arguments, directory]
        self.process = subprocess.Popen(command, cwd=world.proxy.folder, stdin=subprocess.DEVNULL, stdout=output,
                                        stderr=output, env=environment)
        os.close(output)
        os.set_blocking(self.master, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(15) == -signal.SIGINT, self.text.decode()
        os.close(self.master)

    def read(self):
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self.master, 65536):
                self.text += data
        return self.text.decode()

    def wait_for(self, pattern, count=1):
        wait_until(lambda: len(re.findall(pattern, self.read(), re.M)) >= count, f"{pattern!r} in what was shown")
        return re.findall(pattern, self.text.decode(), re.M)


def test_one_readable_line_an_event(world):
    lines = tail(world, "-c", world.proxy.path, "--where", "mqtt.topic=closed/other")
    assert len(lines) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z  medium    mqtt-publish-denied  "
                        r"anonymous claims client other \(127\.0\.0\.1\)  closed/other"
                        r"  rule default deny  no_allow", lines[0]), lines


def test_the_last_ones(world):
    everything = tail(world, "-n", "100000", "audit")
    assert len(everything) > 100 and tail(world, "audit") == everything[-10:]
    assert tail(world, "-n", "37", "audit") == everything[-37:]
    assert tail(world, "-n", "0", "audit") == []
    denied = [line for line in everything if "mqtt-publish-denied" in line]
    assert tail(world, "-n", "55", "-w", "event.action=*publish-denied", "audit") == denied[-55:]
    assert tail(world, "-n", "100000", "-w", "event.action=*publish-denied", "audit") == denied


def test_filters_are_fields_with_values(world):
    def count(*conditions):
        return len(tail(world, "-n", "100000", *(word for condition in conditions for word in ("--where", condition)), "audit"))
    assert count("mqtt.topic=closed/5") == 1
    assert count("mqtt.topic=closed/5*") == 11
    assert count("mqtt.topic=closed/5*", "event.reason=no_allow") == 11
    assert count("mqtt.topic=closed/5*", "event.reason=other") == 0
    assert count("mqtt.client_id=other", "mqtt.topic=closed/*") == 1
    assert count("event.severity=47", "mqtt.topic=closed/*") == 101
    assert count("mqtt.retained=false", "mqtt.topic=closed/*") == 101
    assert count("event.type=denied", "mqtt.topic=closed/*") == 101, "one element of a list is enough"
    assert count("mqtt.topic=closed") == 0, "the whole value"
    assert count("mqtt.topic=a=b>=c") == 0, "the first operator is the one"
    assert count("mqtt.topic!=closed/5", "mqtt.topic=closed/*") == 100
    assert count("event.type!=denied", "mqtt.topic=closed/*") == 0, "no element of the list"
    assert count("mqtt.topic!=closed/*") == count() - 101 > 0, "a field that is not there is not that"
    for condition, expected in ((">=47", 101), (">46", 101), ("<=47", 101), ("<48", 101), (">47", 0), ("<47", 0)):
        assert count(f"event.severity{condition}", "mqtt.topic=closed/*") == expected, condition
    assert count("mqtt.qos<1", "mqtt.topic=closed/*") == 101 and count("mqtt.qos<1") == count("mqtt.qos=0")


def test_a_severity_is_that_and_above(world):
    everything = tail(world, "-n", "1000", "audit")
    for level, names in (("low", ("low", "medium", "high", "critical")), ("medium", ("medium", "high", "critical")),
                         ("high", ("high", "critical")), ("critical", ("critical",))):
        wanted = [line for line in everything if line.split()[1] in names]
        assert tail(world, "-n", "1000", "--severity", level, "audit") == wanted
    assert len(tail(world, "-n", "1000", "--severity", "medium", "-w", "mqtt.topic=closed/1*", "audit")) == 11


def test_json_is_the_lines_of_the_journal(world):
    lines = tail(world, "--json", "-n", "100000", "audit")
    folder = os.path.join(world.proxy.folder, "audit")
    text = "".join(open(os.path.join(folder, name), encoding="utf-8").read()
                   for name in sorted(os.listdir(folder)) if name.endswith(".ndjson"))
    assert lines == text.splitlines()


def test_from_a_time_on(world):
    events = [json.loads(line) for line in tail(world, "--json", "-n", "100000", "audit")]
    middle = events[60]
    for since in (middle["event"]["id"], middle["event"]["created"]):
        found = [json.loads(line)["event"]["id"] for line in tail(world, "--json", "--since", since, "audit")]
        wanted = [event["event"]["id"] for event in events if event["event"]["created"] >= middle["event"]["created"]]
        assert found == wanted or since == middle["event"]["id"] and found == [event["event"]["id"] for event in events[60:]]
    assert len(tail(world, "--since", "1h", "audit")) == len(events)
    assert tail(world, "--since", "0", "audit") == []
    assert tail(world, "--since", "2h", "-n", "3", "audit") == tail(world, "-n", "3", "audit")


@pytest.mark.parametrize("arguments, message", [
    (("--since", "yesterday", "audit"), "--since: expected a time"),
    (("--since", "2026-13-01T00:00:00Z", "audit"), "--since: expected a time"),
    (("--since", "0000000000000001-1", "audit"), "does not have event 0000000000000001-1"),
    (("--where", "topic", "audit"), "expected FIELD=VALUE"),
    (("--where", "=x", "audit"), "expected FIELD=VALUE"),
    (("--where", "mqtt.topik=x", "audit"), "a record has no field 'mqtt.topik': did you mean 'mqtt.topic'?"),
    (("-f", "--where", "user=plc-7", "audit"), "a record has no field 'user'"),
    (("--where", "mqtt=*", "audit"), "a record has no field 'mqtt'"),
    (("--where", "mqtt.topic.more=*", "audit"), "a record has no field 'mqtt.topic.more'"),
    (("--where", "mqtt.topic>=x", "audit"), "only numbers are more or less than others, and mqtt.topic is none"),
    (("--where", "event.severity>=high", "audit"), "event.severity is a number, found 'high'"),
    (("--where", "event.severity=high", "audit"), "event.severity is a number, found 'high'"),
    (("--where", "mqtt.retained=yes", "audit"), "mqtt.retained is true or false, found 'yes'"),
    (("--severity", "hi", "audit"), "expected low, medium, high or critical, found 'hi'"),
    (("-w", "event.severity=47", "mqtt.qos=0", "audit"), "unexpected argument"),
    (("-n", "-1", "audit"), "--lines: expected a number"),
    (("--color", "red", "audit"), "expected auto, always or never"),
    (("nowhere",), "nowhere: No such file"),
    (("audit", "more"), "unexpected argument 'more'"),
])
def test_what_it_does_not_understand(world, arguments, message):
    result = run_cli("audit", "tail", *arguments, folder=world.proxy.folder)
    assert result.returncode == 2 and message in result.stderr, result.stderr


def test_the_help_says_that_a_condition_may_be_given_again(world):
    text = run_cli("audit", "tail", "--help", folder=world.proxy.folder).stdout
    assert re.search(r"-w, --where FIELD=VALUE .*; may be given again$", text, re.M), text


# ---- what it shows of an event ----

def event_of(world):
    return json.loads(tail(world, "--json", "-n", "1", "-w", "mqtt.topic=closed/other", "audit")[0])


def shown(world, folder, event, **changes):
    """The line of this event: changes are fields with '__' for the dot; None takes one away."""
    event = json.loads(json.dumps(event))
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = event
        for parent in parents:
            place = place.setdefault(parent, {})
        place.pop(name, None)
        if value is not None:
            place[name] = value
    path = folder / f"journal-{event['event']['id'][:16]}-00000000000000000001.ndjson"
    path.write_text(json.dumps(event, separators=(",", ":")) + "\n", encoding="utf-8")
    lines = tail(world, str(folder))
    assert len(lines) == 1
    return lines[0].split("  ", 3)[-1]


@pytest.mark.parametrize("text, quoted", [
    ("dt/plc-7/  rule allow-all (policy.yaml:3)", '"dt/plc-7/  rule allow-all (policy.yaml:3)"'),
    ("dt/x" + " " * 1000, '"dt/x' + " " * 116 + '"...'),
    ('x"  rule allow-all', '"x\\"  rule allow-all"'),
    ("x\u2003\u2003rule", "x??rule"),
    ("dt/\u05d0\u05d1 1", '"\u2068dt/\u05d0\u05d1 1\u2069"'),
    ("a" + "\u0301" * 20, "a\u0301\u0301\u0301" + "?" + "\u0301\u0301\u0301?" * 4),
])
def test_no_text_of_a_client_looks_like_another_part(world, tmp_path, text, quoted):
    event, rule = event_of(world), "rule default deny  no_allow"
    assert shown(world, tmp_path, event, mqtt__topic=text) == \
        f"mqtt-publish-denied  anonymous claims client other (127.0.0.1)  {quoted}  {rule}"
    assert shown(world, tmp_path, event, user__name=text) == \
        f"mqtt-publish-denied  {quoted} claims client other (127.0.0.1)  closed/other  {rule}"
    assert shown(world, tmp_path, event, mqtt__client_id=text) == \
        f"mqtt-publish-denied  anonymous claims client {quoted} (127.0.0.1)  closed/other  {rule}"
    assert shown(world, tmp_path, event, mqtt__response_topic=text) == \
        f"mqtt-publish-denied  anonymous claims client other (127.0.0.1)  closed/other  response topic {quoted}  {rule}"


def test_a_name_that_was_not_proven_is_a_claim(world, tmp_path):
    event = event_of(world)
    event["event"]["action"] = "mqtt-connect-refused"
    del event["mqtt"]["topic"], event["rule"]
    refused = {"event__reason": "identity_no_credential", "user__name": None}
    assert shown(world, tmp_path, event, mqtt__client_id="admin  (10.0.0.1)  rule allow-all", **refused) == \
        'mqtt-connect-refused  claims client "admin  (10.0.0.1)  rule allow-all" (127.0.0.1)  identity_no_credential'
    assert shown(world, tmp_path, event, mqtt__username="eva", mqtt__client_id="plc-7-1", **refused) == \
        "mqtt-connect-refused  claims user eva client plc-7-1 (127.0.0.1)  identity_no_credential"
    wrong = {"event__reason": "password_wrong", "user__name": "eva", "mqward__identity_source": "password"}
    assert shown(world, tmp_path, event, mqtt__client_id="eva", **wrong) == \
        "mqtt-connect-refused  claims user eva (127.0.0.1)  password_wrong"
    assert shown(world, tmp_path, event, mqtt__client_id="plc-7", mqtt__username="adam", mqtt__packet="connack",
                 event__reason="broker_refused", user__name="plc-7", mqward__identity_source="broker") == \
        "mqtt-connect-refused  claims user plc-7 (127.0.0.1)  broker_refused"
    event["event"]["action"] = "mqtt-protocol-error"
    assert shown(world, tmp_path, event, user__name=None, mqward__identity_source=None, mqtt__client_id="plc-7") == \
        "mqtt-protocol-error  claims client plc-7 (127.0.0.1)  no_allow"


def test_the_broker_proves_a_name_when_it_accepts_the_connect(world, tmp_path):
    event = event_of(world)
    del event["rule"]
    event["mqtt"]["packet"] = "connect"
    named = {"user__name": "eva", "mqward__identity_source": "broker"}
    for action, who in (("mqtt-will-denied", "claims user eva client other"), ("mqtt-connect-accepted", "eva")):
        event["event"]["action"] = action
        assert shown(world, tmp_path, event, **named) == f"{action}  {who} (127.0.0.1)  closed/other  no_allow"
    event["event"]["action"], event["mqtt"]["packet"] = "mqtt-publish-denied", "publish"
    assert shown(world, tmp_path, event, **named) == "mqtt-publish-denied  eva (127.0.0.1)  closed/other  no_allow"


@pytest.mark.parametrize("source", ["cert", "jwt"])
def test_a_refused_connect_of_somebody_who_is_proven_has_both_names(world, tmp_path, source):
    event = event_of(world)
    del event["mqtt"]["topic"], event["rule"]
    event["event"].update(action="mqtt-connect-refused", reason="client_id_in_use")
    proven = {"user__name": "plc-7", "mqward__identity_source": source}
    for changes, who in (({"mqtt__client_id": "plc-8"}, "plc-7 claims client plc-8"),
                         ({"mqtt__client_id": "plc-7"}, "plc-7"), ({"mqtt__client_id": None}, "plc-7"),
                         ({"mqtt__username": "eva"}, "plc-7 claims user eva client other")):
        assert shown(world, tmp_path, event, **proven, **changes) == \
            f"mqtt-connect-refused  {who} (127.0.0.1)  client_id_in_use"


def test_a_certificate_that_is_refused_is_not_a_claim(make_world):
    policy = POLICY.replace("  - anonymous: {id: anonymous}", "  - cert: {ca: fleet, id: san.uri, strip: \"urn:dev:\"}")
    world = make_world(policy + "limits: {sessions_per_id: 1}\n")
    first = world.connected("first", certificate=world.certs.plc7)
    world.client(raw.V5, certificate=world.certs.plc7).connect("second", code=0x97)
    first.ping()
    world.audit.wait_for(reason="sessions_exceeded")
    lines = [line.split("  ", 3)[-1] for line in tail(world, "audit")]
    assert "mqtt-connect-refused  plc-7 claims client second (127.0.0.1)  sessions_exceeded" in lines


def test_anonymous_clients_are_told_apart(world, tmp_path):
    event, rest = event_of(world), "(127.0.0.1)  closed/other  rule default deny  no_allow"
    for changes, who in (({"mqtt__client_id": "anonymous"}, "anonymous"), ({"mqtt__client_id": None}, "anonymous"),
                         ({"mqtt__username": "eva"}, "anonymous claims user eva client other"),
                         ({"mqward__identity_source": "password"}, "anonymous")):
        assert shown(world, tmp_path, event, **changes) == f"mqtt-publish-denied  {who} {rest}"


@pytest.mark.parametrize("action, disposition, shown_as", [
    ("mqtt-publish-denied", "monitored", " (monitored)"), ("mqtt-connect-refused", "monitored", " (monitored)"),
    ("mqtt-payload-matched", "monitored", " (monitored)"), ("mqtt-scan-failed", "informed", " (informed)"),
    ("mqtt-scan-failed", "dropped", ""), ("mqtt-publish-denied", "rejected", ""),
    ("mqtt-payload-matched", "informed", ""), ("mqtt-disconnect", "informed", ""),
    ("mqtt-publish-allowed", "forwarded", ""),
])
def test_what_went_on_does_not_look_like_a_denial(world, tmp_path, action, disposition, shown_as):
    line = shown(world, tmp_path, event_of(world), event__action=action, mqward__disposition=disposition)
    assert line.startswith(f"{action}{shown_as}  "), line


def test_monitor_mode_is_seen(make_world):
    policy = POLICY.replace("  - anonymous: {id: anonymous}", "  - password: {file: users}")
    policy = policy.replace("mode: enforce", "mode: monitor")
    world = make_world(policy, passwords={"eva": "secret"})
    client = world.client()
    client.connect("eva-1", username="eva", password="wrong")
    client.send(raw.publish(client.version, "closed/x", b"x"))
    client.ping()
    world.audit.wait_for(topic="closed/x")
    lines = [line.split("  ", 3)[-1] for line in tail(world, "audit")]
    assert "mqtt-connect-refused (monitored)  claims user eva client eva-1 (127.0.0.1)  password_wrong" in lines
    assert "mqtt-publish-denied (monitored)  claims user eva client eva-1 (127.0.0.1)" \
        "  closed/x  rule default deny  no_allow" in lines


def test_what_an_action_has_besides(world, tmp_path):
    event = event_of(world)
    shadow = {"decision": "deny", "reason": "denied_by_rule", "rule": "no secrets", "rule_line": "candidate.yaml:7"}
    who = "anonymous claims client other (127.0.0.1)  closed/other  rule default deny  no_allow"
    assert shown(world, tmp_path, event, mqward__shadow=shadow) == \
        f"mqtt-publish-denied  {who}  shadow: deny denied_by_rule rule no secrets (candidate.yaml:7)"
    assert shown(world, tmp_path, event, network__direction="outbound").startswith(
        "mqtt-publish-denied  anonymous claims client other (127.0.0.1)  <- closed/other  rule")
    ban = {"by": "id", "value": "eva", "until": "2026-01-02T03:04:05.000000Z"}
    assert shown(world, tmp_path, event, mqward__ban=ban, mqward__count=4) == \
        f"mqtt-publish-denied  {who}  until 2026-01-02T03:04:05.000000Z  count 4"
    assert shown(world, tmp_path, event, mqward__count=150, mqward__gap={"first_sequence": 3, "last_sequence": 152},
                 mqward__detail="on_full drop") == \
        f'mqtt-publish-denied  {who}  count 150  sequence 3 to 152  "on_full drop"'
    assert shown(world, tmp_path, event, mqward__yara={"rules": ["Elf", "Shell_Script"], "view": "base64"},
                 mqward__quarantine={"result": "stored"}, mqward__suppressed=2) == \
        f"mqtt-publish-denied  {who}  found Elf, Shell_Script  in base64  quarantine stored  and 2 more"
    assert shown(world, tmp_path, event, mqward__signature={"kid": "k1", "signer": "plc 7"}) == \
        f'mqtt-publish-denied  {who}  key k1 of "plc 7"'


def test_control_characters_do_not_reach_the_terminal(world, tmp_path):
    event = json.loads(tail(world, "--json", "-n", "1", "-w", "mqtt.topic=closed/other", "audit")[0])
    event["mqtt"]["topic"] = "closed/\x1b]0;owned\x07\u009b31m\u202e\r\n"
    event["mqward"]["detail"] = event["user"]["name"] = "\x1b[2J\u2028\x00"
    with open(tmp_path / f"journal-{event['event']['id'][:16]}-00000000000000000001.ndjson", "wb") as file:
        file.write(json.dumps(event, separators=(",", ":"), ensure_ascii=True).encode() + b"\n")
        file.write(json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
        file.write(b"\x1b[31mno event\x9b\x07\xff\n" + b"{}\n" + b"x" * 300000 + b"\nnot ended")
    for arguments in ((), ("--color", "never"), ("--json",), ("--where", "mqtt.topic=*owned*")):
        with pseudo_terminal(world, "tail", "-n", "100", *arguments, str(tmp_path)) as text:
            plain = re.sub(r"\x1b\[(0|31|33|1;31)m", "", text).replace("\r\n", "")
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e\u2028]", plain), repr(plain)
            assert "owned" in text
    lines = tail(world, str(tmp_path))
    assert "?[2J" in lines[0] and "closed/?]0;owned??31m???" in lines[0]
    assert lines[2] == "no line of mqward: ?[31mno event???" and lines[3] == "no line of mqward: {}"
    assert lines[4].startswith("no line of mqward: xxx") and lines[4].endswith("...") and len(lines) == 5
    assert len(tail(world, "--json", str(tmp_path))) == 2


@contextlib.contextmanager
def pseudo_terminal(world, *arguments):
    """What 'mqward audit ...' shows on a terminal."""
    master, output = pty.openpty()
    environment = {**sanitizer_environment(world.proxy.folder), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen([binary(), "audit", *arguments], cwd=world.proxy.folder, stdin=subprocess.DEVNULL,
                               stdout=output, stderr=output, env=environment)
    os.close(output)
    text = b""
    with contextlib.suppress(OSError):  # the other side is closed
        while data := os.read(master, 65536):
            text += data
    os.close(master)
    assert process.wait(15) == 0, text
    yield text.decode(errors="surrogateescape")


def test_colours_on_a_terminal_only(world):
    wanted = "\x1b[33mmedium    mqtt-publish-denied\x1b[0m"
    for arguments, coloured in (((), True), (("--color", "never"), False), (("--color", "always"), True)):
        with pseudo_terminal(world, "tail", "-w", "event.action=mqtt-publish-denied", *arguments, "audit") as text:
            assert (wanted in text) == coloured, repr(text)
    assert "\x1b" not in "".join(tail(world, "audit"))
    assert wanted in "\n".join(tail(world, "--color", "always", "-w", "event.severity=47", "audit"))


@pytest.mark.parametrize("terminal", [False, True])
def test_follows_over_rotation_and_restarts(make_world, terminal):
    world = make_world(POLICY, configuration=SMALL)
    with Follower(world, "-n", "1000", "-w", "event.action=mqtt-publish-denied", terminal=terminal) as follower:
        topics = [f"closed/{number}" for number in range(200)]
        deny(world, *topics[:80])
        follower.wait_for(r"  closed/\d+  ", 80)
        assert world.proxy.terminate() == 0
        world.proxy.start()
        deny(world, *topics[80:140])
        follower.wait_for(r"  closed/\d+  ", 140)
        world.proxy.kill()
        world.proxy.start()
        deny(world, *topics[140:])
        shown = follower.wait_for(r"  (closed/\d+)  ", 200)
        assert shown == topics, "each once, in order"
    segments = [name for name in os.listdir(os.path.join(world.proxy.folder, "audit")) if name.endswith(".ndjson")]
    assert len(segments) > 5


# ---- what is not there ----

def lines_of(world):
    """Lines of one epoch, from the first on."""
    folder = os.path.join(world.proxy.folder, "audit")
    names = sorted(name for name in os.listdir(folder) if name.endswith(".ndjson"))
    return [line for name in names for line in open(os.path.join(folder, name), "rb").read().splitlines(True)]


def segment(folder, lines, first):
    epoch = json.loads(lines[first])["event"]["id"][:16]
    path = os.path.join(folder, f"journal-{epoch}-{first + 1:020}.ndjson")
    with open(path + ".new", "wb") as file:
        file.writelines(lines[first:first + 10])
    os.rename(path + ".new", path)
    return path


def test_lines_that_are_missing_are_said(world, tmp_path):
    lines = lines_of(world)
    epoch = json.loads(lines[0])["event"]["id"][:16]
    segment(tmp_path, lines, 0)
    path = segment(tmp_path, lines, 30)
    result = run_cli("audit", "tail", "-n", "100", str(tmp_path), folder=world.proxy.folder)
    assert result.returncode == 0 and len(result.stdout.splitlines()) == 20
    assert result.stderr == f"mqward: 20 events are missing here, up to {epoch}-30\n"
    result = run_cli("audit", "tail", "-n", "10", str(tmp_path), folder=world.proxy.folder)
    assert result.stderr == "", "what is in front of the first one was not asked for"
    with open(path, "wb") as file:  # a line that was changed is shown as such: it is not missing
        file.writelines([*lines[30:35], b"changed\n", *lines[36:40]])
    result = run_cli("audit", "tail", "-n", "10", str(tmp_path), folder=world.proxy.folder)
    assert result.stderr == "" and "no line of mqward: changed" in result.stdout


def test_what_retention_deletes_before_it_was_shown_is_said(world, tmp_path):
    lines = lines_of(world)
    segment(tmp_path, lines, 0)
    with Follower(world, "-n", "100", directory=str(tmp_path)) as follower:
        follower.wait_for("proxy-started")
        follower.process.send_signal(signal.SIGSTOP)
        os.unlink(segment(tmp_path, lines, 10))
        segment(tmp_path, lines, 20)
        follower.process.send_signal(signal.SIGCONT)
        follower.wait_for(r"^mqward: 10 events are missing here, up to [0-9a-f]{16}-20$")


def test_a_folder_without_a_journal_is_said(world, tmp_path):
    result = run_cli("audit", "tail", str(tmp_path), folder=world.proxy.folder)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == f"mqward: {tmp_path}: there is no journal in it\n"


def test_a_huge_hole_is_no_work(world, tmp_path):
    path = segment(tmp_path, lines_of(world), 0)
    with open(path.replace("-00000000000000000001", "-00000000000000000011"), "wb") as file:
        file.truncate(1 << 40)
    result = run_cli("audit", "tail", str(tmp_path), folder=world.proxy.folder, timeout=20)
    assert result.returncode == 0 and "no line of mqward: ???" in result.stdout


def test_follows_a_directory_in_which_nothing_is_yet(make_world):
    world = make_world(POLICY, start=False)
    os.mkdir(os.path.join(world.proxy.folder, "audit"), 0o700)
    with Follower(world) as follower:
        world.proxy.start()
        follower.wait_for("proxy-started")
