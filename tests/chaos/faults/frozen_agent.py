"""The agent stops (SIGSTOP) in the middle of runs and goes on after a while, in the full form up to two minutes:
longer than either side believes in a link without a sign of life."""
import os
import signal
import time

from checks import HANG_S, exec_echoes, exec_produces, piece, together
from world import MIB

TITLE = "agent frozen for 1 to 120 s"


def run(world, tally, rng, short):
    stops = [rng.uniform(1, 3) for _ in range(3)] if short else \
        [120.0, 60.0] + [rng.uniform(1, 30) for _ in range(6)] + [rng.uniform(25, 120) for _ in range(4)]
    plans = [(seconds, rng.uniform(0, 1.2), piece(rng, 8 * MIB, world.random)) for seconds in stops]

    def one(plan):
        seconds, after, start = plan
        box = world.container()
        agent = world.agent_pid(box)

        def freeze(_):
            time.sleep(after)
            os.kill(agent, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(agent, signal.SIGCONT)

        together(lambda work: work(0), [
            freeze,
            lambda _: exec_produces(tally, world, box, start, 8 * MIB, HANG_S + seconds, pause=1),
            lambda _: exec_echoes(tally, world, box, start, 4 * MIB, HANG_S + seconds, pace=0.08)])
        world.remove(box)

    together(one, plans)
    tally.fact("stops", len(stops))
    tally.fact("longest", f"{max(stops):.0f} s")
