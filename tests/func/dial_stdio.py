"""Cases of 83-commands.sh: `docker system dial-stdio`, the relay a client starts at the other end of ssh://. The
container "box" runs."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

DOCKER = os.environ.get("DOCKER", "docker")


class Relay:
    """HTTP over the relay's two pipes."""

    def __init__(self):
        self.p = subprocess.Popen([DOCKER, "system", "dial-stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, method, path, body=None, upgrade=False):
        data = json.dumps(body).encode() if body is not None else b""
        head = f"{method} /v1.41{path} HTTP/1.1\r\nHost: d\r\nContent-Length: {len(data)}\r\n"
        head += "Content-Type: application/json\r\n" if data else ""
        head += "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
        self.p.stdin.write(head.encode() + b"\r\n" + data)
        self.p.stdin.flush()
        status = int(self.p.stdout.readline().split()[1])
        headers = {}
        while line := self.p.stdout.readline().strip():
            name, value = line.decode().split(":", 1)
            headers[name.lower()] = value.strip()
        return status, headers

    def body(self, headers):
        if "content-length" in headers:
            return self.p.stdout.read(int(headers["content-length"]))
        out = b""
        while n := int(self.p.stdout.readline(), 16):
            out += self.p.stdout.read(n)
            self.p.stdout.readline()
        self.p.stdout.readline()
        return out

    def end(self):
        self.p.stdin.close()
        assert self.p.wait(20) == 0, self.p.returncode


def requests():
    """Several, on one connection."""
    relay = Relay()
    for _ in range(3):
        status, headers = relay.ask("GET", "/containers/box/json")
        assert status == 200
        assert json.loads(relay.body(headers))["Name"] == "/box"
    relay.end()


def hijack():
    """2 MiB into an exec and back; the end of stdin goes through, the answer still comes."""
    relay = Relay()
    status, headers = relay.ask("POST", "/containers/box/exec", {
        "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": ["sh", "-c", "cat; echo end"]})
    assert status == 201
    name = json.loads(relay.body(headers))["Id"]
    status, _ = relay.ask("POST", f"/exec/{name}/start", {"Detach": False}, upgrade=True)
    assert status == 101, status
    data = os.urandom(2 << 20)

    def feed():
        relay.p.stdin.write(data)
        relay.p.stdin.close()

    feeder = threading.Thread(target=feed)
    feeder.start()
    got = b""
    while head := relay.p.stdout.read(8):
        assert head[0] == 1
        got += relay.p.stdout.read(int.from_bytes(head[4:], "big"))
    feeder.join()
    assert got == data + b"end\n", (len(got), got[-10:])
    assert relay.p.wait(20) == 0


def client():
    """The docker client, each of whose connections is a relay's: what ssh:// does, without ssh."""
    folder = tempfile.mkdtemp()
    path = f"{folder}/relay.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    relays = []

    def serve():
        while True:
            try:
                s, _ = listener.accept()
            except OSError:
                return
            relays.append(subprocess.Popen([DOCKER, "system", "dial-stdio"], stdin=s, stdout=s))
            s.close()

    threading.Thread(target=serve, daemon=True).start()
    here = ["timeout", "-k", "5", "30", DOCKER, "-H", f"unix://{path}"]
    try:
        assert subprocess.run([*here, "ps", "--format", "{{.Names}}"], capture_output=True).stdout == b"box\n"
        run = subprocess.run([*here, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; exit 9"], input=b"through\n",
                             capture_output=True)
        assert (run.returncode, run.stdout) == (9, b"through\n"), run
        run = subprocess.run([*here, "exec", "-i", "box", "wc", "-c"], input=b"x" * 100000, capture_output=True)
        assert (run.returncode, run.stdout) == (0, b"100000\n"), run
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        shutil.rmtree(folder)
        for relay in relays:
            relay.wait(20)
    assert len(relays) >= 3


if __name__ == "__main__":
    globals()[sys.argv[1]]()
