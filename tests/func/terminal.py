"""Cases of 30-tty.sh: the docker client in a pseudo-terminal of our own."""
import fcntl
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


if __name__ == "__main__":
    engine.main(globals())
