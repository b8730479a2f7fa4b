# SPDX-License-Identifier: Apache-2.0
"""One measurement each: the load generator is started against a row, and what the proxy spent is read from /proc at the start
and at the end of a window. Each counts only if what was sent has arrived, and raises BenchError if not."""

import os
import shutil
import signal
import time

import peers
from processes import LOOPBACK, BenchError, Process, Sink, cpu_nanoseconds, free_port, memory

RATE = 1000            # round trips: messages a second
WINDOW = 2000          # and so many of a connection may be under way: what stands still for a second is late, and not left out
FAN_RATE = 20          # fan-out: messages a second, each to all subscribers
LATENCIES = ("p50", "p99", "p999", "longest")
SETTLED = 0.3          # seconds without any change of the memory
SETTLED_LIMIT = 5
WINDOW_LIMIT = 20      # seconds without a message or a connection: the proxy hangs


class Bench:
    """A run's folder, the sink of the group that is measured, and the proxies that stand in front of it."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.generator_binary = f"{options.build}/tests/bench/mqward-bench-load"
        self.sink_binary = f"{options.build}/tests/bench/mqward-bench-sink"
        self.available = sorted(os.sched_getaffinity(0))
        self.pin("none")
        self.sinks = []
        self.proxies = {}  # name: (process, port)
        peers.make_certificates(folder)

    # ---- processes ----

    def pin(self, how):
        """one: proxy, generator and sink share a core; split: the proxy has its own; none: all have all. The script itself stays
        off the proxy's core where there are two."""
        available = self.available
        self.proxy_cores = self.other_cores = set(available)
        if how != "none" and len(available) > 1:
            self.proxy_cores = {available[0]}
            self.other_cores = {available[1] if how == "split" else available[0]}
        os.sched_setaffinity(0, set(available) if how == "none" or len(available) < 2 else {available[1]})

    def start_sink(self):
        sink = Sink(self.sink_binary, self.other_cores, f"{self.folder}/sink.log")
        self.sinks.append(sink)
        return sink

    @property
    def sink(self):
        return self.sinks[0]

    def start(self, rows, connections):
        """A sink and the rows' processes. Those without a process are the sink itself."""
        if not self.sinks:
            self.start_sink()
        for row in rows:
            if row.command is None:
                self.proxies[row.name] = (self.sink, self.sink.port)
                continue
            self.launch(row, row.name, [(free_port(), self.sink.port)], connections)
        for row in rows:
            process, port = self.proxies[row.name]
            process.wait_listening(port, 60)
            if row.counted == "broker":
                self.prove(row)

    def launch(self, row, name, lanes, connections, certificate="server"):
        own = f"{self.folder}/{len(os.listdir(self.folder))}-{''.join(c if c.isalnum() else '-' for c in name)}"
        setting = peers.Setting(self.folder, own, lanes, connections, self.options, certificate)
        process = Process(name, row.command(setting), self.proxy_cores, f"{own}/log")
        self.proxies[name] = (process, setting.port)
        return process

    def stop(self):
        """The group's processes. What a sink says at its end is looked at."""
        processes = [process for process, _ in self.proxies.values() if process not in self.sinks]
        for process in processes:
            process.child.terminate()
        for process in processes:
            process.stop()
        codes = [sink.stop() for sink in self.sinks]
        self.proxies, self.sinks = {}, []
        if any(codes):
            raise BenchError(f"a sink ended with {codes}")

    def generator(self, row, port, arguments, nice=0):
        options = self.options
        command = [self.generator_binary, "--target", f"{LOOPBACK}:{port}", "--version", options.version, *arguments, *row.load]
        if row.command is not None:
            command += ["--tls", "--ca", f"{self.folder}/ca.pem"]
            if options.client_certificates:
                command += ["--certificate", f"{self.folder}/client.pem", "--key", f"{self.folder}/client.key"]
        open(f"{self.folder}/load.log", "wb").close()  # what earlier ones said is of no interest
        if nice:
            command = ["nice", "-n", str(nice), *command]
        return Process("load", command, self.other_cores, f"{self.folder}/load.log", pipe=True)

    def fail(self, row, what):
        process = self.proxies[row.name][0]
        ended = process.child.poll()
        state = "runs" if ended is None else f"ended with {ended}"
        said = process.log_tail() if os.path.exists(process.log_path) else ""
        raise BenchError(f"{row.name}: {what}\n{row.name} {state}; it said:\n{said}")

    # ---- messages ----

    def messages(self, row, load, arguments, connections, generators=1):
        """What a message costs, and how many pass."""
        process, port = self.proxies[row.name]
        arguments = [*arguments, "--connections", str(connections // generators), "--rate", str(self.options.rate)]
        if row.counted == "sink":
            got = self.window(row, process, port, arguments, connections, generators)
        else:
            got = self.whole(row, process, port, arguments, connections)
        return {"row": row.name, "load": load, **got}

    def window(self, row, process, port, arguments, connections, count):
        """From the warm-up's end on, as long as the options say, with so many generators."""
        pid = process.child.pid
        before = self.sink.totals()
        generators = []
        try:
            for _ in range(count):
                generators.append(self.generator(row, port, [*arguments, "--wait"]))
            for generator in generators:
                generator.line(20 + connections / 50)
            for generator in generators:
                generator.child.send_signal(signal.SIGUSR1)
            time.sleep(self.options.warmup)
            start = self.sample(pid)
            end = self.later(lambda: self.sample(pid), lambda now: now[0] > start[0])
            for generator in generators:
                generator.child.terminate()
            said = [generator.line(120) for generator in generators]
        except (BenchError, OSError) as error:
            self.fail(row, f"{error}\n{generators[-1].log_tail()}")
        finally:
            codes = [generator.stop() for generator in generators]
        sent = {key: sum(each[key] for each in said) for key in ("sent", "lost", "unfinished", "refused", "skipped")}
        arrived = self.sink.totals_when_idle()["publishes"] - before["publishes"]
        self.judge(row, generators[-1], sent, max(codes), arrived, sent["sent"])
        messages, cpu, wall = (last - first for first, last in zip(start, end))
        return {"us": cpu / 1000 / messages, "rate": messages * 1e9 / wall, "busy": cpu / wall, "skipped": sent["skipped"]}

    def later(self, ask, enough):
        """What ask() says at the end of the window, which is longer where nothing has come yet."""
        deadline = time.monotonic() + WINDOW_LIMIT
        while True:
            time.sleep(self.options.seconds)
            answer = ask()
            if enough(answer):
                return answer
            if time.monotonic() > deadline:
                raise BenchError(f"nothing came in {WINDOW_LIMIT} s: {answer}")

    def sample(self, pid):
        """(messages that arrived, CPU ns, wall ns), all read when the sink's answer is here."""
        return self.sink.totals()["publishes"], cpu_nanoseconds(pid), time.monotonic_ns()

    def whole(self, row, process, port, arguments, connections):
        """From the first message to the end of the last connection, which comes behind all messages: of rows in front of which no
        sink counts. A broker that is slow gets so many messages only as it can do in the time, since megabytes of them would wait
        in its sockets at the end."""
        if row.counted == "broker" and "paced" not in arguments:
            pilot = self.whole_once(row, process, port, [*arguments, "--messages", str(self.options.pilot)], connections)
            count = max(self.options.pilot, int(self.options.seconds * 1e6 / pilot["us"]))
            return self.whole_once(row, process, port, [*arguments, "--messages", str(count)], connections)
        return self.whole_once(row, process, port, [*arguments, "--seconds", str(self.options.seconds)], connections)

    def whole_once(self, row, process, port, arguments, connections):
        pid = process.child.pid
        before = self.sink.totals()["publishes"]
        generator = self.generator(row, port, [*arguments, "--wait"])
        try:
            generator.line(20 + connections / 50)
            cpu, wall = cpu_nanoseconds(pid), time.monotonic_ns()
            generator.child.send_signal(signal.SIGUSR1)
            sent = generator.line(120)
            cpu, wall = cpu_nanoseconds(pid) - cpu, time.monotonic_ns() - wall
        except (BenchError, OSError) as error:
            self.fail(row, f"{error}\n{generator.log_tail()}")
        finally:
            code = generator.stop()
        self.judge(row, generator, sent, code, self.sink.totals_when_idle()["publishes"] - before, 0)
        return {"us": cpu / 1000 / sent["sent"], "rate": sent["sent"] * 1e9 / wall, "busy": cpu / wall, "skipped": sent["skipped"]}

    def prove(self, row):
        """A broker of its own lets the load's messages through: they come back."""
        generator = self.generator(row, self.proxies[row.name][1], ["--mode", "roundtrip", "--connections", "2", "--messages", "10",
                                                                    "--seconds", "5"])
        try:
            generator.line(30)
            sent = generator.line(30)
        except (BenchError, OSError) as error:
            self.fail(row, f"{error}\n{generator.log_tail()}")
        finally:
            code = generator.stop()
        if code != 0 or sent["acknowledged"] != 10:
            self.fail(row, f"of ten messages not all came back: {sent}")

    def judge(self, row, generator, sent, code, arrived, expected):
        good = arrived == expected and code == 0 and not sent["lost"] and not sent["unfinished"] and not sent["refused"]
        if not good or sent["sent"] == 0:
            self.fail(row, f"{sent['sent']} messages sent, {arrived} arrived, {expected} should have; generator: {sent}, exit code "
                           f"{code}\n{generator.log_tail()}")

    # ---- latency ----

    def trips(self, row, qos, waits=True):
        """How long a message is under way and back (QoS 0), or until its PUBACK (QoS 1), at a moderate rate."""
        arguments = ["--mode", "roundtrip", "--qos", str(qos), "--rate", str(RATE), "--connections", str(self.options.connections),
                     "--window", str(WINDOW)]
        sent, got = self.timed(row, arguments, "acknowledged", waits)
        if sent["acknowledged"] != sent["sent"] or sent["skipped"]:
            self.fail(row, f"messages did not come back: {sent}")
        return {"row": row.name, "load": f"QoS {qos}", **got}

    def fanout(self, row, qos, subscribers):
        """What a delivery costs, from one publisher that is connected to the sink to all subscribers, who are behind the proxy."""
        arguments = ["--mode", "fanout", "--qos", str(qos), "--rate", str(FAN_RATE), "--connections", str(subscribers),
                     "--publisher", f"{LOOPBACK}:{self.sink.port}"]
        sent, got = self.timed(row, arguments, "received")
        if sent["received"] != sent["sent"] * subscribers or sent["skipped"]:
            self.fail(row, f"deliveries are missing: {sent}, {subscribers} subscribers")
        return {"row": row.name, "load": f"QoS {qos}", **got}

    def timed(self, row, arguments, counted, waits=True):
        """(the generator's totals, CPU for each of what is counted, and times, of a window). waits: for the end of all connections,
        of which others may not have any meanwhile."""
        process, port = self.proxies[row.name]
        pid = process.child.pid
        before = self.sink.totals()["publishes"]
        generator = self.generator(row, port, arguments)
        try:
            generator.line(60)
            time.sleep(self.options.warmup)
            first, cpu = generator.ask(), cpu_nanoseconds(pid)
            last = self.later(generator.ask, lambda now: now[counted] > first[counted])
            cpu = cpu_nanoseconds(pid) - cpu
            generator.child.terminate()
            sent = generator.line(60)
        except (BenchError, OSError) as error:
            self.fail(row, f"{error}\n{generator.log_tail()}")
        finally:
            code = generator.stop()
        totals = self.sink.totals_when_idle() if waits else self.sink.totals()
        self.judge(row, generator, sent, code, totals["publishes"] - before, sent["sent"])
        count = last[counted] - first[counted]
        return sent, {"us": cpu / 1000 / count, **{key: last["times"][key] for key in LATENCIES}}

    def storm(self, row, load, concurrency):
        """Round trips while so many connections at a time come and go on the same proxy, as after a network's outage. Who makes the
        storm gives way to who measures: both have one core."""
        port = self.proxies[row.name][1]
        arguments = ["--mode", "handshakes", "--connections", str(concurrency)]
        storm = self.generator(row, port, arguments, nice=19) if concurrency else None
        try:
            if storm:
                storm.line(60)
            result = self.trips(row, 0, waits=storm is None)
            if storm:
                storm.child.terminate()
                total = storm.line(60)
        except (BenchError, OSError) as error:
            self.fail(row, str(error))
        finally:
            code = storm.stop() if storm else 0
        if storm and (code != 0 or total["failed"]):
            self.fail(row, f"connections failed: {total}\n{storm.log_tail()}")
        return {**result, "load": load, "connections": total["done"] if storm else 0}

    # ---- connections ----

    def handshakes(self, row, name, load, resume):
        """What a connection costs from TCP to CONNACK and its orderly end, one after the other, a few at the same time."""
        process, port = self.proxies[name]
        pid = process.child.pid
        generator = self.generator(row, port, ["--mode", "handshakes", "--connections", str(self.options.concurrency),
                                               *(["--resume"] if resume else [])])
        try:
            generator.line(30)
            time.sleep(self.options.warmup)
            first, cpu, wall = generator.ask(), cpu_nanoseconds(pid), time.monotonic_ns()
            last = self.later(generator.ask, lambda now: now["done"] > first["done"])
            cpu, wall = cpu_nanoseconds(pid) - cpu, time.monotonic_ns() - wall
            generator.child.terminate()
            total = generator.line(60)
        except (BenchError, OSError) as error:
            raise BenchError(f"{name}: {error}\n{generator.log_tail()}{process.log_tail()}") from error
        finally:
            code = generator.stop()
        done = last["done"] - first["done"]
        if code != 0 or total["failed"] or total["done"] != total["started"]:
            raise BenchError(f"{name}: {total}, exit code {code}\n{generator.log_tail()}{process.log_tail()}")
        resumed = (last["resumed"] - first["resumed"]) / done
        if resumed > 0 and not resume:
            raise BenchError(f"{name}: {total}: resumed unasked")
        return {"row": row.name, "load": load, "us": cpu / 1000 / done, "rate": done * 1e9 / wall, "resumed": resumed,
                **{key: last["times"][key] for key in LATENCIES}}

    def idle(self, row, connections, load):
        """Memory of an open connection that says nothing: all processes with it less what they had before."""
        processes, lanes = self.spread(row, connections)
        before = self.memory_of(processes)
        generators = []
        try:
            for port, count in lanes:
                generators.append(self.generator(row, port, ["--mode", "idle", "--connections", str(count)]))
            for generator, (_, count) in zip(generators, lanes):
                generator.line(60 + count / 20)
            after = self.settled_memory(processes)
            for generator in generators:
                generator.child.terminate()
            totals = [generator.line(60) for generator in generators]
        except (BenchError, OSError) as error:
            raise BenchError(f"{row.name}: {error}\n{generators[-1].log_tail()}{processes[0].log_tail()}") from error
        finally:
            codes = [generator.stop() for generator in generators]
        if any(codes) or sum(total["done"] for total in totals) != connections:
            raise BenchError(f"{row.name}: {totals}, exit codes {codes}\n{generators[-1].log_tail()}{processes[0].log_tail()}")
        rss, pss = ((last - first) / connections / 1024 for first, last in zip(before, after))
        return {"row": row.name, "load": load, "connections": connections, "processes": len(processes), "rss": rss, "pss": pss}

    def spread(self, row, connections):
        """Starts the row for this measurement alone: ([process], [(port, connections)]). A process has two descriptors for each
        connection, so the limit of them may ask for several processes; a sink and a port serve as many connections as there are
        free ports on one side."""
        room = (self.options.descriptors - 400) // 2
        lane_room = min(self.options.lane, self.options.descriptors - 400)
        count = -(-connections // room)
        processes, lanes = [], []
        for number in range(count):
            share = connections // count + (1 if number < connections % count else 0)
            width = -(-share // lane_room)
            ports = [(free_port(), self.start_sink().port) for _ in range(width)]
            processes.append(self.launch(row, f"{row.name} {number}", ports, share))
            lanes += [(port, share // width + (1 if lane < share % width else 0)) for lane, (port, _) in enumerate(ports)]
        for number, process in enumerate(processes):
            process.wait_listening(self.proxies[f"{row.name} {number}"][1], 60)
        return processes, lanes

    @staticmethod
    def memory_of(processes):
        each = [memory(process.child.pid) for process in processes]
        return tuple(sum(column) for column in zip(*each))

    def settled_memory(self, processes):
        last, since = self.memory_of(processes), time.monotonic()
        deadline = since + SETTLED_LIMIT
        while time.monotonic() - since < SETTLED and time.monotonic() < deadline:
            time.sleep(0.05)
            now = self.memory_of(processes)
            if now != last:
                last, since = now, time.monotonic()
        return last

    # ---- the start ----

    def begin(self, row, load):
        """From the command to the first connection that is taken: seconds by the clock and of CPU."""
        process = self.launch(row, row.name, [(free_port(), 1)], self.options.connections)
        try:
            wall = process.wait_listening(self.proxies[row.name][1], 120)
            cpu = cpu_nanoseconds(process.child.pid) / 1e9
        finally:
            process.stop()
            del self.proxies[row.name]
        return {"row": row.name, "load": load, "wall": wall, "cpu": cpu}

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
