"""network - agents far away: 20 and 100 ms there and back, without loss and with 0.1 % of it. The floor is plain TCP over
the same line: an echo, a transfer; of a transfer without loss also not more than the largest window per round trip.

The line is wire.c between the container's network namespace and ours: two TUN devices that carry the agent's link.
It is laid once the agent has called; then the agent is told that it has been moved, and calls again from there. The
seed of the losses is printed: WIRE_SEED=n for the same again."""
import functools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import engines
from figure import SMOKE, Figure, NotMeasured, Step, at_least, client, floor, program, size

WINDOW = 8 << 20
LINES = [(20, 0), (100, 0), (20, 0.1), (100, 0.1)]
SECONDS = 5       # a transfer should last; its second half counts
BUFFERS = "4096 131072 67108864"  # tcp_rmem and tcp_wmem in the container: the usual 4 MiB to send would end it at 40 MB/s
PACKETS = 50000   # may wait until wire.c takes them
SEED = int(os.environ.get("WIRE_SEED", random.randrange(1 << 32)))


def key(ms, loss, what):
    return f"net{ms}{'_loss' if loss else ''}_{what}"


def where(ms, loss):
    return f"{ms} ms, {loss:g} % loss"


FIGURES = []
for rtt, lost in LINES:
    best = WINDOW / 1e6 / (rtt / 1e3)
    FIGURES += [Figure(key(rtt, lost, "exec"), f"{where(rtt, lost)}: exec of true, p50", "ms"),
                Figure(key(rtt, lost, "echo"), f"{where(rtt, lost)}: echo of a byte, p50", "ms"),
                Figure(key(rtt, lost, "stdout"), f"{where(rtt, lost)}: bulk stdout, one stream", "MB/s", "higher",
                       [at_least("tls", 0.9 * best, "MB/s")] if (rtt, lost) == (100, 0) else []),
                Figure(key(rtt, lost, "stdin"), f"{where(rtt, lost)}: bulk stdin, one stream", "MB/s", "higher")]


class Wire:
    """Both directions of the link to the container's agent, until it is closed."""

    count = 0

    def __init__(self, engine, ms, loss):
        Wire.count += 1
        self.pid, self.here, self.there = engine.agent_pid(), f"wire{Wire.count}", f"far{Wire.count}"
        self.address, self.peer = engine.address, self.link(engine)["peer"]
        self.device = re.search(r" dev (\S+)", engines.command("ip", "route", "get", self.peer)).group(1)
        self.process = subprocess.Popen([str(a) for a in (program("wire"), self.pid, self.here, self.there, round(ms * 500),
                                                          round(loss / 2 * 1e4), SEED)], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise engines.Failure("the line cannot be laid")
        try:
            self.move(engine)
        except BaseException:
            self.close()
            raise

    def move(self, engine):
        before = self.link(engine)["links"]
        self.inside("sh", "-c", f'for w in r w; do echo "{BUFFERS}" > /proc/sys/net/ipv4/tcp_${{w}}mem; done')
        for run, device in ((engines.command, self.here), (self.inside, self.there)):
            run("ip", "link", "set", device, "txqueuelen", PACKETS, "up")
        self.route(self.here, self.there)
        for number in (signal.SIGTSTP, signal.SIGCONT):  # as Cloud Run does around a move
            os.kill(self.pid, number)
            time.sleep(0.2)
        engines.until(lambda: self.link(engine)["links"] > before, 10, "the agent has called again")

    @staticmethod
    def link(engine):
        box = engine.docker("inspect", "-f", "{{.Id}}", "box")
        return next(a for a in engine.agents() if a["id"] == box)

    def inside(self, *argv):
        return engines.command("nsenter", "-t", self.pid, "-n", *argv)

    def route(self, here, there):
        self.inside("ip", "route", "replace", self.address, "dev", there, "src", self.peer)
        engines.command("ip", "route", "replace", self.peer, "dev", here, "src", self.address)

    def close(self):
        """The link goes on where it was before."""
        try:
            self.route(self.device, "eth0")
        finally:
            self.process.terminate()
        told = json.loads(self.process.communicate(timeout=10)[0])
        if sum(told["overflowed"]):
            print(f"wire: its queue was full for {sum(told['overflowed'])} packets of {sum(told['carried'])}", file=sys.stderr)


@functools.cache
def possible():
    """A TUN device, tried in a namespace of its own; and tools to lead packets there."""
    tried = subprocess.run(["unshare", "-n", "ip", "tuntap", "add", "dev", "tun0", "mode", "tun"], capture_output=True, check=False)
    return tried.returncode == 0


def far(bench, subject, ms, loss):
    """A gateway whose agents are so far away, and the line."""
    if not possible():
        raise NotMeasured("no TUN devices here")
    name = f"{subject}-{ms}{'-loss' if loss else ''}"
    if name not in bench.engines.running and name not in bench.engines.failed:
        bench.engine("plain")
        engine = bench.engines.second(name, tls=subject == "tls")
        engine.prepare()
        bench.engines.running[f"{name}-line"] = Wire(engine, ms, loss)
        if loss:
            print(f"{name}: WIRE_SEED={SEED}", file=sys.stderr)
    engine = bench.engines.get(name)
    return engine, bench.engines.running[f"{name}-line"]


def latencies(bench, subject, ms, loss):
    if subject == "floor":
        line = far(bench, "plain", ms, loss)[1]
        echo = floor("far-echo", size(5, 50), line.pid, line.address)["p50"] / 1e3
        return {key(ms, loss, "exec"): echo, key(ms, loss, "echo"): echo}
    engine, _ = far(bench, subject, ms, loss)
    return {key(ms, loss, "exec"): client(engine, "box", "exec", size(3, 30))["p50"],
            key(ms, loss, "echo"): client(engine, "box", "echo", size(5, 50))["p50"] / 1e3}


def one_transfer(bench, subject, ms, loss, direction, mib):
    engine, line = far(bench, "plain" if subject == "floor" else subject, ms, loss)
    if subject != "floor":
        return client(engine, "box", direction, 1, mib)
    return floor("far-out" if direction == "stdout" else "far-in", mib, line.pid, line.address)


def transfer(bench, subject, ms, loss, direction):
    got = one_transfer(bench, subject, ms, loss, direction, size(2, 4))
    for _ in range(0 if SMOKE else 4):  # windows grow at first; what is wanted is the rate after that
        mib = max(2, round(got["mb_s"] * SECONDS / 1.05))
        got = one_transfer(bench, subject, ms, loss, direction, mib)
        if mib * 1.05 / got["mb_s"] > 0.7 * SECONDS:
            break
    rate = got["half_mb_s"]
    return {key(ms, loss, direction): rate if loss or subject != "floor" else min(rate, WINDOW / 1e6 / (ms / 1e3))}


STEPS = []
for rtt, lost in LINES if not SMOKE else LINES[:1]:
    STEPS.append(Step([key(rtt, lost, "exec"), key(rtt, lost, "echo")], functools.partial(latencies, ms=rtt, loss=lost),
                      ("plain", "tls", "floor"), 3))
    for way in ("stdout", "stdin"):
        STEPS.append(Step([key(rtt, lost, way)], functools.partial(transfer, ms=rtt, loss=lost, direction=way),
                          ("plain", "tls", "floor"), 2))
