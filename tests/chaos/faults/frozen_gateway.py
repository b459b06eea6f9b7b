"""The gateway stops (SIGSTOP) in the middle of runs and goes on after a while, in the full form up to two minutes:
meanwhile the agents give their links up and dial again and again."""
import signal
import time

from checks import HANG_S, exec_echoes, exec_produces, piece, together
from world import MIB

TITLE = "gateway frozen for 1 to 120 s"


def run(world, tally, rng, short):
    stops = [rng.uniform(1, 3)] if short else [120.0] + [rng.uniform(1, 40) for _ in range(3)]
    boxes = [world.container() for _ in range(3)]
    for seconds in stops:
        def freeze(_, seconds=seconds):
            time.sleep(rng.uniform(0, 1.2))
            world.signal(signal.SIGSTOP)
            time.sleep(seconds)
            world.signal(signal.SIGCONT)

        def produces(box, seconds=seconds):
            exec_produces(tally, world, box, piece(rng, 8 * MIB, world.random), 8 * MIB, HANG_S + seconds, pause=1)

        def echoes(box, seconds=seconds):
            exec_echoes(tally, world, box, piece(rng, 4 * MIB, world.random), 4 * MIB, HANG_S + seconds, pace=0.08)

        together(lambda work: work[0](work[1]),
                 [(freeze, None)] + [(produces, box) for box in boxes] + [(echoes, box) for box in boxes])
    for box in boxes:
        world.remove(box)
    tally.fact("stops", len(stops))
    tally.fact("longest", f"{max(stops):.0f} s")
