#!/usr/bin/env python3
"""oauth_server - Google's token endpoint, small: verifies the signature of a JWT grant with the public key and gives
out tok-1, tok-2 and so on. GET /count says how many; POST /refuse?N makes the next N requests a refusal.

usage: oauth_server.py PORT_FILE PUBLIC_KEY"""
import base64
import http.server
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.parse

port_file, public_key = sys.argv[1:]
state = {"given": 0, "refuse": 0}


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verified(jwt, audience):
    head, claims, signature = jwt.split(".")
    with tempfile.NamedTemporaryFile() as f:
        f.write(unb64(signature))
        f.flush()
        good = subprocess.run(["openssl", "dgst", "-sha256", "-verify", public_key, "-signature", f.name], check=False,
                              input=f"{head}.{claims}".encode(), capture_output=True).returncode == 0
    c = json.loads(unb64(claims))
    return (good and json.loads(unb64(head))["alg"] == "RS256" and c["aud"] == audience and
            c["iat"] <= time.time() < c["exp"] <= c["iat"] + 3600 and
            c["scope"] == "https://www.googleapis.com/auth/cloud-platform")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body):
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self):
        self.answer(200, state)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        url = urllib.parse.urlparse(self.path)
        if url.path == "/refuse":
            state["refuse"] = int(url.query)
            return self.answer(200, {})
        form = dict(urllib.parse.parse_qsl(body))
        if state["refuse"] > 0:
            state["refuse"] -= 1
            return self.answer(400, {"error": "invalid_grant", "error_description": "Account has been deleted"})
        if (form.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" or
                not verified(form["assertion"], f"http://{self.headers['Host']}/token")):
            return self.answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        state["given"] += 1
        return self.answer(200, {"access_token": f"tok-{state['given']}", "expires_in": 3600, "token_type": "Bearer"})

    def log_message(self, *args):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
with open(port_file + ".new", "w", encoding="ascii") as f:
    f.write(str(server.server_address[1]))
os.rename(port_file + ".new", port_file)
server.serve_forever()
