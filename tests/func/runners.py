"""Cases of 80-runners.sh: the calls of gitlab-runner's docker executor, in its order."""
import json

import engine

BUILD = {"Image": "busybox", "Cmd": ["sh"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True,
         "AttachStdout": True, "AttachStderr": True, "Tty": False,
         "Labels": {"com.gitlab.gitlab-runner.type": "build"}}


def stage(container, script, early=False):
    """One stage: (exit code, stdout, stderr)."""
    stream = engine.attach(container, stdin=1)
    if early:
        stream.send(script.encode())
        stream.close_write()
    engine.start(container)
    waiting = engine.Stream("POST", f"/containers/{container}/wait?condition=not-running")
    if not early:
        stream.send(script.encode())
        stream.close_write()
    out, err = stream.output()
    code = json.loads(waiting.body())["StatusCode"]
    assert engine.inspect(container)["State"]["ExitCode"] == code
    return code, out.decode(), err.decode()


def gitlab():
    box = engine.create("runner-build", BUILD)
    for name in ("get_sources", "restore_cache", "step_script", "after_script"):
        got = stage(box, f"echo running {name}\necho on the side >&2\nid -u\n")
        assert got == (0, f"running {name}\n0\n", "on the side\n"), got
    long = "x=1\n" * 200000 + "echo end $x\n"
    assert stage(box, long) == (0, "end 1\n", "")
    engine.remove(box)


def gitlab_fails():
    box = engine.create("runner-fails", BUILD)
    code, out, err = stage(box, "echo before\nexit 13\necho never\n")
    assert (code, out, err) == (13, "before\n", ""), (code, out, err)
    for _ in range(2):
        s = engine.Stream("POST", f"/containers/{box}/stop?t=1")
        assert s.status == 304 and s.body() == b"", s.status
    assert engine.inspect(box)["State"]["ExitCode"] == 13
    assert stage(box, "echo works again\n") == (0, "works again\n", "")
    engine.remove(box)


def gitlab_early():
    box = engine.create("runner-early", BUILD)
    assert stage(box, "echo early\nexit 2\n", early=True) == (2, "early\n", "")
    engine.remove(box)


def attach_first():
    """Whoever is attached before the start gets the first byte."""
    for i in range(5):
        box = engine.create(f"first{i}", {"Image": "busybox", "Cmd": ["sh", "-c", "echo one; echo two >&2"]})
        stream = engine.attach(box)
        engine.start(box)
        assert stream.output() == (b"one\n", b"two\n")
        engine.remove(box)


def attach_two():
    box = engine.create("both", {"Image": "busybox", "Cmd": ["seq", "50000"]})
    streams = [engine.attach(box), engine.attach(box)]
    engine.start(box)
    want = "".join(f"{i}\n" for i in range(1, 50001)).encode()
    for stream in streams:
        assert stream.output() == (want, b"")
    engine.remove(box)


if __name__ == "__main__":
    engine.main(globals())
