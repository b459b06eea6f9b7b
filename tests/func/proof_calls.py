"""Calls as somebody who has read the token of a job: with the token itself, with a proof made of it (as agent-proto/proof.h
says, in other words), and with a wrong one. Prints the three statuses, and what the other side would have."""
import hashlib
import hmac
import os
import socket
import sys

address, role, container, token = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]
ROLES = {"agent": b"\0", "gateway": b"\1"}


def mac(key, text):
    return hmac.new(key, text, hashlib.sha256).digest()


def token_key(secret):
    extracted = mac(bytes(32), secret.encode())
    return mac(extracted, b"sockerless.tunnel.v1 token\0\1")


def proof(secret):
    nonce, public = os.urandom(32), os.urandom(32)
    call = mac(token_key(secret), b"sockerless.tunnel.v1 call\0" + ROLES[role] + nonce + public + container.encode())
    return "Sockerless " + ".".join(part.hex() for part in (nonce, public, call))


def call(authorization):
    host, port = address.removeprefix("http://").rsplit(":", 1)
    path = f"/internal/v1/agent/connect?id={container}" if role == "agent" else "/ws"
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sockerless.tunnel.v1\r\n"
                   f"Authorization: {authorization}\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            piece = s.recv(4096)
            if not piece:
                break
            head += piece
    lines = head.decode("latin-1").split("\r\n")
    wants = [line.split()[1] for line in lines if line.lower().startswith("authentication-info:")]
    return " ".join([lines[0].split()[1]] + wants)


print(", ".join(call(a) for a in (f"Bearer {token}", proof(token), proof("wrong"))))
