"""A back end as the predecessor's, written from docs/predecessor.md, and what it finds when our agent serves it.

    predecessor_backend.py reverse|forward AGENT      each case on an agent of its own"""
import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import predecessor

AGENT = sys.argv[2]
CID = "c" * 64
TOKEN = "s3cret"
MIB = 1 << 20


class Agent:
    """Our agent, as the predecessor's is started."""

    def __init__(self, how, *argv, keep_alive=True, token_in_url=False):
        self.how = how
        env = {"PATH": os.environ["PATH"], "SOCKERLESS_SIDECAR_PORT": "0", "FROM_THE_AGENT": "yes"}
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        if how == "reverse":
            url = f"http://127.0.0.1:{self.port}/internal/v1/agent/connect?id={CID}"
            if token_in_url:
                url += f"&token={TOKEN}"
            flags = ["-callback", url]
        else:
            self.server.close()
            flags = ["-addr", f"127.0.0.1:{self.port}"]
        if not token_in_url:
            env["SOCKERLESS_AGENT_TOKEN"] = TOKEN
        if keep_alive:
            flags.append("-keep-alive")
        self.process = subprocess.Popen([AGENT, *flags, "--", *argv], env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, cwd="/")
        self.ws = None

    def connect(self, token=TOKEN):
        """A WebSocket for a session: in reverse mode the agent's one, in forward mode another."""
        if self.how == "forward":
            for _ in range(200):
                try:
                    return predecessor.dial(f"ws://127.0.0.1:{self.port}/ws", token)
                except ConnectionRefusedError:
                    time.sleep(0.02)
            raise AssertionError("the agent does not listen")
        if not self.ws:
            self.server.settimeout(20)
            sock, _ = self.server.accept()
            request, headers, rest = predecessor.read_head(sock)
            self.request, self.headers = request, headers
            self.ws = predecessor.upgrade(sock, headers, rest)
        return self.ws

    def health(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("GET", "/health")
        r = c.getresponse()
        assert r.status == 200
        return json.loads(r.read())

    def end(self):
        self.process.kill()
        self.process.wait()
        self.server.close()


def collect(ws, *ids):
    """Until all of these have ended: {id: (stdout, stderr, end)}."""
    got = {i: [bytearray(), bytearray(), None] for i in ids}
    while any(g[2] is None for g in got.values()):
        m = ws.receive()
        g = got.get(m.get("id"))
        if not g:
            continue
        assert g[2] is None, f"{m} after the end"
        if m["type"] in ("stdout", "stderr"):
            g[m["type"] == "stderr"] += m["data"]
        elif m["type"] == "exit":
            g[2] = m.get("code")
        elif m["type"] == "error":
            g[2] = m["message"]
    return {i: (bytes(out), bytes(err), end) for i, (out, err, end) in got.items()}


def run(agent, *cmd, **fields):
    ws = agent.connect()
    ws.send(type="exec", id="e1", cmd=list(cmd), **fields)
    return collect(ws, "e1")["e1"]


# ---- cases: each gets an agent whose main process is `sh -c SCRIPT` ----------------------------------


def exec_runs(a):
    assert run(a, "sh", "-c", "echo out; echo err >&2; exit 7") == (b"out\n", b"err\n", 7)


def exec_has_environment_and_directory(a):
    out = run(a, "sh", "-c", 'echo "$FROM_THE_AGENT $V $(pwd)"', env=["V=a <b> & c"], workdir="/tmp")
    assert out == (b"yes a <b> & c /tmp\n", b"", 0), out


def exec_that_cannot_start(a):
    out = run(a, "/no/such/program")
    assert isinstance(out[2], str) and "no such file" in out[2], out


def signal_codes(a):
    ws = a.connect()
    ws.send(type="exec", id="s", cmd=["sh", "-c", "echo ready; exec sleep 100"])
    assert ws.receive()["data"] == b"ready\n"
    ws.send(type="signal", id="s", signal="TERM")
    assert collect(ws, "s")["s"][2] == 143
    ws = a.connect()
    ws.send(type="exec", id="t", cmd=["sh", "-c", "echo ready; exec sleep 100"])
    assert ws.receive()["data"] == b"ready\n"
    ws.send(type="signal", id="t", signal="SIGKILL")
    assert collect(ws, "t")["t"][2] == 137


def stdin_and_half_close(a):
    ws = a.connect()
    data = os.urandom(3 * MIB)
    ws.send(type="exec", id="cat", cmd=["cat"])

    def feed():
        for at in range(0, len(data), 32768):
            ws.send(type="stdin", id="cat", data=data[at:at + 32768])
        ws.send(type="close_stdin", id="cat")

    feeder = threading.Thread(target=feed)
    feeder.start()
    out = collect(ws, "cat")["cat"]
    feeder.join()
    assert out == (data, b"", 0), (len(out[0]), out[1:])


def terminal(a):
    ws = a.connect()
    ws.send(type="exec", id="tty", cmd=["sh"], tty=True)
    ws.send(type="resize", id="tty", width=100, height=40)
    ws.send(type="stdin", id="tty", data=b"stty size; exit 5\n")
    out, err, code = collect(ws, "tty")["tty"]
    assert b"40 100" in out and not err and code == 5, (out, err, code)


def many_at_once(a):
    ws = a.connect()
    if a.how == "forward":
        return
    for i in range(20):
        ws.send(type="exec", id=f"m{i}", cmd=["sh", "-c", f"sleep 0.2; echo {i}; exit {i}"])
    got = collect(ws, *[f"m{i}" for i in range(20)])
    assert got == {f"m{i}": (f"{i}\n".encode(), b"", i) for i in range(20)}


def slow_reader(a):
    """It has no windows, and neither has the socket's end: the process waits, nothing is dropped."""
    ws = a.connect()
    ws.send(type="exec", id="big", cmd=["head", "-c", str(16 * MIB), "/dev/zero"])
    time.sleep(0.5)
    out = collect(ws, "big")["big"]
    assert out == (bytes(16 * MIB), b"", 0), (len(out[0]), out[2])


def bad_messages(a):
    ws = a.connect()
    ws.send(type="exec", cmd=["true"])
    assert ws.receive()["message"] == "exec requires id"
    ws.send(type="weather", id="x")
    assert ws.receive()["message"] == "unknown message type: weather"
    for kind in ("stdin", "close_stdin", "signal", "resize"):
        ws.send(type=kind, id="nobody", data=b"x", signal="TERM", width=1, height=1)
    ws.send(type="exec", id="ok", cmd=["echo", "still here"])
    assert collect(ws, "ok")["ok"] == (b"still here\n", b"", 0)
    ws.send_text('{"type":"exec","id":')
    try:
        while True:
            ws.receive_text()
    except EOFError:
        pass
    a.ws = None
    assert run(a, "echo", "and back") == (b"and back\n", b"", 0)


def cut(a):
    """The back end is gone without a word: main goes on, and the agent is there for the next connection."""
    ws = a.connect()
    ws.send(type="exec", id="left", cmd=["sh", "-c", "cat; touch /tmp/predecessor.%d" % a.port])
    ws.send(type="exec", id="up", cmd=["true"])
    collect(ws, "up")
    ws.cut()
    a.ws = None
    assert run(a, "echo", "again") == (b"again\n", b"", 0)
    for _ in range(100):
        if os.path.exists(f"/tmp/predecessor.{a.port}"):
            break
        time.sleep(0.05)
    os.unlink(f"/tmp/predecessor.{a.port}")


def attach(ws, sid=CID):
    ws.send(type="attach", id=sid)


def main_replayed_and_live(a):
    """seq 1 300000 (2 MB), then what stdin says, then exit 9."""
    want = b"".join(b"%d\n" % i for i in range(1, 300001))
    time.sleep(1)
    ws = a.connect()
    ws.send(type="exec", id="wait", cmd=["sh", "-c", "while [ ! -e /tmp/seq.%d ]; do sleep 0.02; done" % a.process.pid])
    collect(ws, "wait")
    os.unlink(f"/tmp/seq.{a.process.pid}")
    time.sleep(0.3)
    attach(ws)
    m = ws.receive()
    assert m["type"] == "stdout" and m["data"] == want[-MIB:], (m["type"], len(m["data"]))
    ws.send(type="stdin", id=CID, data=b"live\n")
    out, err, code = collect(ws, CID)[CID]
    assert (out, err, code) == (b"live\n", b"said\n", 9), (out, err, code)


def main_signalled(a):
    ws = a.connect()
    attach(ws)
    assert ws.receive()["data"] == b"ready\n"
    ws.send(type="signal", id=CID, signal="SIGUSR1")
    out, _, code = collect(ws, CID)[CID]
    assert (out, code) == (b"got it\n", 4), (out, code)


def leaves_with_mains_code(a):
    ws = a.connect()
    attach(ws)
    ws.send(type="close_stdin", id=CID)
    got = collect(ws, CID)[CID]
    assert got == (b"bye\n", b"", 6), got
    if a.how == "reverse":
        try:
            while True:
                ws.receive_text()
        except (EOFError, ConnectionError):
            pass
    assert a.process.wait(20) == 6


def doors(a):
    if a.how == "reverse":
        a.connect()
        assert a.request.startswith(f"GET /internal/v1/agent/connect?id={CID} "), a.request
        assert a.headers["authorization"] == f"Bearer {TOKEN}"
        return
    a.connect().cut()
    assert a.health() == {"status": "ok", "pid": a.process.pid, "exited": False}
    for token in (None, "wrong"):
        try:
            a.connect(token)
        except predecessor.Refused as e:
            assert e.status == 401, e
            continue
        raise AssertionError("let in")
    predecessor.dial(f"ws://127.0.0.1:{a.port}/ws?token={TOKEN}").cut()


def health_after_the_end(a):
    if a.how == "reverse":
        return
    a.connect().cut()
    for _ in range(100):
        if (h := a.health())["exited"]:
            break
        time.sleep(0.05)
    assert h["exitCode"] == 3, h
    assert run(a, "true")[2] is not None


IDLE = "exec sleep 100"
CASES = [
    (exec_runs, IDLE, {}), (exec_has_environment_and_directory, IDLE, {}), (exec_that_cannot_start, IDLE, {}),
    (signal_codes, IDLE, {}), (stdin_and_half_close, IDLE, {}), (terminal, IDLE, {}), (many_at_once, IDLE, {}),
    (slow_reader, IDLE, {}), (bad_messages, IDLE, {}), (cut, IDLE, {}),
    (main_replayed_and_live, "seq 1 300000; touch /tmp/seq.$PPID; read x; echo $x; echo said >&2; exit 9", {}),
    (main_signalled, "trap 'echo got it; exit 4' USR1; echo ready; while :; do sleep 0.02; done", {}),
    (leaves_with_mains_code, "cat; echo bye; exit 6", {"keep_alive": False}),
    (doors, IDLE, {}), (health_after_the_end, "exit 3", {}),
]


def main():
    signal.alarm(120)
    how, only = sys.argv[1], sys.argv[3:]
    for case, script, options in CASES:
        if only and case.__name__ not in only:
            continue
        begun = time.monotonic()
        agent = Agent(how, "sh", "-c", script, **options)
        try:
            case(agent)
        except BaseException:
            print(f"{how}: {case.__name__} failed", file=sys.stderr)
            raise
        finally:
            agent.end()
        print(f"ok {case.__name__} ({time.monotonic() - begun:.1f} s)")
    if how == "reverse":
        agent = Agent(how, "sh", "-c", IDLE, token_in_url=True)
        agent.connect()
        assert f"&token={TOKEN} " in agent.request and "authorization" not in agent.headers
        assert run(agent, "echo", "fine") == (b"fine\n", b"", 0)
        agent.end()


if __name__ == "__main__":
    main()
