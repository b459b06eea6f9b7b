"""A second agent claims a container. While the first answers, it is told DUPLICATE and gets nothing; when the first is
frozen, it takes over within some seconds and the first does not come back. They never alternate."""
import base64
import os
import pathlib
import signal
import subprocess
import time

import engine
from checks import Watch, begin_exec
from world import wait_for

UNTIL_AGENT_ENDS = "exec tail -f --pid=$PPID /dev/null"  # so that a killed agent leaves nothing behind

TITLE = "two agents for one container"
TAKE_OVER_S = 6
CHALLENGES = 3


class Second:
    """The same agent with the same claim, outside of the container."""

    def __init__(self, world, first, n):
        env = dict(e.split("=", 1) for e in pathlib.Path(f"/proc/{first}/environ").read_text().split("\0") if "=" in e)
        env = {k: v for k, v in env.items() if k.startswith(("SOCKERLESS_", "CLOUD_RUN_"))}
        env["SOCKERLESS_AGENT_SPEC"] = base64.b64encode(b'{"proofs": true}').decode()
        env["SOCKERLESS_SIDECAR_PORT"] = "0"
        env["SOCKERLESS_CHAOS_MARK"] = str(world.dir)
        self.log = world.dir / f"second-{first}-{n}.log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with
                [world.build / "bin/sockerless-agent", "run", "--", "sh", "-c", UNTIL_AGENT_ENDS], env=env, cwd="/",
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def was_told(self, words):
        return words in self.log.read_text()

    def end(self):
        self.process.kill()
        self.process.wait()


def who(box):
    """Which agent runs an exec: only the first one's processes have the volume."""
    try:
        _, stream = begin_exec(box, ["sh", "-c", "test -e /data/random && echo first || echo second"], 15)
        return stream.output()[0].decode().strip()
    except (AssertionError, OSError):
        return None


def run(world, tally, rng, short):
    took = []
    for n in range(1 if short else 10):
        box = world.container()
        first = world.agent_pid(box)
        with Watch(tally, "two agents"):
            second = Second(world, first, n)
            wait_for(lambda s=second: s.was_told("another agent holds this container"), 20, "DUPLICATE")
            served = [who(box) for _ in range(20)]
            tally.blame("other", sum(s != "first" for s in served), f"while the first answers: {served}")
            second.end()
            time.sleep(rng.uniform(0, 0.5))
            os.kill(first, signal.SIGSTOP)
            second, begun = Second(world, first, f"{n}b"), time.monotonic()
            wait_for(lambda: who(box) == "second", 60, "the take-over")
            took.append(time.monotonic() - begun)
            tally.blame("other", int(took[-1] > TAKE_OVER_S), f"the take-over took {took[-1]:.1f} s")
            os.kill(first, signal.SIGCONT)
            served = [(time.sleep(0.1), who(box))[1] for _ in range(40)]
            tally.blame("other", sum(s != "second" for s in served), f"when the first is awake again: {served}")
            tally.add(runs=60)
        second.end()
        os.kill(first, signal.SIGCONT)
        world.remove(box)
    if took:
        tally.fact("take-over", f"{max(took):.1f} s")
