"""An agent as the predecessor's, written from docs/predecessor.md; none of its code is here.

    predecessor_agent.py [-addr [HOST]:PORT] [-callback URL] [-keep-alive] [--] COMMAND...

SOCKERLESS_AGENT_TOKEN is the token. It behaves as that one was seen to: replays, message sizes, exit codes of
signals, a connection that just ends. In one thing it is better, a terminal works. What cannot be provoked from
outside has a name that an exec may ask for: @garbage, @unknown, @oversized, @binary, @cut, @expire, @bulk MIB."""
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import socket

import predecessor

RING = 1 << 20
CHUNK = 32 << 10
DIALS = 10
FIRST_PAUSE = 0.1  # it has a second
SIGNALS = {"TERM", "KILL", "INT", "HUP", "QUIT", "USR1", "USR2"}


class Main:
    """The command, what it has said last, and who listens."""

    def __init__(self, argv):
        self.lock = threading.Lock()
        self.rings = {"stdout": b"", "stderr": b""}
        self.listeners = {}  # (connection, id): whom to tell
        self.code = None
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.readers = [threading.Thread(target=self.read, args=(name, getattr(self.process, name), fd), daemon=True)
                        for name, fd in (("stdout", 1), ("stderr", 2))]
        for r in self.readers:
            r.start()

    def read(self, name, pipe, fd):
        while data := os.read(pipe.fileno(), CHUNK):
            os.write(fd, data)
            with self.lock:
                self.rings[name] = (self.rings[name] + data)[-RING:]
                for connection, sid in list(self.listeners):
                    connection.tell(type=name, id=sid, data=data)

    def attach(self, connection, sid):
        with self.lock:
            for name in ("stdout", "stderr"):
                if self.rings[name]:
                    connection.tell(type=name, id=sid, data=self.rings[name])
            if self.code is None:
                self.listeners[connection, sid] = True
            else:
                connection.tell(type="exit", id=sid, code=self.code)

    def wait(self):
        code = self.process.wait()
        for r in self.readers:
            r.join(2)
        with self.lock:
            self.code = -1 if code < 0 else code
            for connection, sid in self.listeners:
                connection.tell(type="exit", id=sid, code=self.code)
            self.listeners = {}
        return 128 - code if code < 0 else code


class Exec:
    def __init__(self, connection, message):
        self.connection, self.id, self.tty = connection, message["id"], message.get("tty")
        env = dict(os.environ)
        env.update(e.split("=", 1) for e in message.get("env") or [])
        options = {"env": env, "cwd": message.get("workdir") or None, "start_new_session": True}
        if self.tty:
            self.master, slave = pty.openpty()
            self.process = subprocess.Popen(message["cmd"], stdin=slave, stdout=slave, stderr=slave, **options,
                                            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            os.close(slave)
            outputs, self.input = [("stdout", self.master)], self.master
        else:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(message["cmd"], stdin=pipe, stdout=pipe, stderr=pipe, **options)
            outputs = [(n, getattr(self.process, n).fileno()) for n in ("stdout", "stderr")]
            self.input = self.process.stdin.fileno()
        readers = [threading.Thread(target=self.read, args=o, daemon=True) for o in outputs]
        for r in readers:
            r.start()
        threading.Thread(target=self.wait, args=(readers,), daemon=True).start()

    def read(self, name, fd):
        while True:
            try:
                data = os.read(fd, CHUNK)
            except OSError:  # a terminal whose other side is closed
                return
            if not data:
                return
            self.connection.tell(type=name, id=self.id, data=data)

    def wait(self, readers):
        code = self.process.wait()
        for r in readers:
            r.join()
        self.connection.tell(type="exit", id=self.id, code=-1 if code < 0 else code)

    def write(self, data):
        try:
            while data:
                data = data[os.write(self.input, data):]
        except OSError:
            pass

    def close_stdin(self):
        if not self.tty:
            self.process.stdin.close()
        else:
            os.close(self.master)

    def resize(self, width, height):
        if self.tty:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


class Connection:
    def __init__(self, ws, main):
        self.ws, self.main, self.execs = ws, main, {}

    def tell(self, **message):
        try:
            self.ws.send(**message)
        except OSError:
            pass

    def misbehave(self, sid, name, *args):
        if name == "@garbage":
            self.ws.send_text('{"type":"stdout","id":')
        elif name == "@oversized":
            self.tell(type="stdout", id=sid, data=b"x" * (4 << 20))
        elif name == "@binary":
            self.ws.send_text('{"type":"exit"}', opcode=2)
        elif name == "@cut":
            self.tell(type="stdout", id=sid, data=b"before the cut\n")
            self.ws.cut()
        elif name == "@expire":
            self.tell(type="lifetime_expired")
            self.tell(type="exit", id=sid, code=0)
        elif name == "@unknown":
            self.tell(type="weather", id=sid, data=b"rain")
            self.tell(type="health", id=sid, status="healthy")
            self.tell(type="stdout", data=b"nobody's")
            self.tell(type="stdout", id="somebody else", data=b"not ours")
            self.tell(type="stdout", id=sid, data=b"ours\n")
            self.tell(type="exit", id=sid, code=3)
        elif name == "@bulk":
            for _ in range(int(args[0])):
                self.tell(type="stdout", id=sid, data=b"z" * (1 << 20))
            self.tell(type="exit", id=sid, code=0)

    def handle(self, m):
        kind, sid = m.get("type"), m.get("id", "")
        process = self.execs.get(sid)
        if kind == "exec":
            if not sid:
                self.tell(type="error", message="exec requires id")
            elif m["cmd"][0].startswith("@"):
                self.misbehave(sid, *m["cmd"])
            else:
                try:
                    self.execs[sid] = Exec(self, m)
                except OSError as e:
                    self.tell(type="error", id=sid, message=f"fork/exec {m['cmd'][0]}: {e.strerror.lower()}")
        elif kind == "attach":
            self.main.attach(self, sid)
        elif kind == "stdin":
            if process:
                process.write(m["data"])
            else:
                os.write(self.main.process.stdin.fileno(), m["data"])
        elif kind == "close_stdin":
            if process:
                process.close_stdin()
            else:
                self.main.process.stdin.close()
        elif kind == "signal":
            name = m["signal"].removeprefix("SIG")
            if name in SIGNALS:
                (process or self.main).process.send_signal(getattr(signal, "SIG" + name))
        elif kind == "resize":
            if process:
                process.resize(m["width"], m["height"])
        else:
            self.tell(type="error", id=sid, message=f"unknown message type: {kind}")

    def serve(self):
        try:
            while True:
                self.handle(self.ws.receive())
        except (EOFError, OSError):
            pass
        for e in self.execs.values():
            if e.process.poll() is None:
                e.process.kill()
        with self.main.lock:
            self.main.listeners = {k: v for k, v in self.main.listeners.items() if k[0] is not self}
        self.ws.cut()


def call_back(url, token, main):
    pause = FIRST_PAUSE
    for _ in range(DIALS):
        try:
            ws = predecessor.dial(url, token)
        except (OSError, EOFError, predecessor.Refused) as e:
            print(f"agent: {e}", file=sys.stderr)
            time.sleep(pause)
            pause = min(pause * 2, 30)
            continue
        pause = FIRST_PAUSE
        Connection(ws, main).serve()
        time.sleep(pause)


def answer(sock, token, main):
    try:
        request, headers, rest = predecessor.read_head(sock)
    except (EOFError, OSError):
        return
    path, _, query = request.split()[1].partition("?")
    given = headers.get("authorization", "").removeprefix("Bearer ")
    if path == "/health":
        health = {"status": "ok", "pid": os.getpid(), "exited": main.code is not None}
        if main.code is not None:
            health["exitCode"] = main.code
        predecessor.answer(sock, "200 OK", json.dumps(health), "application/json")
    elif token and token not in (given, query.removeprefix("token=")):
        predecessor.answer(sock, "401 Unauthorized", "unauthorized\n")
    else:
        Connection(predecessor.upgrade(sock, headers, rest), main).serve()


def listen(addr, token, main):
    host, port = addr.rsplit(":", 1)
    server = socket.create_server((host, int(port)))
    while True:
        sock, _ = server.accept()
        threading.Thread(target=answer, args=(sock, token, main), daemon=True).start()


def run():
    args, options = sys.argv[1:], {}
    while args and args[0].startswith("-"):
        flag = args.pop(0).lstrip("-")
        if not flag:
            break
        options[flag] = True if flag == "keep-alive" else args.pop(0)
    token = os.environ.pop("SOCKERLESS_AGENT_TOKEN", None)
    main = Main(args or ["/bin/sh"])
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, lambda n, _: main.process.send_signal(n))
    if "callback" in options:
        threading.Thread(target=call_back, args=(options["callback"], token, main), daemon=True).start()
    else:
        threading.Thread(target=listen, args=(options.get("addr", ":9111"), token, main), daemon=True).start()
    code = main.wait()
    while "callback" not in options and "keep-alive" in options:
        time.sleep(60)
    os._exit(code)


if __name__ == "__main__":
    run()
