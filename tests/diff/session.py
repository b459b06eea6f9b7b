"""session - what a case sees of one engine: it sends, and every answer is noted for the comparison.

A case is a function of a session. The same function runs against both engines; what it has noted on the
one is compared with what it has noted on the other, note by note. What a case creates is removed after it."""
import json
import re
import time

import wire

SHADOWS = ("1.44", "1.50", "1.55")   # versions of the documents that tests/contract reads
CASES = []
SETUPS = {}


def case(name, versions=("1.41",), skip_unless=None):
    """Registers a behaviour under its name. versions: the API versions it is sent with; "" = unversioned."""
    def add(fn):
        CASES.append((name, fn, versions))
        return fn
    return add


def table(versions, *rows):
    """Behaviours of one request each: (name, method, path[, body])."""
    for name, method, path, *body in rows:
        def fn(e, method=method, path=path, body=body):
            e.call(method, path, *body)
        CASES.append((name, fn, versions))


def setup(fn):
    """Runs before the first case of its file; what it creates stays until the file's last case."""
    SETUPS[fn.__module__] = fn
    return fn


class Session:
    def __init__(self, engine, socket, registry, record=None):
        self.engine, self.socket, self.registry = engine, socket, registry
        self.version = "1.41"
        self.notes = []
        self.known = {}          # ID -> what it is called in the notes
        self.made = []           # paths to delete
        self.open = []
        self.record = record     # takes (method, path, version, answer) of every decoded answer

    # ---- requests ----

    def _connect(self):
        connection = wire.Connection(self.socket)
        self.open.append(connection)
        return connection

    def _target(self, path, version=None):
        version = self.version if version is None else version
        return (f"/v{version}" if version else "") + path

    def send(self, method, path, body=None, headers=(), chunked=False, version=None):
        """An answer whose body is still to be read; nothing is noted."""
        return self._connect().request(method, self._target(path, version), body, headers, chunked)

    def quiet(self, method, path, body=None, **options):
        answer = self.send(method, path, body, **options)
        answer.body()
        answer.close()
        self._learn(method, path, answer)
        if self.record:
            self._record(method, path, answer, options.get("version"))
        return answer

    def _record(self, method, path, answer, version):
        version = self.version if version is None else version
        self.record(method, path, version, answer)
        if method == "GET" and version in SHADOWS and answer.headers.get("content-type") == "application/json":
            for other in SHADOWS:
                if other != version:
                    again = self.send(method, path, version=other)
                    again.body()
                    again.close()
                    self.record(method, path, other, again)

    def call(self, method, path, body=None, **options):
        answer = self.quiet(method, path, body, **options)
        self.note_answer(answer)
        return answer

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options)

    def hijack(self, path, body=None, upgrade=True, **options):
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"} if upgrade else {}
        answer = self.send("POST", path, body, headers=headers, **options)
        self.note("stream", {"status": answer.status, "headers": self._headers(answer)})
        if answer.status not in (101, 200):
            self.note("body", self._decoded(answer))
        return answer

    # ---- what is remembered of answers ----

    def _learn(self, method, path, answer):
        if answer.status != 201 or method != "POST":
            return
        made = json.loads(answer.body() or b"{}")
        what = path.split("?")[0].strip("/").split("/")
        if what == ["containers", "create"]:
            self.name_id(made["Id"], "container")
            self.made.append(f"/containers/{made['Id']}?force=1&v=1")
        elif what == ["networks", "create"]:
            self.name_id(made["Id"], "network")
            self.made.append(f"/networks/{made['Id']}")
        elif what == ["volumes", "create"]:
            self.made.append(f"/volumes/{made['Name']}?force=1")
            if re.fullmatch("[0-9a-f]{64}", made["Name"]):
                self.name_id(made["Name"], "volume")
        elif what[-1] == "exec":
            self.name_id(made["Id"], "exec")

    def name_id(self, hex_id, kind):
        if hex_id not in self.known:
            n = sum(1 for v in self.known.values() if v.startswith(f"<{kind} ")) + 1
            self.known[hex_id] = f"<{kind} {n}>"

    def note(self, what, value):
        self.notes.append((what, value))

    def note_answer(self, answer):
        self.note("answer", {"status": answer.status, "headers": self._headers(answer),
                             "body": self._decoded(answer)})

    def note_frames(self, answer):
        """A multiplexed stream to its end: neighbouring frames of one stream count as one."""
        frames = []
        while (frame := answer.frame()):
            if frames and frames[-1][0] == frame[0]:
                frames[-1][1] += frame[1]
            else:
                frames.append([frame[0], frame[1]])
        answer.close()
        self.note("frames", [[kind, data.decode("latin-1")] for kind, data in frames])

    def note_raw(self, answer):
        data = b""
        while (piece := answer.file.read1(65536)):
            data += piece
        answer.close()
        self.note("bytes", data.decode("latin-1"))

    SHOWN = ("content-type", "connection", "upgrade", "location", "cache-control", "pragma", "docker-experimental",
             "ostype", "api-version", "server", "builder-version", "swarm", "allow")

    def _headers(self, answer):
        shown = {name: answer.headers[name] for name in self.SHOWN if name in answer.headers}
        if "server" in shown:
            shown["server"] = re.sub(r"^Docker/\S+ ", "Docker/<version> ", shown["server"])
        return shown

    @staticmethod
    def _decoded(answer):
        text = answer.body()
        if not text:
            return ""
        if answer.headers.get("content-type", "").startswith("application/json"):
            values = []
            for line in text.decode().splitlines():
                try:
                    values.append(json.loads(line))
                except ValueError:
                    return {"not JSON": text.decode()}
            return values[0] if len(values) == 1 else {"lines": values}
        return text.decode("latin-1")

    # ---- shorthand ----

    def create(self, *cmd, name=None, quiet=True, image="busybox", **config):
        """A container; its ID."""
        body = {"Image": image, **({"Cmd": list(cmd)} if cmd else {}), **config}
        path = "/containers/create" + (f"?name={name}" if name else "")
        answer = (self.quiet if quiet else self.call)("POST", path, body)
        assert answer.status == 201, answer.body()
        return answer.json()["Id"]

    def start(self, container):
        answer = self.quiet("POST", f"/containers/{container}/start")
        assert answer.status == 204, answer.body()
        return container

    def run(self, *cmd, **options):
        """A started container; its ID."""
        return self.start(self.create(*cmd, **options))

    def wait(self, container):
        return self.quiet("POST", f"/containers/{container}/wait").json()["StatusCode"]

    def ran(self, *cmd, **options):
        """A container that has ended; its ID."""
        container = self.run(*cmd, **options)
        self.wait(container)
        return container

    def inspect(self, container):
        return self.quiet("GET", f"/containers/{container}/json").json()

    def exec(self, container, *argv, **options):
        """An exec instance that attaches both outputs; its ID."""
        body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(argv), **options}
        answer = self.quiet("POST", f"/containers/{container}/exec", body)
        assert answer.status == 201, answer.body()
        return answer.json()["Id"]

    def until(self, condition, seconds=10):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "never became true"
            time.sleep(0.03)

    # ---- the end of a case ----

    def tidy(self, made=None):
        for connection in self.open:
            try:
                connection.close()
            except OSError:
                pass
        self.open.clear()
        made = self.made if made is None else made
        for path in reversed(made):
            try:
                self.send("DELETE", path, version="1.41").body()
            except (OSError, ValueError):
                pass
        made.clear()
        for connection in self.open:
            connection.close()
        self.open.clear()
