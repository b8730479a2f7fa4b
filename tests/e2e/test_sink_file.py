# SPDX-License-Identifier: Apache-2.0
"""The sinks file and stdout: whole lines, each once for whoever follows them, whatever happens to file and reader."""
import fcntl
import json
import os
import resource
import signal
import stat
import subprocess
import threading
import time

import pytest

from audit import get
from processes import wait_until
from test_durability import POLICY, deny, wait_recorded

pytestmark = pytest.mark.brokerless
STOP = 1.9  # seconds; a stop that is quicker had time for all that is behind


def configuration(tmp_path, **options):
    return {"audit": {"sinks": [{"name": "file", "file": {"path": str(tmp_path / "out.ndjson"), **options}}]}}


def world_with(make_world, tmp_path, start=True, **options):
    return make_world(POLICY, redis=False, configuration=configuration(tmp_path, **options), start=start)


def lines(path, whole=True):
    """The lines of a file. whole: the last one, too; otherwise mqward may be writing it."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:  # not yet, or between two files
        return []
    assert not whole or not data or data.endswith(b"\n"), data[-200:]
    return data[:data.rfind(b"\n") + 1].splitlines()


def topics_of(raw_lines):
    events = [json.loads(line) for line in raw_lines]
    return [get(event, "topic") for event in events if get(event, "action") == "mqtt-publish-denied"]


def written(path, topics, timeout=20):
    wait_until(lambda: set(topics) <= set(topics_of(lines(path, whole=False))), f"{len(topics)} events in {path}",
               timeout)


def journal(world, whole=True):
    folder = os.path.join(world.proxy.folder, "audit")
    names = sorted(name for name in os.listdir(folder) if name.startswith("journal-") and name.endswith(".ndjson"))
    return [line for name in names for line in lines(os.path.join(folder, name), whole)]


def test_a_stop_does_not_wait_for_the_fsync_interval(make_world, tmp_path):
    """What was written is synced and confirmed: the next start has nothing to repeat, unless the disk took all of the
    time that a stop has for its sinks."""
    options = configuration(tmp_path)
    options["audit"]["fsync"] = "1m"
    world = make_world(POLICY, redis=False, configuration=options)
    for attempt in range(5):
        topics, quick = [], True
        for start in ("first", "second"):
            client = world.connected()
            topics += deny(client, [f"closed/{attempt}/{start}/{index}" for index in range(10)])
            client.disconnect()  # or else the stop waits for its end
            began = time.monotonic()
            world.proxy.terminate()
            quick = quick and time.monotonic() - began < STOP
            world.proxy.start()
        written(tmp_path / "out.ndjson", topics)
        found = [topic for topic in topics_of(lines(tmp_path / "out.ndjson", whole=False))
                 if topic.startswith(f"closed/{attempt}/")]
        assert list(dict.fromkeys(found)) == topics
        if quick:
            assert found == topics
            return
    raise AssertionError("each stop took so long that it had no time for the sink")


def test_the_file_has_the_lines_of_the_journal(make_world, tmp_path):
    world = world_with(make_world, tmp_path)
    topics = deny(world.connected(), [f"closed/{index}" for index in range(100)] + ["closed/ü"])
    written(tmp_path / "out.ndjson", topics)
    world.proxy.finish()
    found = lines(tmp_path / "out.ndjson")
    assert found == journal(world)[:len(found)], "what a stop has no time for comes with the next start"
    assert topics_of(found) == topics
    assert stat.S_IMODE(os.stat(tmp_path / "out.ndjson").st_mode) == 0o640


class Follower(threading.Thread):
    """Reads what a tailer reads that follows files by their inode."""

    def __init__(self, folder, prefix):
        super().__init__()
        self.folder, self.prefix = folder, prefix
        self.files, self.data, self.done = {}, {}, threading.Event()

    def look(self):
        for name in os.listdir(self.folder):
            if not name.startswith(self.prefix):
                continue
            try:
                file = open(os.path.join(self.folder, name), "rb")  # pylint: disable=consider-using-with
            except FileNotFoundError:
                continue
            inode = os.fstat(file.fileno()).st_ino
            if inode in self.files:
                file.close()
            else:
                self.files[inode], self.data[inode] = file, b""
        for inode, file in self.files.items():
            self.data[inode] += file.read()

    def run(self):
        while not self.done.wait(0.005):
            self.look()

    def finish(self):
        self.done.set()
        self.join()
        self.look()
        for file in self.files.values():
            file.close()
        return list(self.data.values())


def test_a_reader_by_inode_sees_each_line_once_over_rotations(make_world, tmp_path):
    follower = Follower(str(tmp_path), "out.ndjson")
    follower.start()
    try:
        world = world_with(make_world, tmp_path, max_size="64KiB", keep=100)
        topics = deny(world.connected(), [f"closed/{index}/{'x' * 300}" for index in range(500)])
        written(tmp_path / "out.ndjson", topics[-1:])
        before = len(journal(world, whole=False))
        wait_until(lambda: sum(data.count(b"\n") for data in list(follower.data.values())) >= before, "all of the journal")
        world.proxy.finish()
    finally:
        files = follower.finish()
    assert len(files) > 5
    assert all(len(data) <= 64 * 1024 and data.endswith(b"\n") for data in files)
    found = sorted((line for data in files for line in data.splitlines()),
                   key=lambda line: get(json.loads(line), "event.sequence"))
    assert len(found) >= before
    assert found == journal(world)[:len(found)], "what a stop has no time for comes with the next start"
    assert topics_of(found) == topics


def test_only_so_many_files_are_kept(make_world, tmp_path):
    world = world_with(make_world, tmp_path, max_size="64KiB", keep=2)
    topics = deny(world.connected(), [f"closed/{index}/{'x' * 300}" for index in range(400)])
    written(tmp_path / "out.ndjson", topics[-1:])
    world.proxy.finish()
    assert sorted(os.listdir(tmp_path)) == ["out.ndjson", "out.ndjson.1", "out.ndjson.2"]
    kept = [line for name in ("out.ndjson.2", "out.ndjson.1", "out.ndjson") for line in lines(tmp_path / name)]
    assert topics_of(kept)[-1] == topics[-1], "the newest"
    begin = journal(world).index(kept[0])
    assert kept == journal(world)[begin:begin + len(kept)], "in order"


def test_sigusr1_opens_the_file_anew(make_world, tmp_path):
    world = world_with(make_world, tmp_path)
    client = world.connected()
    first = deny(client, ["closed/first"])
    written(tmp_path / "out.ndjson", first)
    os.rename(tmp_path / "out.ndjson", tmp_path / "old.ndjson")
    world.proxy.signal(signal.SIGUSR1)
    wait_until(lambda: os.path.exists(tmp_path / "out.ndjson"), "a new file, without any event")
    second = deny(client, ["closed/second"])
    written(tmp_path / "out.ndjson", second)
    assert topics_of(lines(tmp_path / "old.ndjson")) == first
    assert topics_of(lines(tmp_path / "out.ndjson")) == second


def test_a_file_that_was_moved_deleted_or_emptied_is_noticed(make_world, tmp_path):
    world = world_with(make_world, tmp_path)
    client = world.connected()
    path = tmp_path / "out.ndjson"
    written(path, deny(client, ["closed/before"]))
    os.rename(path, tmp_path / "moved.ndjson")
    written(path, deny(client, ["closed/moved"]))
    os.unlink(path)
    written(path, deny(client, ["closed/deleted"]))
    os.truncate(path, 0)
    written(path, deny(client, ["closed/emptied"]))
    assert topics_of(lines(path)) == ["closed/emptied"], "without a hole"


def test_a_limit_in_the_middle_of_a_line_is_waited_for(make_world, tmp_path):
    """A full disk that only this file feels: the line that was begun is finished when there is room."""
    world = make_world(POLICY, redis=False, configuration={"audit": {
        "segment": "16KiB", **configuration(tmp_path, max_size=0)["audit"]}})
    limit = 40_000
    resource.prlimit(world.proxy.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    client = world.connected()
    topics = deny(client, [f"closed/{index}" for index in range(100)])
    wait_until(lambda: world.proxy.logged("sink is down"), "sink-down")
    assert os.path.getsize(tmp_path / "out.ndjson") == limit
    topics += deny(client, [f"closed/later/{index}" for index in range(10)])
    resource.prlimit(world.proxy.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    written(tmp_path / "out.ndjson", topics)
    wait_until(lambda: b'"sink-up"' in (tmp_path / "out.ndjson").read_bytes(), "sink-up")
    before = len(journal(world, whole=False))
    wait_until(lambda: (tmp_path / "out.ndjson").read_bytes().count(b"\n") >= before, "all of the journal")
    world.proxy.finish()
    found = lines(tmp_path / "out.ndjson")
    assert len(found) >= before
    assert found == journal(world)[:len(found)], "each line once, none in two"


def test_a_missing_folder_and_another_writer_are_waited_for(make_world, tmp_path):
    folder = tmp_path / "later"
    world = make_world(POLICY, redis=False, configuration=configuration(folder))
    client = world.connected()
    topics = deny(client, ["closed/before"])
    wait_until(lambda: world.proxy.logged("sink is down"), "sink-down")
    aside = tmp_path / "aside"
    aside.mkdir()
    with open(aside / "out.ndjson", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.rename(aside, folder)  # with the lock in it: mqward looks at any time
        topics += deny(client, ["closed/during"])
        wait_until(lambda: any("another process" in str(line) for line in world.proxy.logged("sink is down")),
                   "the lock")
        assert os.path.getsize(folder / "out.ndjson") == 0
    written(folder / "out.ndjson", topics)


def test_nothing_is_written_through_a_link_or_into_a_pipe(make_world, tmp_path):
    (tmp_path / "precious").write_bytes(b"mine")
    os.symlink(tmp_path / "precious", tmp_path / "out.ndjson")
    world = world_with(make_world, tmp_path)
    client = world.connected()
    topics = deny(client, ["closed/link"])
    wait_until(lambda: world.proxy.logged("sink is down"), "sink-down")
    os.mkfifo(tmp_path / "pipe")
    os.rename(tmp_path / "pipe", tmp_path / "out.ndjson")  # there is no moment without either
    topics += deny(client, ["closed/pipe"])
    wait_until(lambda: any("no file" in str(line) for line in world.proxy.logged("sink is down")), "a pipe is refused")
    os.unlink(tmp_path / "out.ndjson")
    written(tmp_path / "out.ndjson", topics)
    assert (tmp_path / "precious").read_bytes() == b"mine"


def test_mqward_is_killed_while_it_writes_and_rotates(make_world, tmp_path):
    world = world_with(make_world, tmp_path, start=False, max_size="64KiB", keep=500)
    topics = []
    for round_ in range(3):
        world.proxy.start()
        client = world.connected()
        topics += deny(client, [f"closed/{round_}/{index}/{'x' * 300}" for index in range(150)])
        world.proxy.kill()
    world.proxy.start()

    def found():
        return [line for name in os.listdir(tmp_path) if name.startswith("out.ndjson")
                for line in lines(tmp_path / name, whole=False)]

    def is_whole(line):
        try:
            return bool(json.loads(line))
        except ValueError:
            return False
    wait_until(lambda: set(topics) <= set(topics_of(filter(is_whole, found()))), "all events")
    assert len([line for line in found() if not is_whole(line)]) <= 3, "one at most for each kill"
    assert len([name for name in os.listdir(tmp_path) if name.startswith("out.ndjson")]) > 1


def test_a_torn_line_of_an_earlier_run_is_ended(make_world, tmp_path):
    (tmp_path / "out.ndjson").write_bytes(b'{"@timestamp":"torn')
    world = world_with(make_world, tmp_path)
    topics = deny(world.connected(), ["closed/one"])
    wait_until(lambda: topics[0].encode() in (tmp_path / "out.ndjson").read_bytes(), "the event")
    found = lines(tmp_path / "out.ndjson")
    assert found[0] == b'{"@timestamp":"torn'
    assert topics_of(found[1:]) == topics
    assert world.proxy.logged("the file ended with half a line")


# ---- stdout ----

def with_stdout(world):
    """The read end of a pipe that is mqward's standard output, and the write end, whose flags it must leave alone."""
    read_end, write_end = os.pipe()
    proxy = world.proxy

    def spawn():
        with open(proxy.log_path, "ab") as log:
            proxy.offset = log.tell()
            proxy.process = subprocess.Popen(  # pylint: disable=consider-using-with
                proxy.command(), cwd=proxy.folder, stdin=subprocess.DEVNULL, stdout=write_end, stderr=log,
                env=proxy.environment())
    proxy.spawn = spawn
    proxy.start()
    return read_end, write_end


def stdout_world(make_world):
    world = make_world(POLICY, start=False)
    world.proxy.configuration["audit"]["sinks"].append({"name": "console", "stdout": {"timeout": "500ms"}})
    world.proxy.write()
    return world


def console_down(world):
    """What is said of this sink; Redis is one, too, and may be late."""
    said = {"mqward.detail": lambda detail: detail.startswith("console")}
    return get(world.audit.wait_for(action="sink-down", **said), "mqward.detail")


def read_until(read_end, condition):
    data = b""
    os.set_blocking(read_end, False)

    def look():
        nonlocal data
        try:
            data += os.read(read_end, 1 << 20)
        except BlockingIOError:
            pass
        return condition(data)
    wait_until(look, "the events on the standard output")
    return data


def test_stdout_is_lines_of_json_and_the_log_is_elsewhere(make_world):
    world = stdout_world(make_world)
    read_end, write_end = with_stdout(world)
    topics = deny(world.connected(), [f"closed/{index}" for index in range(50)])
    data = read_until(read_end, lambda data: topics[-1].encode() + b'"' in data and data.endswith(b"\n"))
    assert topics_of(data.splitlines()) == topics
    os.close(write_end)
    os.close(read_end)


@pytest.mark.core
def test_a_reader_of_stdout_that_hangs_stalls_nobody(make_world):
    world = stdout_world(make_world)
    read_end, write_end = with_stdout(world)
    client = world.connected()
    topics = deny(client, [f"closed/{index}/{'x' * 300}" for index in range(300)])
    wait_recorded(world.audit, topics)
    assert "console: a write hangs" in console_down(world)
    assert not fcntl.fcntl(write_end, fcntl.F_GETFL) & os.O_NONBLOCK, "the open file is others', too"
    topics += deny(client, ["closed/last"])
    data = read_until(read_end, lambda data: b"closed/last" in data and data.endswith(b"\n"))
    assert topics_of(data.splitlines()) == topics, "each once, in order"
    world.audit.wait_for(action="sink-up")
    os.close(write_end)
    os.close(read_end)


def test_mqward_stops_although_nobody_reads_its_stdout(make_world):
    world = stdout_world(make_world)
    read_end, write_end = with_stdout(world)
    topics = deny(world.connected(), [f"closed/{index}/{'x' * 300}" for index in range(200)])
    wait_recorded(world.audit, topics)
    assert world.proxy.terminate() == 0
    os.close(read_end)
    os.close(write_end)


def test_a_reader_of_stdout_that_is_gone_is_told_of(make_world):
    world = stdout_world(make_world)
    read_end, write_end = with_stdout(world)
    os.close(write_end)
    os.close(read_end)
    topics = deny(world.connected(), ["closed/one"])
    wait_recorded(world.audit, topics)
    assert "Broken pipe" in console_down(world)


def test_a_closed_stdout_is_no_file_of_mqwards(make_world):
    """The number is free then: the next file that is opened must not take it and get the events."""
    world = stdout_world(make_world)
    proxy = world.proxy
    command = proxy.command
    proxy.command = lambda: ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command()]
    proxy.start()
    topics = deny(world.connected(), ["closed/one"])
    wait_recorded(world.audit, topics)
    assert "Bad file descriptor" in console_down(world)
