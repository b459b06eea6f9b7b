"""The same session of real programs (an exec with stdin, output and exit code 7), its link cut when exactly so many
bytes have gone up or down: from the first of the WebSocket handshake to the acknowledgement of the exit. The full
form goes through every place, the short one through a few."""
import random
import time

from checks import Tally, exec_echoes
from world import PROCESSES, wait_for

TITLE = "cut after every byte, real programs"
SIZE = 700         # of the exchange, each way
CUTS_EACH = 20     # of one agent; the link before is cut as well


def record(world, tally):
    """How many bytes such a session is, each way."""
    box = world.container()
    world.proxy.cut(box)
    before = wait_for(lambda: (c := world.proxy.rule(box))["links"] > 1 and c, 10, "the second link")
    exec_echoes(tally, world, box, 0, SIZE)
    time.sleep(0.2)
    world.proxy.cut(box)
    after = wait_for(lambda: (c := world.proxy.rule(box))["links"] > 2 and c, 10, "the third link")
    world.remove(box)
    return {way: after[way] - before[way] for way in ("up", "down")}


def job(world, cuts, seed):
    """Each cut on a link of its own: the one before is cut at once, the next carries HELLO and the exec."""
    tally, rng = Tally(), random.Random(seed)
    box = world.container()
    fell = 0
    for way, at in cuts:
        before = world.proxy.rule(box, {"kind": "exact", "way": way, "at": at, "hard": rng.random() < 0.5})["cuts"]
        world.proxy.cut(box)
        exec_echoes(tally, world, box, 0, SIZE)
        fell += world.proxy.rule(box)["cuts"] - before - 1
    tally.add(cuts=fell)
    world.remove(box)
    return tally.as_dict()


def run(world, tally, rng, short):
    whole = record(world, tally)
    step = 200 if short else 1
    cuts = [(way, at + rng.randrange(step)) for way in whole for at in range(0, whole[way], step)]
    rng.shuffle(cuts)
    each = min(CUTS_EACH, len(cuts) // PROCESSES + 1)
    jobs = [(cuts[i:i + each], rng.getrandbits(32)) for i in range(0, len(cuts), each)]
    for result in world.spread(job, jobs):
        tally.merge(result)
    tally.fact("places tried", len(cuts))
    tally.fact("bytes up and down", f"{whole['up']} and {whole['down']}")
