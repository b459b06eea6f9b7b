"""bulk - many bytes, each way, over 1, 8 and 64 streams. The floor is a loopback TCP connection for each stream,
with a thread at each end; memcpy is what no byte can beat."""
import functools

from figure import SMOKE, Figure, NotMeasured, Step, client, floor, size, times

STREAMS = (1, 8, 64)


def goals(direction, streams):
    if streams > 1:
        return []
    return [times("plain", 6), times("tls", 4)] if direction == "stdout" else [times("plain", 3), times("tls", 3)]


FIGURES = [Figure(f"{d}_{n}", f"bulk {d}, {n} stream{'s' if n > 1 else ''}", "MB/s", "higher", goals(d, n))
           for d in ("stdout", "stdin") for n in STREAMS]
FIGURES.append(Figure("memcpy", "memcpy", "MB/s", "higher", compare=False))


def transfer(bench, subject, direction, streams):
    mib = size(32, 512)
    if subject == "floor":
        return {f"{direction}_{streams}": floor("bulk", streams, mib)["mb_s"]}
    if SMOKE and subject == "dockerd" and streams > 8:
        raise NotMeasured("a short run")
    return {f"{direction}_{streams}": client(bench.engine(subject), "box", direction, streams, mib)["mb_s"]}


STEPS = [Step([f"{d}_{n}"], functools.partial(transfer, direction=d, streams=n)) for d in ("stdout", "stdin") for n in STREAMS]
STEPS.append(Step(["memcpy"], lambda bench, subject: {"memcpy": floor("memcpy", size(256, 2048))["mb_s"]}, ("floor",)))
