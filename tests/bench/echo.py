"""echo - a byte there and back through a running `cat`: alone, beside a stream at full speed in the same
container, and beside one whose client has stopped reading. What the load changes is the median of 15 turns' own ratios."""
import functools

from figure import Figure, Step, at_most, client, floor, size

FIGURES = [
    Figure("echo_p50", "echo of a byte, p50", "us"),
    Figure("echo_p99", "the same, p99", "us"),
    Figure("echo_bulk_p50", "echo under bulk load, p50", "us"),
    Figure("echo_bulk_p99", "the same, p99", "us"),
    Figure("echo_bulk_change", "... p99 by how much worse than alone", "%", compare=False),
    Figure("echo_unread_p99", "echo beside an unread stream, p99", "us"),
    Figure("echo_unread_change", "... p99 by how much worse than alone", "%", compare=False,
           goals=[at_most("plain", 10, "%"), at_most("tls", 10, "%")]),
]


def alone(bench, subject):
    n = size(200, 3000)
    got = floor("echo", n) if subject == "floor" else client(bench.engine(subject), "box", "echo", n)
    return {"echo_p50": got["p50"], "echo_p99": got["p99"]}


def beside(bench, subject, load):
    got = client(bench.engine(subject), "box", f"echo-{load}", size(100, 15000 if load == "unread" else 6000))
    figures = {f"echo_{load}_p99": got["p99"], f"echo_{load}_change": (got["change"] - 1) * 100}
    return figures if load == "unread" else {"echo_bulk_p50": got["p50"], **figures}


ENGINES = ("plain", "tls", "dockerd")
STEPS = [Step(["echo_p50", "echo_p99"], alone),
         Step(["echo_bulk_p50", "echo_bulk_p99", "echo_bulk_change"], functools.partial(beside, load="bulk"), ENGINES),
         Step(["echo_unread_p99", "echo_unread_change"], functools.partial(beside, load="unread"), ENGINES)]
