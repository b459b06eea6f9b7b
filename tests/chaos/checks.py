"""checks - runs whose every byte, exit code and number of executions is known beforehand, and the tally of what
they came to. A run leaves a line in /data/ran/NAME when it is executed, so twice is seen from outside."""
import hashlib
import itertools
import os
import threading
import time

import engine

CODE = 7
HANG_S = 60
BLOCK = 65536
serial = itertools.count()

FIELDS = ("runs", "bytes", "cuts", "lost", "repeated", "wrong_codes", "twice", "hangs", "other")
VIOLATIONS = ("lost", "repeated", "wrong_codes", "twice", "hangs", "other")


class Tally:
    """What a fault has come to. Threads share one; processes send theirs home by as_dict()."""

    def __init__(self, **first):
        self.counts = dict.fromkeys(FIELDS, 0)
        self.counts.update(first)
        self.notes, self.facts = [], {}
        self.lock = threading.Lock()

    def add(self, **more):
        with self.lock:
            for field, n in more.items():
                self.counts[field] += n

    def blame(self, field, n, note):
        """Something is not as it has to be: n of a violation's field, and a sentence for the reader."""
        if n:
            self.add(**{field: n})
            with self.lock:
                self.notes.append(note)

    def fact(self, name, value):
        """A measurement for the table, such as a time."""
        with self.lock:
            self.facts[name] = value

    def merge(self, other):
        self.add(**other["counts"])
        with self.lock:
            self.notes += other["notes"]
            self.facts.update(other["facts"])

    def as_dict(self):
        return {"counts": self.counts, "notes": self.notes, "facts": self.facts}

    @property
    def violations(self):
        return sum(self.counts[field] for field in VIOLATIONS)


# ---- what runs are made of

def new_tag(what):
    return f"{what}-{os.getpid()}-{next(serial)}"


def produce(tag, start, size, pause=0.0):
    """A command that prints a piece of the random bytes, half of it after a pause, and exits with 7."""
    half = size // 2 // BLOCK * BLOCK if pause else 0
    first = f"dd if=/data/random bs={BLOCK} skip={start // BLOCK} count={half // BLOCK} 2>/dev/null; sleep {pause}; " if pause else ""
    rest = f"dd if=/data/random bs={BLOCK} skip={(start + half) // BLOCK} 2>/dev/null | head -c {size - half}"
    return ["sh", "-c", f"echo x >>/data/ran/{tag}; {first}{rest}; echo x >>/data/ran/{tag}.done; exit {CODE}"]


def echo(tag):
    """A command that prints what it reads, and exits with 7."""
    return ["sh", "-c", f"echo x >>/data/ran/{tag}; cat; echo x >>/data/ran/{tag}.done; exit {CODE}"]


def piece(rng, size, data):
    """Where in the data a piece of this size may begin."""
    return rng.randrange((len(data) - size) // BLOCK + 1) * BLOCK


# ---- reading and judging

def read_all(stream, on_frame=None):
    """stdout to the end of the stream; stderr is none of ours."""
    got = bytearray()
    for kind, payload in stream.frames():
        if kind == 1:
            got += payload
        if on_frame:
            on_frame(len(got))
    return got


def feed(stream, data, pace=0.0):
    """In a thread: a client's stdin, and its end."""
    def work():
        try:
            for at in range(0, len(data), BLOCK * 4):
                stream.send(data[at:at + BLOCK * 4])
                if pace:
                    time.sleep(pace)
            stream.close_write()
        except OSError:
            pass  # the reader sees it too

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def judge_bytes(tally, tag, got, want):
    """Equal by SHA-256; if not, how many are lost or repeated, and from where on."""
    tally.add(bytes=len(got))
    if hashlib.sha256(got).digest() == hashlib.sha256(want).digest():
        return True
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    lost, repeated = max(len(want) - len(got), 0), max(len(got) - len(want), 0)
    if not lost and not repeated:
        lost = 1
    note = f"{tag}: {len(got)} bytes instead of {len(want)}, equal up to {at}"
    tally.blame("lost", lost, note)
    tally.blame("repeated", repeated, note)
    return False


def judge_code(tally, tag, code, want=CODE):
    tally.blame("wrong_codes", int(code != want), f"{tag}: exit code {code} instead of {want}")


def judge_once(tally, world, tag, most_only=False):
    n = world.executed(tag)
    tally.blame("twice", max(n - 1, 0), f"{tag}: executed {n} times")
    if not most_only:
        tally.blame("other", int(n == 0), f"{tag}: never executed")


class Watch:
    """with Watch(tally, tag): what takes too long is a hang, what breaks is a violation; neither ends the suite."""

    def __init__(self, tally, tag):
        self.tally, self.tag = tally, tag

    def __enter__(self):
        self.tally.add(runs=1)
        return self

    def __exit__(self, kind, error, trace):
        if kind is None or not issubclass(kind, Exception):
            return False
        if issubclass(kind, TimeoutError):
            self.tally.blame("hangs", 1, f"{self.tag}: hangs: {error}")
        else:
            while trace.tb_next:
                trace = trace.tb_next
            self.tally.blame("other", 1, f"{self.tag}: {kind.__name__} at line {trace.tb_lineno}: {error}")
        return True


# ---- whole runs

def begin_exec(box, argv, timeout=HANG_S, **options):
    """(exec id, stream)."""
    eid = engine.exec_create(box, *argv, **options)
    stream = engine.exec_start(eid)
    stream.sock.settimeout(timeout)
    return eid, stream


def finish_exec(tally, world, tag, eid, stream, want):
    judge_bytes(tally, tag, read_all(stream), want)
    stream.close()
    judge_code(tally, tag, engine.exec_code(eid))
    judge_once(tally, world, tag)


def exec_produces(tally, world, box, start, size, timeout=HANG_S, pause=0.0):
    tag = new_tag("exec")
    with Watch(tally, tag):
        eid, stream = begin_exec(box, produce(tag, start, size, pause), timeout)
        finish_exec(tally, world, tag, eid, stream, world.random[start:start + size])


def exec_echoes(tally, world, box, start, size, timeout=HANG_S, pace=0.0):
    tag = new_tag("echo")
    with Watch(tally, tag):
        eid, stream = begin_exec(box, echo(tag), timeout, AttachStdin=True)
        want = world.random[start:start + size]
        feed(stream, want, pace)
        finish_exec(tally, world, tag, eid, stream, want)


def main_produces(tally, world, start, size, before_start):
    """docker run: the container's own process; its output by attach and, whole again, by logs."""
    tag = new_tag("main")
    want = world.random[start:start + size]
    with Watch(tally, tag):
        box = world.container(*produce(tag, start, size), wait=False)
        before_start(box)
        stream = engine.attach(box)
        stream.sock.settimeout(HANG_S)
        engine.start(box)
        judge_bytes(tally, tag, read_all(stream), want)
        stream.close()
        judge_code(tally, tag, engine.call("POST", f"/containers/{box}/wait")["StatusCode"])
        judge_once(tally, world, tag)
        logs = engine.Stream("GET", f"/containers/{box}/logs?stdout=1")
        whole = b"".join(body_frames(logs.body()))
        logs.close()
        judge_bytes(tally, tag + " (logs)", whole, want)
        tally.add(cuts=world.proxy.rule(box)["cuts"])
        world.remove(box)


def body_frames(body):
    view, at = memoryview(body), 0
    while at < len(view):
        length = int.from_bytes(view[at + 4:at + 8], "big")
        if view[at] == 1:
            yield view[at + 8:at + 8 + length]
        at += 8 + length


def together(work, items):
    """work(item) for each, at once. Runs take care of their own errors; what else fails, fails the fault."""
    failed = []

    def guarded(item):
        try:
            work(item)
        except Exception as e:  # pylint: disable=broad-except
            failed.append(e)

    threads = [threading.Thread(target=guarded, args=(item,), daemon=True) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
