"""network - agents far away: 20 and 100 ms there and back, without loss and with 0.1 % of it. The floor is what
physics leaves: one round trip for an exec or an echo, the largest window per round trip for a transfer.

The line is netem in the agent's network namespace and on the host's end of its link, where the kernel has it;
else delay.c between agent and gateway. That one cannot lose anything: loss is then not measured."""
import functools
import re
import subprocess

import engines
from figure import SMOKE, Figure, NotMeasured, Step, at_least, client, program, size

WINDOW = 8 << 20
LINES = [(20, 0), (100, 0), (20, 0.1), (100, 0.1)]
SECONDS = 5       # a transfer should last
LIMIT = 200000    # packets on the line; netem's own default is for short ones


def key(ms, loss, what):
    return f"net{ms}{'_loss' if loss else ''}_{what}"


def where(ms, loss):
    return f"{ms} ms, {loss:g} % loss"


FIGURES = []
for rtt, lost in LINES:
    best = WINDOW / 1e6 / (rtt / 1e3)
    FIGURES += [Figure(key(rtt, lost, "exec"), f"{where(rtt, lost)}: exec of true, p50", "ms"),
                Figure(key(rtt, lost, "echo"), f"{where(rtt, lost)}: echo of a byte, p50", "ms"),
                Figure(key(rtt, lost, "stdout"), f"{where(rtt, lost)}: bulk stdout (floor: 8 MiB a round trip)", "MB/s", "higher",
                       [at_least("tls", 0.9 * best, "MB/s")] if (rtt, lost) == (100, 0) else []),
                Figure(key(rtt, lost, "stdin"), f"{where(rtt, lost)}: bulk stdin", "MB/s", "higher")]


@functools.cache
def has_netem():
    """Tried in a namespace of its own."""
    done = subprocess.run(["unshare", "-n", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"], capture_output=True,
                          check=False)
    return done.returncode == 0


class Delay:
    """The proxy, as something an engine set closes."""

    def __init__(self, listen, target, ms):
        self.process = subprocess.Popen([program("delay"), listen, target, str(round(ms * 500))], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise engines.Failure("the delaying proxy does not start")

    def close(self):
        self.process.terminate()
        self.process.wait(10)


def netem(engine, ms, loss):
    """Both directions of the link to the container's agent."""
    pid, box = engine.agent_pid(), engine.docker("inspect", "-f", "{{.Id}}", "box")
    peer = next(a["peer"] for a in engine.agents() if a["id"] == box).split(":")[0]
    device = re.search(r" dev (\S+)", engines.command("ip", "route", "get", peer)).group(1)
    line = ["root", "netem", "limit", LIMIT, "delay", f"{ms / 2}ms", *(["loss", f"{loss / 2}%"] if loss else [])]
    engines.command("tc", "qdisc", "replace", "dev", device, *line)
    engines.command("nsenter", "-t", pid, "-n", "tc", "qdisc", "replace", "dev", "eth0", *line)


def far(bench, subject, ms, loss):
    """A gateway whose agents are so far away."""
    name = f"{subject}-{ms}-{loss}"
    if name in bench.engines.running or name in bench.engines.failed:
        return bench.engines.get(name)
    near = bench.engine("plain")
    address = near.local("host_address")
    proxy = f"{address}:{engines.free_port(address)}"
    engine = bench.engines.second(name, tls=subject == "tls", via=None if has_netem() else proxy)
    if not has_netem():
        bench.engines.running[f"{name}-line"] = Delay(proxy, f"{address}:{engine.port}", ms)
    engine.prepare()
    if has_netem():
        netem(engine, ms, loss)
    return engine


def possible(loss):
    if loss and not has_netem():
        raise NotMeasured("this kernel has no netem")


def latencies(bench, subject, ms, loss):
    possible(loss)
    if subject == "floor":
        return {key(ms, loss, "exec"): ms, key(ms, loss, "echo"): ms}
    engine = far(bench, subject, ms, loss)
    return {key(ms, loss, "exec"): client(engine, "box", "exec", size(3, 30))["p50"],
            key(ms, loss, "echo"): client(engine, "box", "echo", size(5, 50))["p50"] / 1e3}


def transfer(bench, subject, ms, loss, direction):
    possible(loss)
    if subject == "floor":
        return {key(ms, loss, direction): WINDOW / 1e6 / (ms / 1e3)}
    engine = far(bench, subject, ms, loss)
    rate = client(engine, "box", direction, 1, size(4, 32))["mb_s"]
    for _ in range(0 if SMOKE else 3):  # windows grow at first; what is wanted is the rate after that
        mib = max(8, round(rate * SECONDS / 1.05))
        rate = client(engine, "box", direction, 1, mib)["mb_s"]
        if mib * 1.05 / rate > 0.8 * SECONDS:
            break
    return {key(ms, loss, direction): rate}


STEPS = []
for rtt, lost in LINES if not SMOKE else LINES[:1]:
    STEPS.append(Step([key(rtt, lost, "exec"), key(rtt, lost, "echo")], functools.partial(latencies, ms=rtt, loss=lost),
                      ("plain", "tls", "floor"), 3))
    for way in ("stdout", "stdin"):
        STEPS.append(Step([key(rtt, lost, way)], functools.partial(transfer, ms=rtt, loss=lost, direction=way),
                          ("plain", "tls", "floor"), 2))
