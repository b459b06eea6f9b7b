"""Cases of 20-exec.sh that need the bytes of the hijacked stream."""
import hashlib
import os
import sys
import threading
import time

import engine

MIB = 1 << 20


def alternate(box):
    # The second is answered before the next pair: however long the machine stands still, no two of one stream wait.
    script = ("i=0; while [ $i -lt 20 ]; do echo o$i; usleep 20000; echo e$i >&2; read -r go; "
              "i=$((i+1)); done")
    s = engine.exec_start(engine.exec_create(box, "sh", "-c", script, AttachStdin=True))
    got = []
    for kind, payload in s.frames():
        got.append((kind, payload.decode()))
        if kind == 2:
            s.send(b"go\n")
    want = [f for i in range(20) for f in ((1, f"o{i}\n"), (2, f"e{i}\n"))]
    assert got == want, got


def slow(box, mib):
    """Reads 1 MiB a second; the bytes are equal and the sender was held back, not cut off."""
    total = int(mib) * MIB
    seed = os.urandom(MIB)
    s = engine.exec_start(engine.exec_create(box, "cat", AttachStdin=True))

    def feed():
        for _ in range(int(mib)):
            s.send(seed)
        s.close_write()

    s.sock.settimeout(None)
    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    digest, got, begun = hashlib.sha256(), 0, time.monotonic()
    for kind, payload in s.frames():
        assert kind == 1
        digest.update(payload)
        got += len(payload)
        time.sleep(max(0, begun + got / MIB - time.monotonic()))
    assert got == total, f"{got} of {total} bytes"
    assert digest.digest() == hashlib.sha256(seed * int(mib)).digest(), "other bytes"
    feeder.join(5)


def unread(box):
    """One client opens a stream of 64 MiB and reads nothing; others go on, and then it gets all."""
    eid = engine.exec_create(box, "head", "-c", str(64 * MIB), "/dev/zero")
    stuck = engine.exec_start(eid)
    time.sleep(0.3)
    begun = time.monotonic()
    for _ in range(10):
        s = engine.exec_start(engine.exec_create(box, "echo", "here"))
        assert s.output() == (b"here\n", b"")
    took = time.monotonic() - begun
    assert took < 10, f"ten execs took {took:.1f} s beside an unread stream"
    assert engine.call("GET", f"/exec/{eid}/json")["Running"], "the unread exec is over"
    out, _ = stuck.output()
    assert len(out) == 64 * MIB and not out.strip(b"\0")
    assert engine.exec_code(eid) == 0


def leaves(box):
    """A client that hangs up does not end the process; its stdin gets EOF."""
    mark = f"/tmp/leaves.{os.getpid()}"
    eid = engine.exec_create(box, "sh", "-c", f"yes | head -c 4194304; cat; echo ended >{mark}",
                             AttachStdin=True)
    s = engine.exec_start(eid)
    s.send(b"some")
    s.frame()
    s.close()

    def ended():
        out, _ = engine.exec_start(engine.exec_create(box, "cat", mark)).output()
        return out == b"ended\n"
    engine.until(ended, 20, "the end of the abandoned exec")
    engine.until(lambda: engine.exec_code(eid) is not None, 10, "its exit code")


def inspect(box):
    eid = engine.exec_create(box, "sh", "-c", "read x; exit 9", AttachStdin=True)
    engine.call("GET", "/exec/" + "0" * 64 + "/json", want=404)
    before = engine.call("GET", f"/exec/{eid}/json")
    assert before["Running"] is False and before["ExitCode"] is None, before
    s = engine.exec_start(eid)
    engine.until(lambda: engine.call("GET", f"/exec/{eid}/json")["Running"], 5, "Running")
    s.send(b"x\n")
    s.output()
    after = engine.call("GET", f"/exec/{eid}/json")
    assert after["Running"] is False and after["ExitCode"] == 9, after
    assert after["ContainerID"] == engine.inspect(box)["Id"]
    if os.environ.get("ENGINE") == "dockerd":
        return  # 20.10 answers 101 to a second start and says the error in the stream
    again = engine.Stream("POST", f"/exec/{eid}/start", {"Detach": False, "Tty": False}, upgrade=True)
    assert again.status == 409, f"a second start: {again.status}"


def paced(path, bytes_per_chunk):
    """Not a case: copies the file to stdout with a pause after each chunk."""
    with open(path, "rb") as f:
        while chunk := f.read(int(bytes_per_chunk)):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            time.sleep(0.4)


if __name__ == "__main__":
    engine.main(globals())
