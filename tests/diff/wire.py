"""wire - HTTP/1.1 over a unix socket, as bytes. No HTTP library between the test and what it looks at."""
import json
import socket
import struct

TIMEOUT = 20
LIMIT = 64 << 20


class Answer:
    """Status line and headers of one answer; the body on demand."""

    def __init__(self, sock, file, method):
        self.sock, self.file, self.method = sock, file, method
        line = file.readline()
        if not line.startswith(b"HTTP/1.1 "):
            raise ConnectionError(f"no status line: {line!r}")
        self.status = int(line.split()[1])
        self.headers = {}
        while (line := file.readline().strip()):
            name, value = line.decode("latin-1").split(":", 1)
            self.headers[name.lower()] = value.strip()
        self.text = None

    def chunks(self):
        """The pieces of the body as they come."""
        if self.method == "HEAD" or self.status in (204, 304):
            return
        if self.headers.get("transfer-encoding") == "chunked":
            while (n := int(self.file.readline().split(b";")[0], 16)):
                yield self.file.read(n)
                self.file.readline()
            self.file.readline()
        elif "content-length" in self.headers:
            yield self.file.read(int(self.headers["content-length"]))
        else:
            while (piece := self.file.read1(65536)):
                yield piece

    def body(self):
        if self.text is None:
            self.text = b"".join(self.chunks())
        return self.text

    def json(self):
        return json.loads(self.body())

    def lines(self):
        """The objects of a stream of JSON lines, as they come."""
        rest = b""
        for piece in self.chunks():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (json.loads(line) for line in whole if line.strip())
        if rest.strip():
            yield json.loads(rest)

    # What a hijacked connection is good for.
    def send(self, data):
        self.sock.sendall(data)

    def close_write(self):
        self.sock.shutdown(socket.SHUT_WR)

    def frame(self):
        """(stream, payload), or None at the end."""
        head = self.file.read(8)
        if not head:
            return None
        if len(head) < 8:
            raise ConnectionError(f"the stream ends inside a header: {head!r}")
        kind, length = struct.unpack(">BxxxL", head)
        payload = self.file.read(length)
        if kind > 3 or head[1:4] != b"\0\0\0" or len(payload) != length:
            raise ConnectionError(f"not a frame: {head!r} + {len(payload)} bytes")
        return kind, payload

    def close(self):
        self.file.close()
        self.sock.close()


class Connection:
    """One connection, kept alive for as many requests as the case sends."""

    def __init__(self, path, timeout=TIMEOUT):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def raw(self, data, method="GET"):
        self.sock.sendall(data)
        return Answer(self.sock, self.file, method)

    def request(self, method, target, body=None, headers=(), chunked=False):
        """body: bytes as they are, or anything else as JSON."""
        head = {"Host": "docker"}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            head["Content-Type"] = "application/json"
        if chunked:
            head["Transfer-Encoding"] = "chunked"
            half = len(body) // 2
            pieces = [p for p in (body[:half], body[half:]) if p]
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        elif body is not None or method in ("POST", "PUT"):
            head["Content-Length"] = str(len(body or b""))
        head.update(headers)
        lines = [f"{method} {target} HTTP/1.1"] + [f"{k}: {v}" for k, v in head.items() if v is not None]
        return self.raw("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""), method)

    def close(self):
        self.file.close()
        self.sock.close()
