"""Cases of 95-many.sh: the same thing many times at once."""
import os
import random
import socket
import subprocess
import sys
import threading

import engine


def together(n, work):
    """work(i) in n threads; the first failure is ours."""
    failures = []

    def guarded(i):
        try:
            work(i)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(f"{i}: {e!r}")

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "one hangs"
    assert not failures, f"{len(failures)} of {n} failed: {failures[:3]}"


def execs(box, n, rounds=1):
    def one(i):
        said = f"{i} {os.urandom(8).hex()}\n".encode()
        eid = engine.exec_create(box, "sh", "-c", f"cat; echo err{i} >&2; exit {i % 200}", AttachStdin=True)
        s = engine.exec_start(eid)
        s.send(said)
        s.close_write()
        assert s.output() == (said, f"err{i}\n".encode())
        s.close()
        assert engine.exec_code(eid) == i % 200

    for _ in range(int(rounds)):
        together(int(n), one)


def runs(n):
    def one(i):
        r = subprocess.run([os.environ.get("DOCKER", "docker"), "run", "--rm", "-i", "busybox", "sh", "-c",
                            f"cat; echo err{i} >&2; exit {i}"], input=f"in{i}\n".encode(), capture_output=True,
                           timeout=100, check=False)
        assert (r.returncode, r.stdout, r.stderr) == (i, f"in{i}\n".encode(), f"err{i}\n".encode()), r

    together(int(n), one)


def vanish(box, n):
    """Clients that hang up at a random moment. What they began goes on or is undone, nothing waits for them."""
    rng = random.Random(1)

    def one(i):
        kind = i % 5
        if kind == 0:
            s = engine.exec_start(engine.exec_create(box, "sh", "-c", "sleep 0.2; echo x", AttachStdin=True))
        elif kind == 1:
            cid = engine.create(f"vanish{i}", {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"AutoRemove": True}})
            s = engine.Stream("POST", f"/containers/{cid}/wait?condition=removed")
            engine.start(cid)
        elif kind == 2:
            s = engine.Stream("POST", "/images/create?fromImage=busybox&tag=latest")
        elif kind == 3:
            s = engine.Stream("GET", f"/containers/{box}/logs?follow=1&stdout=1")
        else:
            s = engine.Stream("GET", "/events")
        if rng.random() < 0.5:
            s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()

    together(int(n), one)
    for i in range(1, int(n), 5):
        engine.until(lambda i=i: engine.Stream("GET", f"/containers/vanish{i}/json").status == 404, 20, "removal")
    s = engine.exec_start(engine.exec_create(box, "echo", "alive"))
    assert s.output() == (b"alive\n", b"")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
