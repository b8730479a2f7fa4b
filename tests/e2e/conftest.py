# SPDX-License-Identifier: Apache-2.0
"""Fixtures. make_world starts a world for one test; make_shared_world one for a file whose tests leave it as it was."""
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import brokers  # noqa: E402
import servers  # noqa: E402
from brokers import selection  # noqa: E402
from certs import Certificates  # noqa: E402
from world import ALLOW_ALL, World  # noqa: E402

LIVE = []  # worlds that run now: looked at after each test, shown when one fails


def pytest_addoption(parser):
    parser.addoption("--broker", choices=tuple(brokers.NAMES), default=os.environ.get("MQWARD_E2E_BROKER", "mosquitto"),
                     help="the broker behind mqward (default: environment variable MQWARD_E2E_BROKER, or mosquitto)")


def pytest_configure(config):
    try:
        brokers.choose(config.getoption("--broker"))
    except ValueError as error:
        raise pytest.UsageError(f"MQWARD_E2E_BROKER: {error}") from None
    servers.raise_file_limit()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # of a shell's background job; what we start would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    path = os.environ.get("MQWARD_BINARY", "")
    if not os.access(path, os.X_OK) or not os.path.isfile(path):
        raise pytest.UsageError(f"MQWARD_BINARY={path!r} must name the mqward binary under test (tests/run.sh e2e sets it)")


def pytest_collection_modifyitems(config, items):
    selection.select(config, items)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """After the last world has ended. A worker of xdist says what it has deselected: all collect the same tests."""
    brokers.chosen().shut_down()
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["deselected"] = dict(selection.DESELECTED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    if not selection.DESELECTED:
        selection.DESELECTED.update(getattr(node, "workeroutput", {}).get("deselected", {}))


def pytest_terminal_summary(terminalreporter):
    selection.report(terminalreporter)


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    certificates = Certificates(str(tmp_path_factory.mktemp("certificates")))
    brokers.chosen().prepare(certificates)
    return certificates


def _worlds(tmp_path_factory, certs):
    started = []

    def make(policy=ALLOW_ALL, **options):
        folder = tmp_path_factory.mktemp("world")
        world = World(folder, certs, policy, **options)
        started.append(world)
        LIVE.append(world)
        return world

    yield make
    failures = []
    for world in reversed(started):
        LIVE.remove(world)
        try:
            world.stop()
        except AssertionError as error:
            failures.append(str(error))
        else:
            world.remove()
    assert not failures, "\n".join(failures)


@pytest.fixture
def make_world(tmp_path_factory, certs):
    yield from _worlds(tmp_path_factory, certs)


@pytest.fixture(scope="module")
def make_shared_world(tmp_path_factory, certs):
    yield from _worlds(tmp_path_factory, certs)


@pytest.fixture(autouse=True)
def healthy():
    """After each test mqward still runs and the sanitizers are silent."""
    yield
    for world in LIVE:
        for client in world.clients:
            client.abort()
        world.clients = []
        world.check()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed:
        for world in LIVE:
            if world.proxy and world.proxy.process:
                report.sections.append((f"mqward's log ({world.proxy.log_path})", world.proxy.output()[-6000:]))
