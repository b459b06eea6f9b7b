#!/usr/bin/env python3
"""token_server - distribution's token authentication, small: signs what is asked for, for one user, and
"pull" for nobody in particular below public/. Sources: distribution's specification of token authentication.

usage: token_server.py PORT_FILE KEY CERT USER PASSWORD [tls]      tls: served with that certificate, too"""
import base64
import http.server
import json
import ssl
import subprocess
import sys
import time
import urllib.parse

port_file, key, cert, user, password = sys.argv[1:6]
REFRESH = "refresh-" + password


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(claims):
    x5c = "".join(line.strip() for line in open(cert, encoding="ascii") if "-----" not in line)
    head = b64(json.dumps({"typ": "JWT", "alg": "RS256", "x5c": [x5c]}).encode())
    text = head + "." + b64(json.dumps(claims).encode())
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=text.encode(), check=True,
                            capture_output=True).stdout
    return text + "." + b64(signed)


def access(scopes, known):
    granted = []
    for scope in scopes:
        kind, name, actions = scope.split(":")
        allowed = actions.split(",") if known else ["pull"] if name.startswith("public/") else []
        granted.append({"type": kind, "name": name, "actions": allowed})
    return granted


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def token(self, params, known):
        now = int(time.time())
        scopes = [s for value in params.get("scope", []) for s in value.split()]
        body = {"expires_in": 300, "token": sign({
            "iss": "test", "sub": user if known else "", "aud": params["service"][0], "exp": now + 300,
            "nbf": now - 5, "iat": now, "jti": str(now), "access": access(scopes, known)})}
        body["access_token"] = body["token"]
        if params.get("offline_token") == ["true"] and known:
            body["refresh_token"] = REFRESH
        self.answer(200, body)

    def do_GET(self):
        params = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        proof = self.headers.get("Authorization")
        expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        if proof and proof != expected:
            self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "incorrect username or password"}]})
        else:
            self.token(params, proof is not None)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        params = urllib.parse.parse_qs(self.rfile.read(length).decode())
        if params.get("refresh_token") != [REFRESH]:
            self.answer(401, {"errors": [{"code": "UNAUTHORIZED", "message": "the refresh token is not known"}]})
        else:
            self.token(params, True)

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
if sys.argv[6:] == ["tls"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
with open(port_file + ".new", "w", encoding="ascii") as f:
    f.write(str(server.server_address[1]))
subprocess.run(["mv", port_file + ".new", port_file], check=True)
server.serve_forever()
