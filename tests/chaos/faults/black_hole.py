"""One direction of a link goes nowhere while the other works and nothing is closed: whoever hears nothing for 25 s
gives the link up, and everything goes on by the next one. In the background: it is mostly waiting."""
import time

from checks import HANG_S, exec_echoes, exec_produces, piece, together
from world import MIB

TITLE = "one direction swallowed"
SILENCE_S = 25


def run(world, tally, rng, short):
    plans = [(way, rng.uniform(0.2, 1.0), piece(rng, 8 * MIB, world.random))
             for way in ("up", "down") for _ in range(1 if short else 6)]
    took = []

    def one(plan):
        way, after, start = plan
        box = world.container()
        begun = time.monotonic()

        def swallow():
            time.sleep(after)
            tally.blame("other", int(world.proxy.swallow(box, way) == 0), "there was no link to swallow")

        together(lambda work: work(), [
            swallow,
            lambda: exec_produces(tally, world, box, start, 8 * MIB, SILENCE_S + HANG_S, pause=1),
            lambda: exec_echoes(tally, world, box, start, 4 * MIB, SILENCE_S + HANG_S, pace=0.08)])
        took.append(time.monotonic() - begun)
        tally.add(cuts=1)
        world.remove(box)

    together(one, plans)
    tally.fact("longest pause", f"{max(took):.0f} s")
