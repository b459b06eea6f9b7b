"""The agent dies between EXEC and its answer: frozen before EXEC can reach it, or when the process runs but nothing
comes back. The client is told that the exec is lost; the container's restart policy starts another agent, and
nothing is ever sent to that again."""
import os
import signal
import time

import engine
from checks import CODE, HANG_S, Watch, begin_exec, new_tag, together
from world import wait_for

TITLE = "agent killed between EXEC and its answer"


def run(world, tally, rng, short):
    plans = [(i % 2, rng.uniform(0.0, 0.3)) for i in range(4 if short else 40)]

    def one(plan):
        started, after = plan
        tag = new_tag("killed")
        with Watch(tally, tag):
            box = world.container(RestartPolicy={"Name": "always"})
            agent = world.agent_pid(box)
            if started:
                world.proxy.swallow(box, "up")
            else:
                os.kill(agent, signal.SIGSTOP)
            eid, stream = begin_exec(box, ["sh", "-c", f"echo x >>/data/ran/{tag}; sleep 1000; exit {CODE}"], HANG_S)
            if started:
                wait_for(lambda: world.executed(tag), 20, "its execution")
            time.sleep(after)
            os.kill(agent, signal.SIGKILL)
            stream.file.read()  # the end of the stream
            stream.close()
            state = engine.call("GET", f"/exec/{eid}/json")
            tally.blame("wrong_codes", int(state["Running"] or state["ExitCode"] in (0, CODE)), f"{tag}: {state}")
            wait_for(lambda: world.agent_pid(box) not in (None, agent), 60, "the next agent")
            wait_for(lambda: works(box), 60, "an exec by the next agent")
            time.sleep(0.5)
            tally.blame("twice", int(world.executed(tag) > started), f"{tag}: executed {world.executed(tag)} times")
            world.remove(box)

    for at in range(0, len(plans), 8):
        together(one, plans[at:at + 8])


def works(box):
    try:
        _, stream = begin_exec(box, ["true"])
        stream.output()
        return True
    except AssertionError:
        return False
