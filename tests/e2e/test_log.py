# SPDX-License-Identifier: Apache-2.0
"""The log: what a peer says can't forge a line."""
import json
import time

import pytest

import raw

pytestmark = pytest.mark.brokerless

HOSTILE = ("x\nlevel=error event=forged", 'x" event="forged', "x\r\nforged=1", "x\x1b[2Jforged", "x\u2028event=forged", "x\u0085forged",
           'x","event":"forged')
POLICY = """\
version: 1
policy: hostile
identity:
  - broker: {id: username}
rules:
  - rule: none
    who: everyone
    allow: [publish, subscribe]
    topics: [open/#]
"""


@pytest.mark.parametrize("form", ("text", "json"))
def test_hostile_names_stay_within_their_value(make_world, form):
    world = make_world(POLICY, configuration={"log": {"level": "debug", "format": "json"}}, start=False)
    world.proxy.configuration["log"]["format"] = form
    world.proxy.write()
    world.killed = True
    world.proxy.spawn()
    ready = 'msg="ready"' if form == "text" else '"message":"ready"'
    world.proxy.wait_output(ready)
    address = world.proxy.wait_output(r'address[="\s:]+127\.0\.0\.1:(\d+)')
    world.proxy.ports["plain"] = int(address[1])
    for name in HOSTILE:
        client = world.client(raw.V5)
        client.send(raw.connect(raw.V5, name, username=name, password="x")
                    + raw.publish(raw.V5, name, b"x", qos=1, packet_id=1) + raw.subscribe(raw.V5, 2, [(name, 0)]) + b"\xf1\x00")
        client.until_closed()
    world.killed = False
    text = world.proxy.output()
    assert "\x1b" not in text and "\r" not in text and "\u2028" not in text and "\u0085" not in text
    for line in text.splitlines():
        if form == "json" and line.startswith("{"):  # findings about the files come before the first line
            assert json.loads(line).get("message") != "forged"
        else:
            assert not line.startswith(("level=error", "forged")), line


def test_the_log_goes_to_stderr_in_the_form_that_was_asked_for(make_world):
    world = make_world()
    world.connected()
    lines = world.proxy.log()
    assert len(lines) >= 3
    for line in lines:
        assert line["log.level"] in ("debug", "info", "warn", "error")
        assert line["log.logger"] and line["message"] and line["@timestamp"]


def test_floods_of_log_lines_are_limited(make_world):
    """Ten a second at most for what peers can be the cause of."""
    world = make_world(POLICY.replace("broker: {id: username}", "anonymous: {id: guest}"), broker=False)
    began = time.monotonic()
    for number in range(300):
        client = world.client(raw.V5)
        client.connect(f"c-{number}", 0x88)
    lines = len(world.proxy.logged("can't reach the broker"))
    assert 1 <= lines <= 10 * (time.monotonic() - began + 2)
