"""The gateway dies by SIGKILL at random instants and is started again on the same state. An attached client's stream
ends and no exit code is made up for it; after the restart `docker exec inspect` has the exact one, of attached and of
detached execs. Main processes go on: no line of their logs is missing or there twice. Nothing runs twice."""
import time

import engine
from checks import CODE, HANG_S, Watch, begin_exec, new_tag, produce, together
from world import MIB, wait_for

TITLE = "gateway killed at random instants"


def ended(eid):
    state = engine.call("GET", f"/exec/{eid}/json")
    return None if state["Running"] or state["ExitCode"] is None else state


def detached(box, argv):
    eid = engine.exec_create(box, *argv)
    engine.call("POST", f"/exec/{eid}/start", {"Detach": True}, want=[200, 204])
    return eid


def usable(box):
    try:
        _, stream = begin_exec(box, ["true"])
        stream.output()
        return True
    except (AssertionError, OSError, ValueError, IndexError):
        return False


def run(world, tally, rng, short):
    rounds = 3 if short else 50
    boxes = [world.container("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 5000; done") for _ in range(2)]
    back = []
    for _ in range(rounds):
        execs = []

        def begin(box):
            """What may be asked for at the moment of death: known by its tag, and by its ID if that came back."""
            for attached in (True, False):
                tag, eid = new_tag("crash"), None
                argv = produce(tag, 0, rng.randrange(1, 4 * MIB), rng.choice((0, 0.1, 1)))
                try:
                    if attached:
                        eid = engine.exec_create(box, *argv)
                        execs.append((tag, eid, box))
                        clients.append((tag, eid, engine.exec_start(eid)))
                    else:
                        eid = engine.exec_create(box, *argv)
                        execs.append((tag, eid, box))
                        engine.call("POST", f"/exec/{eid}/start", {"Detach": True}, want=[200, 204])
                except (AssertionError, OSError, ValueError, IndexError):
                    pass  # it was asked too late

        clients = []

        def kill(_):
            time.sleep(rng.uniform(0, 0.8))
            world.kill()

        def client_reads(client):
            tag, _, stream = client
            with Watch(tally, tag):
                stream.sock.settimeout(HANG_S)
                try:
                    stream.file.read()
                except ConnectionError:
                    pass
                stream.close()

        together(lambda job: job[0](job[1]), [(kill, None)] + [(begin, box) for box in boxes for _ in range(2)])
        together(client_reads, clients)
        begun = time.monotonic()
        world.start()
        for box in boxes:
            wait_for(lambda box=box: usable(box), HANG_S, "an exec after the restart")
        back.append(time.monotonic() - begun)
        for tag, eid, box in execs:
            judge(world, tally, tag, eid)
    logs_are_whole(world, tally, boxes)
    for box in boxes:
        world.remove(box)
    tally.fact("kills", rounds)
    tally.fact("usable again after", f"{sorted(back)[len(back) // 2]:.2f} s (slowest {max(back):.2f} s)")


def judge(world, tally, tag, eid):
    """An exec whose start was asked for: it ran once and its code is exact, or it never ran and says so."""
    with Watch(tally, tag):
        tally.add(runs=-1)
        state = engine.Stream("GET", f"/exec/{eid}/json")
        if state.status == 404:  # the gateway died before the answer: it cannot have been started
            tally.blame("other", world.executed(tag), f"{tag}: ran and is not known")
            return
        if world.executed(tag):
            state = wait_for(lambda: ended(eid), HANG_S, "its end")
            tally.blame("wrong_codes", int(state["ExitCode"] != CODE), f"{tag}: exit code {state['ExitCode']} instead of {CODE}")
        else:
            state = engine.call("GET", f"/exec/{eid}/json")
            tally.blame("wrong_codes", int(state["ExitCode"] in (0, CODE)), f"{tag}: never executed, {state}")
        tally.blame("twice", max(world.executed(tag) - 1, 0), f"{tag}: executed {world.executed(tag)} times")


def logs_are_whole(world, tally, boxes):
    for box in boxes:
        with Watch(tally, "logs"):
            logs = engine.Stream("GET", f"/containers/{box}/logs?stdout=1")
            lines = []
            body, at = logs.body(), 0
            while at < len(body):
                length = int.from_bytes(body[at + 4:at + 8], "big")
                lines.append(body[at + 8:at + 8 + length])
                at += 8 + length
            numbers = [int(n) for n in b"".join(lines).split()]
            tally.add(bytes=sum(map(len, lines)))
            want = list(range(1, len(numbers) + 1))
            tally.blame("lost", len(set(want) - set(numbers)), f"logs: {len(numbers)} lines are not 1 to {len(numbers)}")
            tally.blame("repeated", len(numbers) - len(set(numbers)), "logs: lines are there twice")
            tally.blame("other", int(len(numbers) < 100), f"logs: only {len(numbers)} lines")
