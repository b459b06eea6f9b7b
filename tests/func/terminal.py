"""Cases of 30-tty.sh and 81-terminal.sh: the docker client in a pseudo-terminal of our own."""
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import engine

DOCKER = os.environ.get("DOCKER", "docker")


class Terminal:
    def __init__(self, *argv, rows=24, cols=80):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
            os.execvp(DOCKER, [DOCKER, *argv])

    def resize(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        self.seen += data
        return bool(data)

    def expect(self, pattern, seconds=20):
        """Consumes output up to the match."""
        deadline = time.monotonic() + seconds
        while not (m := re.search(pattern.encode(), self.seen, re.S)):
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left):
                raise AssertionError(f"no {pattern!r} in {self.seen!r}")
        self.seen = self.seen[m.end():]
        return m

    def status(self, seconds=20):
        """Of the client, once it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0):
                    pass
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"the client did not end; last output {self.seen!r}")


def shell(how, **size):
    """A shell with the prompt "ready> " by docker run -it or docker exec -it."""
    if how == "run":
        term = Terminal("run", "-it", "--rm", "-e", "PS1=ready> ", "busybox", "sh", **size)
    else:
        term = Terminal("exec", "-it", "-e", "PS1=ready> ", "box", "sh", **size)
    term.expect("ready> ")
    return term


def leave(term):
    term.type("exit 0\r")
    assert term.status() == 0


def size_is(term, rows, cols):
    """The client sets the size just after the start, so ask until it is there."""
    for _ in range(50):
        term.type("stty size\r")
        m = term.expect(r"stty size\r\n(\d+) (\d+)\r\n")
        if (int(m[1]), int(m[2])) == (rows, cols):
            return
        time.sleep(0.1)
    raise AssertionError(f"size is {m[1]!r} {m[2]!r}, not {rows} {cols}")


def size(how):
    term = shell(how, rows=33, cols=101)
    size_is(term, 33, 101)
    term.type("tty; echo $TERM\r")
    term.expect(r"/dev/pts/\d+\r\nxterm\r\n")
    leave(term)


def resize(how):
    term = shell(how)
    size_is(term, 24, 80)
    # In one process group, so that the shell itself is told, and not only its sleep.
    term.type("sh -c 'trap \"echo wound\" WINCH; echo set; while :; do sleep 0.1; done'\r")
    term.expect(r"\nset\r\n")
    term.resize(50, 132)
    term.expect(r"wound\r\n")
    term.type("\x03")
    term.expect("ready> ")
    size_is(term, 50, 132)
    leave(term)


def interrupt(how):
    term = shell(how)
    term.type("sleep 1000\r")
    term.expect("sleep 1000\r\n")
    time.sleep(0.3)
    term.type("\x03")
    term.expect("ready> ")
    term.type("echo status $?\r")
    term.expect("status 130\r\n")
    leave(term)


def end_of_file(how):
    term = shell(how)
    term.type("sh -c 'exit 5'\r")
    term.expect("ready> ")
    term.type("\x04")
    assert term.status() == 5


def echo(how):
    term = shell(how)
    term.type("echo abX\x7fc\r")
    term.expect(r"\r\nabc\r\n")
    leave(term)


def detached_shell(name, keys, *options):
    term = Terminal("run", "-it", "--name", name, *options, "-e", "PS1=ready> ", "busybox", "sh")
    term.expect("ready> ")
    term.type("echo first\r")
    term.expect("\nfirst\r\n")
    term.type(keys)
    assert term.status() == 0
    assert engine.inspect(name)["State"]["Running"]


def detach():
    detached_shell("det", "\x10\x11")
    again = Terminal("attach", "det")
    time.sleep(0.5)
    again.type("echo second; exit 6\r")
    again.expect("\nsecond\r\n")
    assert again.status() == 6
    engine.remove("det")


def detach_keys():
    detached_shell("detk", "\x01x", "--detach-keys", "ctrl-a,x")
    engine.remove("detk")


def lone_prefix():
    term = Terminal("run", "-it", "--rm", "busybox", "sh", "-c",
                    "stty raw -echo; printf go; head -c 2 | od -An -tx1")
    term.expect("go")
    term.type("\x10")
    time.sleep(0.2)
    term.type("z")
    term.expect("10 7a")
    assert term.status() == 0


def first_output():
    for i in range(5):
        term = Terminal("run", "-it", "--rm", "busybox", "echo", f"at-once-{i}")
        assert term.status() == 0
        assert term.seen == f"at-once-{i}\r\n".encode(), term.seen


def sh(name, *options, command=("sh",)):
    """A detached container with a terminal and the prompt "ready> "."""
    subprocess.run([DOCKER, "run", "-dit", "--name", name, "-e", "PS1=ready> ", *options, "busybox", *command], check=True,
                   stdout=sys.stderr)


def run_mixes():
    """What each half of -it means in a terminal: without -i the client's own still adds its \\r."""
    both = "test -t 0 && echo in; test -t 1 && echo out; exit 4"
    for flags, want in (("-it", b"in\r\nout\r\n"), ("-t", b"in\r\r\nout\r\r\n"), ("-i", b""), ("", b"")):
        term = Terminal("run", "--rm", *flags.split(), "busybox", "sh", "-c", both)
        assert term.status() == 4
        assert term.seen == want, (flags, term.seen)
    term = Terminal("run", "--rm", "-i", "busybox", "cat")  # the client's terminal echoes, the program is none
    term.type("line\r\x04")
    assert term.status() == 0
    assert term.seen == b"line\r\nline\r\n", term.seen


def create_start():
    subprocess.run([DOCKER, "create", "-it", "--name", "cs", "-e", "PS1=ready> ", "busybox", "sh"], check=True, stdout=sys.stderr)
    for i in range(2):
        term = Terminal("start", "-ai", "cs", rows=30, cols=90)
        term.expect("ready> ")
        size_is(term, 30, 90)
        term.type(f"exit {i + 5}\r")
        assert term.status() == i + 5
    term = Terminal("start", "-ai", "--detach-keys", "ctrl-e,e", "cs")
    term.expect("ready> ")
    term.type("\x05e")
    assert term.status() in (0, 1)
    assert engine.inspect("cs")["State"]["Running"]
    engine.remove("cs")


def attach_keys():
    sh("ak")
    for keys, typed in (("ctrl-k", "\x0b"), ("a,b,c", "abc"), ("ctrl-@,x", "\0x")):
        term = Terminal("attach", "--detach-keys", keys, "ak")
        time.sleep(0.5)
        term.type("\r")
        term.expect("ready> ")
        term.type(typed)
        term.status()
        assert engine.inspect("ak")["State"]["Running"], keys
    engine.remove("ak")


def sees(term, typist, seconds=20):
    """Until what the one types shows at the other: it is attached."""
    deadline = time.monotonic() + seconds
    while not term.read(0.2):
        assert time.monotonic() < deadline, "it sees nothing"
        typist.type("\r")


def attach_two():
    """Two terminals at one program: both see all, one can type, --no-stdin cannot."""
    sh("two")
    a, b, c = Terminal("attach", "two"), Terminal("attach", "two"), Terminal("attach", "--no-stdin", "two")
    for term in (a, b, c):
        sees(term, a)
    a.type("echo fro'm a'\r")
    for term in (a, b, c):
        term.expect("\nfrom a\r+\n")
    c.type("echo n'o'\r")
    b.type("echo fro'm b'; exit 3\r")
    for term in (a, b, c):
        term.expect("\nfrom b\r+\n")
        assert term.status() == 3
    assert b"\nno\r" not in engine.call("GET", "/containers/two/logs?stdout=1")
    engine.remove("two")


def exec_options():
    term = Terminal("exec", "-it", "-u", "app", "-w", "/srv/data", "-e", "A=b c", "-e", "PS1=ready> ", "box", "sh", rows=40, cols=99)
    term.expect("ready> ")
    size_is(term, 40, 99)
    term.type("echo \"$(id -u) $(pwd) $A $TERM\"\r")
    term.expect("1000 /srv/data b c xterm\r\n")
    term.type("exit 11\r")
    assert term.status() == 11


def exec_detach():
    """The keys end the client, not the program."""
    for keys, typed in ((None, "\x10\x11"), ("ctrl-z,z", "\x1az")):
        mark = f"/tmp/detached-{len(typed)}-{ord(typed[0])}"
        options = ["--detach-keys", keys] if keys else []
        term = Terminal("exec", "-it", *options, "box", "sh", "-c", f"echo go; sleep 1.5; touch {mark}; sleep 1000")
        term.expect("go")
        term.type(typed)
        term.status()
        engine.until(lambda: subprocess.run([DOCKER, "exec", "box", "ls", mark], capture_output=True).returncode == 0,
                     what="the program went on")


def exec_mixes():
    both = "test -t 0 && echo in; test -t 1 && echo out; exit 4"
    for flags, want in (("-it", b"in\r\nout\r\n"), ("-t", b"in\r\r\nout\r\r\n"), ("-i", b""), ("", b"")):
        term = Terminal("exec", *flags.split(), "box", "sh", "-c", both)
        assert term.status() == 4
        assert term.seen == want, (flags, term.seen)


def full_screen():
    """vi: raw keys, cursor movement, a file written."""
    term = shell("exec")
    term.type("vi /tmp/edited\r")
    term.expect("edited")
    term.type("ione\x1b")
    time.sleep(0.2)
    term.type("otwo\x1b")
    time.sleep(0.2)
    term.type(":wq\r")
    term.expect("ready> ")
    term.type("cat /tmp/edited; echo :$?\r")
    term.expect("\r\none\r\ntwo\r\n:0\r\n")
    leave(term)


def hang_up(how):
    """The terminal is gone: the program of run -it goes on, as with dockerd."""
    if how == "run":
        term = Terminal("run", "-it", "--name", "hu", "-e", "PS1=ready> ", "busybox", "sh")
    else:
        term = Terminal("exec", "-it", "-e", "PS1=ready> ", "box", "sh")
    term.expect("ready> ")
    os.close(term.fd)
    deadline = time.monotonic() + 10
    while not os.waitpid(term.pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(term.pid, signal.SIGKILL)
        time.sleep(0.05)
    if how == "run":
        engine.remove("hu")
    assert subprocess.run([DOCKER, "exec", "box", "echo", "fine"], capture_output=True).stdout == b"fine\n"


def large_paste():
    """32 KiB at once through the terminal, in lines a terminal takes."""
    term = Terminal("run", "-it", "--rm", "busybox", "sh", "-c", "stty -echo; echo go; head -c 32768 | md5sum")
    term.expect("go\r\n")
    line = "x" * 127 + "\r"
    for _ in range(256):
        term.type(line)
    term.expect(hashlib.md5((("x" * 127 + "\n") * 256).encode()).hexdigest())
    assert term.status() == 0


def live_views():
    """stats and top as they are watched."""
    term = Terminal("stats", "box")
    term.expect(r"CPU %.*box.*box", 20)
    for _ in range(3):  # some clients want it three times
        term.type("\x03")
        time.sleep(0.2)
    term.status()
    term = Terminal("top", "box")
    term.expect("sleep 1000000")
    assert term.status() == 0


def confirmed():
    """A question before something is removed."""
    subprocess.run([DOCKER, "run", "--name", "conf", "busybox", "true"], check=True, stdout=sys.stderr)
    for answer, code in (("n\r", 200), ("y\r", 404)):
        term = Terminal("container", "prune")
        term.expect(r"\[y/N\] ")
        term.type(answer)
        term.status()
        s = engine.Stream("GET", "/containers/conf/json")
        assert s.status == code, (answer, s.status)


def attach_types():
    subprocess.run([DOCKER, "run", "-dit", "--name", "att", "busybox", "cat"], check=True,
                   stdout=sys.stderr)
    term = Terminal("attach", "att")
    time.sleep(0.5)
    term.type("hello\r")
    term.expect("hello\r\nhello\r\n")
    term.type("\x04")
    assert term.status() == 0
    engine.remove("att")


def through_restart(ctl):
    """72-handover.sh: a shell that is in use before, while and after the gateway replaces its program."""
    t = Terminal("exec", "-it", "box", "sh")
    t.expect(r"# ")
    t.type("a=41\n")
    t.expect(r"# ")
    restart = subprocess.Popen([ctl, "restart"], stdout=subprocess.DEVNULL)
    t.type("echo typed-$((a+1))\n")
    t.expect(r"typed-42\r\n.*# ")
    assert restart.wait(60) == 0
    t.resize(33, 99)
    t.type("stty size\n")
    t.expect(r"33 99\r\n")
    t.type("exit 5\n")
    assert t.status() == 5


if __name__ == "__main__":
    engine.main(globals())
