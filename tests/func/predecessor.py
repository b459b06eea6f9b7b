"""What the predecessor's agent and back end have in common on the wire, from docs/predecessor.md: WebSocket without a
subprotocol or extension, text messages, one JSON object each. What an agent sends is cut into masked frames of 4096
bytes; neither side says goodbye: the connection just ends."""
import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import threading

FRAGMENT = 4096
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(Exception):
    """The other side has answered something else than 101."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


def mask(key, data):
    if not data:
        return data
    whole = key * (len(data) // 4 + 1)
    return (int.from_bytes(data, "big") ^ int.from_bytes(whole[:len(data)], "big")).to_bytes(len(data), "big")


class Socket:
    """One WebSocket. One thread may receive, any may send."""

    def __init__(self, sock, client, rest=b""):
        self.sock, self.client, self.rest = sock, client, rest
        self.lock = threading.Lock()
        self.longest_frame = 0

    def _frame(self, opcode, final, data):
        head = bytes([(0x80 if final else 0) | opcode])
        bit = 0x80 if self.client else 0
        if len(data) < 126:
            head += bytes([bit | len(data)])
        elif len(data) < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", len(data))
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", len(data))
        if not self.client:
            return head + data
        key = os.urandom(4)
        return head + key + mask(key, data)

    def send_text(self, text, opcode=1):
        """As Go's encoder leaves it: a text in pieces of 4096 bytes."""
        data = text if isinstance(text, bytes) else text.encode()
        out, at = b"", 0
        while True:
            piece, first = data[at:at + FRAGMENT], at == 0
            at += FRAGMENT
            out += self._frame(opcode if first else 0, at >= len(data), piece)
            if at >= len(data):
                break
        with self.lock:
            self.sock.sendall(out)

    def send(self, **message):
        if isinstance(message.get("data"), bytes):
            message["data"] = base64.b64encode(message["data"]).decode()
        text = json.dumps({k: v for k, v in message.items() if v or k == "code"}, separators=(",", ":"), ensure_ascii=False)
        for c in "<>&":
            text = text.replace(c, f"\\u{ord(c):04x}")
        self.send_text(text + "\n")

    def _take(self, n):
        while len(self.rest) < n:
            more = self.sock.recv(1 << 16)
            if not more:
                raise EOFError
            self.rest += more
        got, self.rest = self.rest[:n], self.rest[n:]
        return got

    def receive_text(self):
        """The next text; EOFError at the end. Pings are answered."""
        whole = b""
        while True:
            first, second = self._take(2)
            n = second & 0x7f
            if n > 125:
                n = struct.unpack(">H" if n == 126 else ">Q", self._take(2 if n == 126 else 8))[0]
            assert bool(second & 0x80) != self.client, "masked by a server or not by a client"
            key = self._take(4) if second & 0x80 else None
            data = mask(key, self._take(n)) if key else self._take(n)
            assert not first & 0x70, "an extension was not agreed on"
            opcode = first & 15
            if opcode == 8:
                raise EOFError
            if opcode == 9:
                with self.lock:
                    self.sock.sendall(self._frame(10, True, data))
            if opcode > 2:
                continue
            assert opcode != 2, "a binary message"
            self.longest_frame = max(self.longest_frame, n)
            whole += data
            if first & 0x80:
                return whole.decode()

    def receive(self):
        message = json.loads(self.receive_text())
        message["data"] = base64.b64decode(message.get("data") or "")
        return message

    def cut(self):
        """As a process that ends: no close frame."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def read_head(sock):
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(4096)
        if not more:
            raise EOFError("closed within the handshake")
        head += more
    head, rest = head.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    return lines[0], {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}, rest


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def dial(url, token=None):
    """ws://host:port/path?query, or http and their TLS forms; as a client of Go's would."""
    scheme, rest = url.split("://", 1)
    host, _, path = rest.partition("/")
    name, _, port = host.partition(":")
    secure = scheme in ("https", "wss")
    sock = socket.create_connection((name, int(port or (443 if secure else 80))), timeout=20)
    if secure:
        context = ssl.create_default_context()
        sock = context.wrap_socket(sock, server_hostname=name)
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"GET /{path} HTTP/1.1", f"Host: {host}", "User-Agent: Go-http-client/1.1", "Connection: Upgrade",
             f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Upgrade: websocket"]
    if token:
        lines.insert(3, f"Authorization: Bearer {token}")
    sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
    status, headers, rest = read_head(sock)
    if " 101 " not in status + " ":
        length = int(headers.get("content-length", 0))
        while len(rest) < length:
            more = sock.recv(4096)
            if not more:
                break
            rest += more
        raise Refused(int(status.split()[1]), rest.decode())
    assert headers["sec-websocket-accept"] == accept_key(key)
    assert "sec-websocket-protocol" not in headers and "sec-websocket-extensions" not in headers, headers
    sock.settimeout(None)
    return Socket(sock, True, rest)


def answer(sock, status, body, content_type="text/plain; charset=utf-8"):
    sock.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
                 f"Connection: close\r\n\r\n{body}".encode())
    sock.close()


def upgrade(sock, headers, rest):
    """The server's side of it; whatever subprotocol is offered stays unanswered."""
    sock.sendall(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 f"Sec-WebSocket-Accept: {accept_key(headers['sec-websocket-key'])}\r\n\r\n".encode())
    return Socket(sock, False, rest)
