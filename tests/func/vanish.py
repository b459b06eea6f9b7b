"""Cases of 31-vanish.sh: clients that end without a word, and what becomes of their processes."""
import sys

import engine


def sh(box, script):
    return engine.exec_start(engine.exec_create(box, "sh", "-c", script)).output()[0]


def begin(box, script, tty):
    """An exec whose client has read its first line, which is not the script's."""
    eid = engine.exec_create(box, "sh", "-c", "echo begun;" + script, AttachStdin=True, Tty=tty)
    s = engine.exec_start(eid, tty)
    if tty:
        s.file.readline()
    else:
        s.frame()
    return eid, s


def terminal(box, script):
    """Prints the exec whose client is gone."""
    eid, s = begin(box, script, True)
    s.close()
    print(eid)


def exec(box, script, _, *before):  # pylint: disable=redefined-builtin
    sh(box, " ".join(before))
    eid, s = begin(box, script, False)
    s.close()
    print(eid)


def pipes(box):
    eid, s = begin(box, "yes | head -c 4194304; cat; echo $? >/tmp/pipes", False)
    s.close()
    engine.until(lambda: sh(box, "cat /tmp/pipes 2>/dev/null") == b"0\n", 20, "the end of cat's input")
    engine.until(lambda: engine.exec_code(eid) is not None, 10, "its exit code")


def main():
    """docker run -i, and the client is killed, while there is much to write to it or not: the input has ended, and so
    has the container."""
    for script in ("echo begun; cat; exit 6", "yes | head -c 8388608; cat; exit 6"):
        leave_main(script)


def leave_main(script):
    engine.create("left", {"Image": "busybox", "Cmd": ["sh", "-c", script], "OpenStdin": True,
                           "StdinOnce": True, "AttachStdin": True, "AttachStdout": True})
    s = engine.Stream("POST", "/containers/left/attach?stream=1&stdin=1&stdout=1", upgrade=True)
    engine.start("left")
    s.frame()
    s.send(b"abc")
    s.frame()
    s.close()
    engine.until(lambda: engine.inspect("left")["State"]["Status"] == "exited", 20, "the end of the container")
    assert engine.inspect("left")["State"]["ExitCode"] == 6
    engine.remove("left")


def terminals(box):
    """A terminal does not end with its client, nor does its input."""
    eid, s = begin(box, "sleep 0.2; echo t >/tmp/t; read x; echo read >/tmp/t", True)
    s.close()
    engine.until(lambda: sh(box, "cat /tmp/t 2>/dev/null") == b"t\n", 10, "the terminal's word")
    assert engine.call("GET", f"/exec/{eid}/json")["Pid"]
    assert sh(box, "cat /tmp/t") == b"t\n"
    sh(box, "pkill -f 'echo [t] >/tmp'")


def detached(box):
    eid = engine.exec_create(box, "sh", "-c", "sleep 2.5; echo d >/tmp/d", Tty=True)
    engine.call("POST", f"/exec/{eid}/start", {"Detach": True, "Tty": True}, 200)
    engine.until(lambda: sh(box, "cat /tmp/d 2>/dev/null") == b"d\n", 15, "the detached terminal's word")
    assert engine.inspect(box)["State"]["Running"]


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
