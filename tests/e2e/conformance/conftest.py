# SPDX-License-Identifier: Apache-2.0
"""The servers that the conformance suite runs against."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from harness import CONFIGURATION, POLICY, Servers, parse_target  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--conformance-target", metavar="HOST:PORT", help="run the statements against this server alone")


def target(config):
    return config.getoption("--conformance-target", None) or os.environ.get("MQWARD_CONFORMANCE_TARGET")


def pytest_configure(config):
    if target(config):  # then no mqward is started, but the folder above wants to know which one it would be
        os.environ.setdefault("MQWARD_BINARY", sys.executable)


@pytest.fixture(scope="module")
def conformance_servers(request, make_shared_world):
    """Mosquitto itself, then mqward in front of it: one world for all tests of a file."""
    foreign = target(request.config)
    if foreign:
        return Servers(parse_target(foreign))
    world = make_shared_world(POLICY, configuration=CONFIGURATION)
    return Servers(("127.0.0.1", world.broker_port), ("127.0.0.1", world.proxy.ports["plain"]))
