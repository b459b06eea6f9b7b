"""crash - how soon the next exec works: after the gateway was killed and started again, and after an agent froze
and another took its place. dockerd has neither: its containers end with it, and nothing stands in for them."""
import os
import pathlib
import signal
import subprocess
import time

import engines
import execs
from figure import Figure, Step, at_most

FIGURES = [
    Figure("gateway_killed", "gateway killed and started again: until an exec works", "s", compare=False,
           goals=[at_most("plain", 0.4, "s"), at_most("tls", 0.4, "s")]),
    Figure("agent_frozen", "agent frozen, another started: until an exec works", "s", compare=False,
           goals=[at_most("plain", 3, "s"), at_most("tls", 3, "s")]),
]
LIMIT_S = 30
TRY_S = 5


def usable(engine, container):
    """Seconds from now until an exec does what it should."""
    began = time.monotonic()
    why = None
    while time.monotonic() - began < LIMIT_S:
        try:
            if execs.run_exec(engine, container, ["echo", "x"], timeout=TRY_S) == (b"x\n", 0):
                return time.monotonic() - began
            why = "a wrong answer"
        except (engines.Failure, OSError, AssertionError) as e:
            why = e
        time.sleep(0.002)
    raise engines.Failure(f"no exec works within {LIMIT_S} s: {why}")


def gateway_killed(bench, subject):
    engine = bench.engine(subject)
    began = time.monotonic()
    engine.kill()
    engine.run(wait=False)
    between = time.monotonic() - began
    return {"gateway_killed": between + usable(engine, "box")}


def agent_frozen(bench, subject):
    """The replacement runs beside the frozen one, in its namespaces and with its environment."""
    engine = bench.engine(subject)
    engine.box("frozen")
    pid = engine.agent_pid("frozen")
    environment = dict(pair.split("=", 1) for pair in pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in pair)
    argv = pathlib.Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    os.kill(pid, signal.SIGSTOP)
    other = subprocess.Popen(["nsenter", "-t", str(pid), "-m", "-u", "-i", "-n", "-p", "--", *argv], env=environment,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return {"agent_frozen": usable(engine, "frozen")}
    finally:
        os.kill(pid, signal.SIGCONT)
        engine.docker("rm", "-f", "frozen")
        other.kill()
        other.wait(10)


STEPS = [Step(["gateway_killed"], gateway_killed, ("plain", "tls")), Step(["agent_frozen"], agent_frozen, ("plain", "tls"), 3)]
