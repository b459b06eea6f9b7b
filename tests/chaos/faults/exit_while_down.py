"""The process ends while there is no link and none can be made: its code and every byte are there once there is one
again. Execs, and main processes, whose agent waits for the gateway."""
import time

import engine
from checks import HANG_S, Watch, begin_exec, finish_exec, judge_bytes, judge_code, judge_once, new_tag, piece, produce
from checks import read_all, together
from world import MIB, wait_for

TITLE = "exit while the link is down"
PAUSE = 0.3
WINDOW = 200 * 1024  # so much a process can write and end while nobody reads


def down(world, box):
    world.proxy.rule(box, {"kind": "refuse"})
    world.proxy.cut(box)


def up_when_ended(world, box, tag, rng, short):
    """Its output waits in the agent and the process has ended; only then may the agent call again."""
    wait_for(lambda: world.executed(tag + ".done"), HANG_S, "its end")
    time.sleep(rng.uniform(0, 0.3 if short else 8))
    world.proxy.rule(box)


def run(world, tally, rng, short):
    sizes = [rng.randrange(1, WINDOW) for _ in range(4 if short else 60)]

    def an_exec(size):
        tag, start, box = new_tag("down"), piece(rng, MIB, world.random), world.container()
        with Watch(tally, tag):
            ids = begin_exec(box, produce(tag, start, size, PAUSE))
            wait_for(lambda: world.executed(tag), 20, "its start")
            down(world, box)
            up_when_ended(world, box, tag, rng, short)
            finish_exec(tally, world, tag, *ids, world.random[start:start + size])
        tally.add(cuts=world.proxy.rule(box)["cuts"])
        world.remove(box)

    def a_main(size):
        tag, start = new_tag("down-main"), piece(rng, MIB, world.random)
        with Watch(tally, tag):
            box = world.container(*produce(tag, start, size, PAUSE), wait=False)
            stream = engine.attach(box)
            engine.start(box)
            wait_for(lambda: world.executed(tag), 20, "its start")
            down(world, box)
            up_when_ended(world, box, tag, rng, short)
            judge_bytes(tally, tag, read_all(stream), world.random[start:start + size])
            judge_code(tally, tag, engine.call("POST", f"/containers/{box}/wait")["StatusCode"])
            judge_once(tally, world, tag)
            tally.add(cuts=world.proxy.rule(box)["cuts"])
            world.remove(box)

    for at in range(0, len(sizes), 10):
        together(lambda job: job[0](job[1]), [((an_exec, a_main)[i % 2], size) for i, size in enumerate(sizes[at:at + 10])])
