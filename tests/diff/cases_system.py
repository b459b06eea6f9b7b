"""What the engine says of itself, versions, unknown pages, swarm and plugins on an engine that has none."""
from session import case, table

ALL = ("", "1.24", "1.40", "1.41")

table(ALL,
      ("ping", "GET", "/_ping"),
      ("ping by HEAD", "HEAD", "/_ping"),
      ("version", "GET", "/version"))

table(("1.24", "1.41"), ("info", "GET", "/info"))

table(("1.41",),
      ("an unknown page", "GET", "/no/such/page"),
      ("a wrong method", "DELETE", "/version"),
      ("a wrong method on a page with a name", "PUT", "/containers/json"),
      ("double slashes are redirected", "GET", "//containers//json"),
      ("system df", "GET", "/system/df"),
      ("plugins: none", "GET", "/plugins"),
      ("plugins with a filter", "GET", '/plugins?filters={"enabled":["true"]}'),
      ("plugin inspect: none such", "GET", "/plugins/nothing/json"),
      ("plugin remove: none such", "DELETE", "/plugins/nothing"),
      ("plugin enable: none such", "POST", "/plugins/nothing/enable?timeout=0"),
      ("plugin disable: none such", "POST", "/plugins/nothing/disable"),
      ("plugin set: none such", "POST", "/plugins/nothing/set", ["A=b"]),
      ("plugin push: none such", "POST", "/plugins/nothing/push"),
      ("plugin upgrade: none such", "POST", "/plugins/nothing/upgrade?remote=x", []),
      ("swarm inspect", "GET", "/swarm"),
      ("swarm leave", "POST", "/swarm/leave"),
      ("swarm update", "POST", "/swarm/update?version=1", {}),
      ("swarm unlock key", "GET", "/swarm/unlockkey"),
      ("swarm unlock", "POST", "/swarm/unlock", {"UnlockKey": "x"}),
      ("node list", "GET", "/nodes"),
      ("node inspect", "GET", "/nodes/x"),
      ("node remove", "DELETE", "/nodes/x"),
      ("node update", "POST", "/nodes/x/update?version=1", {}),
      ("service list", "GET", "/services"),
      ("service inspect", "GET", "/services/x"),
      ("service create", "POST", "/services/create", {"Name": "x"}),
      ("service update", "POST", "/services/x/update?version=1", {}),
      ("service remove", "DELETE", "/services/x"),
      ("service logs", "GET", "/services/x/logs?stdout=1"),
      ("task list", "GET", "/tasks"),
      ("task inspect", "GET", "/tasks/x"),
      ("task logs", "GET", "/tasks/x/logs?stdout=1"),
      ("secret list", "GET", "/secrets"),
      ("secret create", "POST", "/secrets/create", {"Name": "x", "Data": "eA=="}),
      ("secret inspect", "GET", "/secrets/x"),
      ("secret update", "POST", "/secrets/x/update?version=1", {}),
      ("secret remove", "DELETE", "/secrets/x"),
      ("config list", "GET", "/configs"),
      ("config create", "POST", "/configs/create", {"Name": "x", "Data": "eA=="}),
      ("config inspect", "GET", "/configs/x"),
      ("config update", "POST", "/configs/x/update?version=1", {}),
      ("config remove", "DELETE", "/configs/x"),
      ("build prune with nothing to do", "POST", "/build/prune"),
      ("auth without a body", "POST", "/auth"),
      ("checkpoint list", "GET", "/containers/nothing/checkpoints"))


table(("1.41",),
      ("plugin privileges", "GET", "/plugins/privileges?remote=nothing.invalid/x"),
      ("plugin pull", "POST", "/plugins/pull?remote=nothing.invalid/x", []),
      ("plugin create: an empty body", "POST", "/plugins/create?name=x", b""),
      ("a session without an upgrade", "POST", "/session"),
      ("image search: without a term", "GET", "/images/search"),
      ("image attestations are of a later version", "GET", "/images/nothing/attestations"))


@case("swarm init and join are refused by the gateway")
def _(e):
    if e.engine == "gateway":   # the reference would do it
        e.quiet("POST", "/swarm/init", {"ListenAddr": "127.0.0.1"})
        e.quiet("POST", "/swarm/join", {"RemoteAddrs": ["127.0.0.1"]})


@case("image attestations of 1.55")
def _(e):
    if e.engine == "gateway":
        e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
        for name in ("busybox", "nothing"):
            e.quiet("GET", f"/images/{name}/attestations", version="1.55")


@case("auth at a registry that wants no password")
def _(e):
    e.post("/auth", {"username": "u", "password": "p", "serveraddress": e.registry})


@case("auth at a registry that does not answer")
def _(e):
    e.post("/auth", {"username": "u", "password": "p", "serveraddress": "127.0.0.1:1"})


@case("a version that is too old")
def _(e):
    e.get("/version", version="1.11")


@case("a version that is too old, for an unknown page")
def _(e):
    e.get("/no/such/page", version="1.11")


@case("a version that is too new")
def _(e):
    e.get("/version", version="1.999")


@case("a major version that is too new")
def _(e):
    e.get("/version", version="2.0")


@case("a version that is no number")
def _(e):
    e.get("/version", version="abc")


@case("a version without its minor part")
def _(e):
    e.get("/version", version="1")


@case("a version with a third part")
def _(e):
    e.get("/version", version="1.41.0")


@case("a connection is kept: two pings, then a HEAD, then a 404")
def _(e):
    connection = e._connect()
    for method, path in (("GET", "/_ping"), ("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/nothing"),
                         ("GET", "/_ping")):
        answer = connection.request(method, path)
        answer.body()
        e.note_answer(answer)


@case("Connection: close is obeyed")
def _(e):
    answer = e.send("GET", "/_ping", headers={"Connection": "close"})
    answer.body()
    e.note("then", answer.file.read(1).decode())
    e.note_answer(answer)


@case("an HTTP/1.0 client gets an answer and the end")
def _(e):
    connection = e._connect()
    connection.sock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
    text = connection.file.read()
    e.note("line", text.split(b"\r\n")[0].decode())
    e.note("body", text.split(b"\r\n\r\n")[1].decode())
