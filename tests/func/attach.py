"""Cases of 35-attach.sh: the attach endpoints, byte by byte."""
import base64
import hashlib
import os
import select
import socket
import struct
import sys
import threading
import time

import engine

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket:
    """A client just big enough: masked frames out, unmasked in."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(engine.TIMEOUT)
        self.sock.connect(engine.SOCKET)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall((f"GET {path} HTTP/1.1\r\nHost: docker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                           f"Origin: http://docker\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
                           ).encode())
        self.file = self.sock.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = self.file.read(1)
            assert piece, f"no answer: {head}"
            head += piece
        assert head.startswith(b"HTTP/1.1 101 "), head
        want = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert b"sec-websocket-accept: " + want.lower() in head.lower(), head

    def send(self, op, payload, fin=True):
        n, mask = len(payload), os.urandom(4)
        size = bytes([0x80 | n]) if n < 126 else (b"\xfe" + struct.pack(">H", n) if n < 65536 else
                                                   b"\xff" + struct.pack(">Q", n))
        key = int.from_bytes((mask * (n // 4 + 1))[:n], "big")
        masked = (int.from_bytes(payload, "big") ^ key).to_bytes(n, "big")
        self.sock.sendall(bytes([(0x80 if fin else 0) | op]) + size + mask + masked)

    def receive(self):
        """(opcode, payload) of the next frame."""
        a, b = self.file.read(2)
        assert a & 0x80 and not b & 0x80, "the server sends whole, unmasked messages"
        n = b & 0x7F
        if n == 126:
            n = struct.unpack(">H", self.file.read(2))[0]
        elif n == 127:
            n = struct.unpack(">Q", self.file.read(8))[0]
        return a & 15, self.file.read(n)

    def until(self, n):
        out = b""
        while len(out) < n:
            op, payload = self.receive()
            assert op == BINARY, (op, payload)
            out += payload
        return out

    def rest(self):
        """All output up to the Close."""
        out = b""
        while True:
            op, payload = self.receive()
            if op == CLOSE:
                return out
            assert op == BINARY, (op, payload)
            out += payload


def container(*cmd, **config):
    name = f"a{os.urandom(4).hex()}"
    body = dict(Image="busybox", Cmd=list(cmd), OpenStdin=True, AttachStdin=True, **config)
    engine.call("POST", f"/containers/create?name={name}", body)
    return name


def start(name):
    engine.call("POST", f"/containers/{name}/start")


def remove(name):
    engine.call("DELETE", f"/containers/{name}?force=1")


def printed(name, text):
    """Until its log has text."""
    while text not in engine.Stream("GET", f"/containers/{name}/logs?stdout=1").body():
        time.sleep(0.05)


def attach_ws(name, query="stream=1&stdin=1&stdout=1&stderr=1"):
    return WebSocket(f"/v1.41/containers/{name}/attach/ws?{query}")


def websocket_echo():
    name = container("cat")
    start(name)
    ws = attach_ws(name)
    for op in (BINARY, TEXT):
        ws.send(op, b"hello\n")
        assert ws.until(6) == b"hello\n"
    remove(name)


def websocket_end():
    name = container("sh", "-c", "read x; echo out; echo err >&2; exit 3")
    ws = attach_ws(name)
    start(name)
    ws.send(BINARY, b"go\n")
    assert sorted(ws.rest().split()) == [b"err", b"out"]
    assert engine.call("POST", f"/containers/{name}/wait")["StatusCode"] == 3
    remove(name)


def websocket_bulk():
    data = os.urandom(4 << 20)
    name = container("cat")
    start(name)
    ws = attach_ws(name)

    def feed():
        for i in range(0, len(data), 100000):
            ws.send(BINARY, data[i:i + 100000])

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    assert ws.until(len(data)) == data
    feeder.join(10)
    remove(name)


def websocket_details():
    name = container("cat")
    start(name)
    ws = attach_ws(name)
    ws.send(PING, b"are you there")
    assert ws.receive() == (PONG, b"are you there")
    ws.send(BINARY, b"one ", fin=False)
    ws.send(0, b"line\n")
    assert ws.until(9) == b"one line\n"
    remove(name)


def websocket_refused():
    name = container("cat")
    assert engine.Stream("GET", f"/containers/{name}/attach/ws?stream=1").status == 400
    assert engine.Stream("GET", "/containers/nobody/attach/ws?stream=1").status == 404
    remove(name)


def websocket_close():
    name = container("sh", "-c", "cat >/dev/null; echo over", StdinOnce=True)
    start(name)
    ws = attach_ws(name)
    ws.send(BINARY, b"some\n")
    ws.send(CLOSE, struct.pack(">H", 1000))
    assert engine.call("POST", f"/containers/{name}/wait")["StatusCode"] == 0
    remove(name)


def history():
    name = container("sh", "-c", "echo before; read x; echo after")
    start(name)
    printed(name, b"before")
    s = engine.attach(name, logs=1, stdin=1)
    s.send(b"go\n")
    assert s.output()[0] == b"before\nafter\n"
    remove(name)


def only_history():
    name = container("sh", "-c", "echo before; sleep 1000")
    start(name)
    printed(name, b"before")
    assert engine.attach(name, logs=1, stream=0).output() == (b"before\n", b"")
    remove(name)


def detach_ahead():
    """Typed before the answer has come, together with the request."""
    name = container("sleep", "1000")
    start(name)
    ident = engine.exec_create(name, "cat", AttachStdin=True, Tty=True)
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(engine.TIMEOUT)
    sock.connect(engine.SOCKET)
    body = b'{"Detach":false,"Tty":true}'
    sock.sendall(f"POST /exec/{ident}/start HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n"
                 f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body +
                 b"before\x10\x11after")
    got = b""
    while piece := sock.recv(4096):
        got += piece
    assert got.startswith(b"HTTP/1.1 101 ") and b"after" not in got, got
    assert engine.call("GET", f"/exec/{ident}/json")["Running"]
    remove(name)


def several():
    name = container("sh", "-c", "read x; echo one; echo two >&2; echo three")
    streams = [engine.attach(name) for _ in range(3)]
    feeder = engine.attach(name, stdin=1, stdout=0, stderr=0)
    start(name)
    feeder.send(b"go\n")
    for s in streams:
        assert s.output() == (b"one\nthree\n", b"two\n")
    remove(name)


def head_alone():
    """A client that reads late gets the head of the answer by itself: the Python SDK would lose what is with it."""
    name = container("sh", "-c", "echo before; sleep 1000")
    start(name)
    printed(name, b"before")
    made = engine.exec_create(name, "echo", "out")
    for path in (f"/containers/{name}/attach?logs=1&stdout=1", f"/exec/{made}/start"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(engine.TIMEOUT)
        s.connect(engine.SOCKET)
        s.sendall((f"POST /v1.41{path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                   "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n{}").encode())
        select.select([s], [], [], engine.TIMEOUT)
        time.sleep(0.02)  # of the 0.1 s that output waits for the head to be read
        head = s.recv(65536)
        assert head.startswith(b"HTTP/1.1 101") and head.endswith(b"\r\n\r\n"), head
        got = b""
        while chunk := s.recv(65536):
            got += chunk
        assert got[8:] in (b"before\n", b"out\n"), got
    remove(name)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
