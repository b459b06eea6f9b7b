"""exec - one short command in a running container: how long, and how many a second."""
import time

from figure import Figure, Step, at_most, client, floor, size, times

FIGURES = [
    Figure("exec_p50", "exec of true: create, start, end, inspect; p50", "ms", goals=[times("plain", 20), times("tls", 20)]),
    Figure("exec_p99", "the same, p99", "ms"),
    Figure("open_p50", "open + 1 byte echo: exec of cat until its first byte; p50", "ms", goals=[at_most("tls", 0.9, "ms")]),
    Figure("open_p99", "the same, p99", "ms"),
    Figure("execs_per_s", "execs per second, 8 at a time", "1/s", "higher", [times("plain", 50), times("tls", 50)]),
    Figure("cli_exec", "docker exec true, the client's own start and all", "ms"),
]

BUSYBOX = "/bin/busybox"  # static, as the image's


def exec_(bench, subject):
    n = size(10, 100)
    got = floor("exec", n, BUSYBOX, "true") if subject == "floor" else client(bench.engine(subject), "box", "exec", n)
    return {"exec_p50": got["p50"], "exec_p99": got["p99"]}


def open_(bench, subject):
    n = size(5, 100) if subject != "dockerd" else size(3, 40)
    got = floor("open", n, BUSYBOX, "cat") if subject == "floor" else client(bench.engine(subject), "box", "open", n)
    return {"open_p50": got["p50"], "open_p99": got["p99"]}


def rate(bench, subject):
    n = size(16, 100) if subject == "dockerd" else size(64, 2000)
    got = floor("rate", n, BUSYBOX, "true") if subject == "floor" else client(bench.engine(subject), "box", "rate", n)
    return {"execs_per_s": got["per_s"]}


def cli(bench, subject):
    n, engine = size(1, 10), bench.engine(subject)
    began = time.monotonic()
    for _ in range(n):
        engine.docker("exec", "box", "true")
    return {"cli_exec": (time.monotonic() - began) * 1e3 / n}


STEPS = [Step(["exec_p50", "exec_p99"], exec_), Step(["open_p50", "open_p99"], open_), Step(["execs_per_s"], rate),
         Step(["cli_exec"], cli, ("plain", "tls", "dockerd"))]
