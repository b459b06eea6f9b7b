"""start - from `docker start` to the first byte of stdout, the client attached before. Ours is here with the
emulator, whose containers are real (crun, overlay, network namespace); what Cloud Run adds is Google's."""
from figure import Figure, Step, client, floor, size

FIGURES = [Figure("start_p50", "docker start to the first byte of stdout, p50", "ms"), Figure("start_max", "the same, slowest", "ms")]


def start(bench, subject):
    if subject == "floor":
        got = floor("exec", size(10, 100), "/bin/busybox", "true")
    else:
        got = client(bench.engine(subject), "busybox", "start", size(1, 5))
    return {"start_p50": got["p50"], "start_max": got["max"]}


STEPS = [Step(["start_p50", "start_max"], start)]
