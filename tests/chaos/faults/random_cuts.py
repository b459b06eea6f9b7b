"""Links cut at random distances, 10,000 of them, under runs of 1 to 64 MiB that exit with 7: what a command prints,
what it echoes from stdin, and main processes of containers by attach and by logs."""
import math
import random

from checks import Tally, exec_echoes, exec_produces, main_produces, piece
from world import MIB, PROCESSES

TITLE = "random cuts under 1 to 64 MiB"
SHORT_MAX = 4 * MIB
CUTS_EACH = 40     # of one agent: after 50 links in a row that live for less than 10 s it backs off


def job(world, seed, largest):
    """One container and CUTS_EACH cuts, over as many runs as that takes."""
    rng, tally = random.Random(seed), Tally()

    def size():
        return int(MIB * math.exp(rng.uniform(0, math.log(largest / MIB))))

    def rule(n, ways, left):
        return {"kind": "random", "mean": n / rng.uniform(4, CUTS_EACH), "left": left, "ways": ways}

    if rng.random() < 0.25:
        n = size()
        main_produces(tally, world, piece(rng, n, world.random), n,
                      lambda box: world.proxy.rule(box, rule(n, ["up"], CUTS_EACH)))
        return tally.as_dict()
    box, cuts = world.container(), 0
    for _ in range(12):
        n, echoes = size(), rng.random() < 0.4
        world.proxy.rule(box, rule(n, ["up", "down"] if echoes else ["up"], CUTS_EACH - cuts))
        world.proxy.cut(box)
        (exec_echoes if echoes else exec_produces)(tally, world, box, piece(rng, n, world.random), n)
        cuts = world.proxy.rule(box)["cuts"]
        if cuts >= CUTS_EACH - 2 or tally.violations:
            break
    tally.add(cuts=cuts)
    world.remove(box)
    return tally.as_dict()


def run(world, tally, rng, short):
    goal = 150 if short else 10000
    largest = SHORT_MAX if short else 64 * MIB
    while tally.counts["cuts"] < goal and not tally.violations > 20:
        need = (goal - tally.counts["cuts"] + CUTS_EACH - 1) // CUTS_EACH
        jobs = [(rng.getrandbits(64), largest) for _ in range(max(need, PROCESSES))]
        for result in world.spread(job, jobs):
            tally.merge(result)
