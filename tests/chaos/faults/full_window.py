"""The window is full in both directions when the link is handed over, again and again: the client does not read, the
process does not read. Then both do, and all is there."""
import time

from checks import Watch, begin_exec, echo, feed, finish_exec, new_tag, piece, produce, together
from world import MIB, wait_for

TITLE = "full window during hand-over"


def run(world, tally, rng, short):
    def one(i):
        size = rng.randrange(4 * MIB, (8 if short else 32) * MIB)
        tag, start, box = new_tag("full"), piece(rng, size, world.random), world.container()
        want = world.random[start:start + size]
        with Watch(tally, tag):
            if i % 2:
                ids = begin_exec(box, produce(tag, start, size))
            else:
                argv = echo(tag)
                argv[-1] = "sleep 2; " + argv[-1]
                ids = begin_exec(box, argv, AttachStdin=True)
                feed(ids[1], want)
            wait_for(lambda: i % 2 == 0 or world.executed(tag), 20, "its start")
            for _ in range(3 if short else 12):
                time.sleep(rng.uniform(0.1, 0.5))
                tally.add(cuts=world.proxy.cut(box, rng.random() < 0.5))
            finish_exec(tally, world, tag, *ids, want)
        world.remove(box)

    together(one, range(4))
    if not short:
        for _ in range(4):
            together(one, range(8))
