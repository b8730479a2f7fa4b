# SPDX-License-Identifier: Apache-2.0
"""Fixtures. make_world starts a world for one test; make_shared_world one for a file whose tests leave it as it was."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import servers  # noqa: E402
from certs import Certificates  # noqa: E402
from world import ALLOW_ALL, World  # noqa: E402

LIVE = []  # worlds that run now: looked at after each test, shown when one fails


def pytest_configure(config):
    servers.raise_file_limit()
    path = os.environ.get("MQWARD_BINARY", "")
    if not os.access(path, os.X_OK) or not os.path.isfile(path):
        raise pytest.UsageError(f"MQWARD_BINARY={path!r} must name the mqward binary under test (tests/run.sh e2e sets it)")


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    return Certificates(str(tmp_path_factory.mktemp("certificates")))


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
