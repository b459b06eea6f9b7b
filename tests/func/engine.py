"""engine - the Docker Engine API over a unix socket, as bytes: for what the docker client cannot show
(frame order, half-close at a chosen moment, slow reading, attach before start)."""
import json
import os
import socket
import struct
import time

API = "/v1.41"
SOCKET = os.environ["DOCKER_HOST"].removeprefix("unix://")
TIMEOUT = 60


class Stream:
    """A hijacked connection, or the body of an answer that is still coming."""

    def __init__(self, method, path, body=None, upgrade=False, version=API):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(SOCKET)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {version}{path} HTTP/1.1\r\nHost: docker\r\nContent-Length: {len(data)}\r\n"
        if data:
            head += "Content-Type: application/json\r\n"
        if upgrade:
            head += "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        self.sock.sendall(head.encode() + b"\r\n" + data)
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()

    def body(self):
        if self.status in (204, 304):
            return b""
        if "content-length" in self.headers:
            return self.file.read(int(self.headers["content-length"]))
        if self.headers.get("transfer-encoding") == "chunked":
            out = b""
            while (n := int(self.file.readline(), 16)):
                out += self.file.read(n)
                self.file.readline()
            return out
        return self.file.read()

    def send(self, data):
        self.sock.sendall(data)

    def close_write(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.file.close()
        self.sock.close()

    def frame(self):
        """(1 or 2, payload), or None at the end."""
        head = self.file.read(8)
        if not head:
            return None
        assert len(head) == 8, f"stream ends inside a header: {head!r}"
        kind, length = struct.unpack(">BxxxL", head)
        assert kind in (1, 2) and head[1:4] == b"\0\0\0", f"bad header {head!r}"
        payload = self.file.read(length)
        assert len(payload) == length, "stream ends inside a frame"
        return kind, payload

    def frames(self):
        while (f := self.frame()):
            yield f

    def output(self):
        """(stdout, stderr), read to the end."""
        out = {1: bytearray(), 2: bytearray()}
        for kind, payload in self.frames():
            out[kind] += payload
        return bytes(out[1]), bytes(out[2])


def call(method, path, body=None, want=None):
    """The decoded answer. want: the status, or several; default: any success."""
    s = Stream(method, path, body)
    text = s.body()
    s.close()
    good = [want] if isinstance(want, int) else want or [200, 201, 204]
    assert s.status in good, f"{method} {path}: {s.status} {text!r}"
    return json.loads(text) if text[:1] in (b"{", b"[") else text


def create(name, body):
    return call("POST", f"/containers/create?name={name}", body, 201)["Id"]


def start(container):
    call("POST", f"/containers/{container}/start", want=204)


def inspect(container):
    return call("GET", f"/containers/{container}/json")


def remove(container):
    call("DELETE", f"/containers/{container}?force=1", want=204)


def exec_create(container, *argv, **options):
    body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(argv), **options}
    return call("POST", f"/containers/{container}/exec", body, 201)["Id"]


def exec_start(exec_id, tty=False):
    s = Stream("POST", f"/exec/{exec_id}/start", {"Detach": False, "Tty": tty}, upgrade=True)
    assert s.status == 101, (s.status, s.body())
    return s


def exec_code(exec_id):
    return call("GET", f"/exec/{exec_id}/json")["ExitCode"]


def attach(container, **query):
    q = "&".join(f"{k}={v}" for k, v in {"stream": 1, "stdout": 1, "stderr": 1, **query}.items())
    s = Stream("POST", f"/containers/{container}/attach?{q}", upgrade=True)
    assert s.status == 101, (s.status, s.body())
    return s


def until(condition, seconds=10, what="condition"):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} never became true"
        time.sleep(0.05)


def main(cases):
    """`python3 file.py case [arguments]` runs one case."""
    import sys
    cases[sys.argv[1].replace("-", "_")](*sys.argv[2:])
