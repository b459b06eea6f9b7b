"""100 execs of one container at once: one client does not read at all, nine read slowly. The other ninety are exact
and in time, and what waits for the ten is exact when they read on."""
import time

from checks import begin_exec, finish_exec, new_tag, piece, produce, read_all, together, Watch, exec_produces
from checks import judge_bytes, judge_code, judge_once, engine
from world import MIB

TITLE = "slow and unread readers among 100"
IN_TIME_S = 60


def run(world, tally, rng, short):
    box = world.container()
    start = piece(rng, 8 * MIB, world.random)
    tag = new_tag("unread")
    with Watch(tally, tag):
        unread = begin_exec(box, produce(tag, start, 8 * MIB))

    def slowly(_):
        name = new_tag("slow")
        with Watch(tally, name):
            eid, stream = begin_exec(box, produce(name, start, 2 * MIB))
            got = read_all(stream, lambda _: time.sleep(0.02))
            judge_bytes(tally, name, got, world.random[start:start + 2 * MIB])
            stream.close()
            judge_code(tally, name, engine.exec_code(eid))
            judge_once(tally, world, name)

    def quickly(_):
        begun = time.monotonic()
        exec_produces(tally, world, box, start, MIB // 4)
        took = time.monotonic() - begun
        tally.blame("other", int(took > IN_TIME_S), f"an exec beside slow readers took {took:.1f} s")
        times.append(took)

    times = []
    for _ in range(1 if short else 10):
        together(lambda i: slowly(i) if i < 9 else quickly(i), range(99))
    with Watch(tally, tag):
        finish_exec(tally, world, tag, *unread, world.random[start:start + 8 * MIB])
        tally.add(runs=-1)
    world.remove(box)
    tally.fact("slowest of the others", f"{max(times):.1f} s")
