"""The gateway replaces its own program (SIGHUP) at random instants under load: no client notices, neither those whose
streams are in the middle nor those that come meanwhile."""
import signal
import time

from checks import HANG_S, exec_echoes, exec_produces, piece, together
from world import MIB, wait_for

TITLE = "planned restart at random instants"
DONE = "the restart is done"


def run(world, tally, rng, short):
    boxes = [world.container() for _ in range(2)]
    rounds = 2 if short else 30

    def restarts():
        return (world.dir / "gateway.log").read_text(errors="replace").count(DONE)

    before = restarts()
    for _ in range(rounds):
        def restart(_):
            time.sleep(rng.uniform(0, 1.2))
            n = restarts()
            world.signal(signal.SIGHUP)
            wait_for(lambda: restarts() > n or world.gateway.poll() is not None, HANG_S, "the restart")

        def produces(box):
            exec_produces(tally, world, box, piece(rng, 4 * MIB, world.random), 4 * MIB, pause=1)

        def echoes(box):
            exec_echoes(tally, world, box, piece(rng, 2 * MIB, world.random), 2 * MIB, pace=0.1)

        def shorts(box):
            for _ in range(8):
                exec_produces(tally, world, box, 0, 20000)

        together(lambda job: job[0](job[1]),
                 [(restart, None)] + [(work, box) for work in (produces, echoes, shorts) for box in boxes])
        if world.gateway.poll() is not None:
            tally.blame("other", 1, f"the gateway ended with {world.gateway.returncode}")
            world.start()
    for box in boxes:
        world.remove(box)
    tally.blame("other", rounds - (restarts() - before), f"{restarts() - before} restarts instead of {rounds}")
    tally.fact("restarts", restarts() - before)
