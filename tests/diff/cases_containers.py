"""Create, list, inspect, start, stop, kill, wait, rename, resize, restart, remove, prune."""
import json
import urllib.parse

from session import case, setup, table

READ = ("1.24", "1.40", "1.41")
SLEEP = ("sleep", "1000")


def q(filters):
    return "filters=" + urllib.parse.quote(json.dumps(filters))


@setup
def containers(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.quiet("POST", "/images/create?fromImage=configured&tag=latest")
    e.create(*SLEEP, name="fresh", Labels={"kind": "fresh", "x": "1"}, ExposedPorts={"80/tcp": {}})
    e.ran("sh", "-c", "exit 3", name="gone", Labels={"kind": "gone"})
    e.run(*SLEEP, name="live", Labels={"kind": "live", "x": "2"}, ExposedPorts={"81/tcp": {}, "53/udp": {}})
    e.create(name="rich", image="configured", Env=["A=b", "GREETING=mine"], User="1000", Hostname="host",
             Domainname="example.org", WorkingDir="/tmp", Labels={"own": "label"}, Tty=True, OpenStdin=True,
             StdinOnce=True, AttachStdin=True, AttachStdout=True, StopSignal="SIGINT", StopTimeout=3,
             HostConfig={"Memory": 64 << 20, "NanoCpus": 500000000,
                         "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}})


# ---- list ------------------------------------------------------------------------------------------------

table(READ,
      ("list: running ones", "GET", "/containers/json"),
      ("list: all", "GET", "/containers/json?all=1"),
      ("list: all=true", "GET", "/containers/json?all=true"),
      ("list: all=0", "GET", "/containers/json?all=0"),
      ("list: all=no", "GET", "/containers/json?all=no"),
      ("list: limit", "GET", "/containers/json?limit=2"),
      ("list: limit 0", "GET", "/containers/json?limit=0"),
      ("list: a negative limit", "GET", "/containers/json?limit=-1"),
      ("list: size", "GET", "/containers/json?size=1&all=1"),
      ("list: before as a parameter", "GET", "/containers/json?all=1&before=live"),
      ("list: since as a parameter", "GET", "/containers/json?all=1&since=gone"))

for title, filters in (
        ("status", {"status": ["exited"]}),
        ("two statuses", {"status": ["exited", "created"]}),
        ("the older form of a filter", {"status": {"exited": True}}),
        ("the older form with false", {"status": {"exited": False}}),
        ("a status that is none", {"status": ["nonsense"]}),
        ("exited", {"exited": ["3"]}),
        ("exited with a code of none", {"exited": ["4"]}),
        ("exited that is no number", {"exited": ["x"]}),
        ("name", {"name": ["live"]}),
        ("name is a regular expression", {"name": ["^/l.ve$"]}),
        ("name is part of a name", {"name": ["on"]}),
        ("name that is a broken expression", {"name": ["["]}),
        ("two names", {"name": ["live", "gone"]}),
        ("name of none", {"name": ["nobody"]}),
        ("label key", {"label": ["x"]}),
        ("label key and value", {"label": ["kind=live"]}),
        ("labels are ANDed", {"label": ["x", "kind=gone"]}),
        ("label of none", {"label": ["nothing"]}),
        ("before", {"before": ["live"]}),
        ("since", {"since": ["gone"]}),
        ("before a container that is not there", {"before": ["nobody"]}),
        ("since a container that is not there", {"since": ["nobody"]}),
        ("ancestor", {"ancestor": ["busybox"]}),
        ("ancestor with a tag", {"ancestor": ["busybox:latest"]}),
        ("ancestor that is not there", {"ancestor": ["nothing"]}),
        ("two ancestors", {"ancestor": ["busybox", "configured"]}),
        ("volume", {"volume": ["nothing"]}),
        ("publish", {"publish": ["80"]}),
        ("publish of a range", {"publish": ["79-81/tcp"]}),
        ("expose", {"expose": ["80"]}),
        ("expose with a protocol", {"expose": ["80/tcp"]}),
        ("expose of a range", {"expose": ["79-81"]}),
        ("expose udp", {"expose": ["80/udp"]}),
        ("expose of a running one", {"expose": ["81"]}),
        ("expose of a running one, udp", {"expose": ["50-60/udp"]}),
        ("expose with an address", {"expose": ["1:2"]}),
        ("expose backwards", {"expose": ["9-2"]}),
        ("expose that is no port", {"expose": ["x"]}),
        ("publish that is no port", {"publish": ["99999"]}),
        ("health none", {"health": ["none"]}),
        ("health healthy", {"health": ["healthy"]}),
        ("a health that is none", {"health": ["nonsense"]}),
        ("is-task", {"is-task": ["true"]}),
        ("is-task false", {"is-task": ["false"]}),
        ("is-task that is no boolean", {"is-task": ["x"]}),
        ("network that is not there", {"network": ["nothing"]}),
        ("isolation", {"isolation": ["default"]}),
        ("an unknown filter", {"nonsense": ["x"]}),
        ("no values at all", {"status": []}),
        ("an empty filter object", {}),
        ("several keys", {"status": ["running"], "label": ["kind"]})):
    table(("1.41",), (f"list filter: {title}", "GET", "/containers/json?all=1&" + q(filters)))

table(("1.41",),
      ("list filter: by default only running ones", "GET", "/containers/json?" + q({"label": ["kind"]})),
      ("list filter: status implies all", "GET", "/containers/json?" + q({"status": ["created"]})),
      ("list filter: exited does not imply all", "GET", "/containers/json?" + q({"exited": ["3"]})),
      ("list filter: not JSON", "GET", "/containers/json?filters=nonsense"),
      ("list filter: a list", "GET", '/containers/json?filters=["a"]'),
      ("list filter: a string for a list", "GET", "/containers/json?" + q({"status": "exited"})),
      ("list filter: numbers in the list", "GET", "/containers/json?" + q({"status": [1]})),
      ("list filter: both forms mixed", "GET", "/containers/json?" + q({"status": ["exited"], "label": {"x": True}})),
      ("list: a limit that is no number", "GET", "/containers/json?limit=x"))


@case("list filter: id")
def _(e):
    e.get("/containers/json?all=1&" + q({"id": [e.inspect("live")["Id"][:10]]}))


@case("list filter: id of none")
def _(e):
    e.get("/containers/json?all=1&" + q({"id": ["zzz"]}))


@case("list: the image's name has moved on")
def _(e):
    e.quiet("POST", "/images/busybox/tag?repo=moving&tag=1")
    e.create(*SLEEP, name="mover", image="moving:1")
    e.quiet("POST", "/images/configured/tag?repo=moving&tag=1")
    e.get("/containers/json?all=1&" + q({"name": ["mover"]}))
    e.quiet("DELETE", "/images/moving:1")


# ---- inspect ---------------------------------------------------------------------------------------------

table(READ,
      ("inspect: created", "GET", "/containers/fresh/json"),
      ("inspect: exited", "GET", "/containers/gone/json"),
      ("inspect: running", "GET", "/containers/live/json"),
      ("inspect: everything given", "GET", "/containers/rich/json"),
      ("inspect: size", "GET", "/containers/gone/json?size=1"),
      ("inspect: none such", "GET", "/containers/nobody/json"))


@case("inspect: by full ID")
def _(e):
    e.get(f"/containers/{e.inspect('live')['Id']}/json")


@case("inspect: by a prefix of the ID")
def _(e):
    e.get(f"/containers/{e.inspect('live')['Id'][:12]}/json")


@case("inspect: by name with a slash")
def _(e):
    e.get("/containers//live/json")


@case("an ID prefix that many have is refused")
def _(e):
    ids = [e.create("true", name=f"many{i}") for i in range(18)]
    first = next(c for c in "0123456789abcdef" if sum(1 for i in ids if i[0] == c) > 1)
    answer = e.quiet("GET", f"/containers/{first}/json")
    e.note("status", answer.status)
    e.note("says", answer.json()["message"].rsplit(":", 1)[0])


# ---- create ----------------------------------------------------------------------------------------------

table(("1.24", "1.41"),
      ("create: an image that is not there", "POST", "/containers/create", {"Image": "nothing"}),
      ("create: an image that is not there, with a tag", "POST", "/containers/create", {"Image": "nothing:1.2"}))

table(("1.41",),
      ("create", "POST", "/containers/create?name=made", {"Image": "busybox", "Cmd": ["true"]}),
      ("create: Cmd as a string", "POST", "/containers/create?name=made", {"Image": "busybox", "Cmd": "true"}),
      ("create: a name of one character", "POST", "/containers/create?name=a", {"Image": "busybox"}),
      ("create: a bad name", "POST", "/containers/create?name=a%20b", {"Image": "busybox"}),
      ("create: a name that begins with a dash", "POST", "/containers/create?name=-ab", {"Image": "busybox"}),
      ("create: a name with a slash first", "POST", "/containers/create?name=/slashed", {"Image": "busybox"}),
      ("create: a name that is taken", "POST", "/containers/create?name=live", {"Image": "busybox"}),
      ("create: no image", "POST", "/containers/create", {"Cmd": ["true"]}),
      ("create: an image name that is none", "POST", "/containers/create", {"Image": "UPPER:x y"}),
      ("create: an empty object", "POST", "/containers/create", {}),
      ("create: null", "POST", "/containers/create", b"null"),
      ("create: unknown fields", "POST", "/containers/create?name=made", {"Image": "busybox", "Nonsense": {"a": 1}}),
      ("create: fields in another case", "POST", "/containers/create?name=made", {"image": "busybox", "cmd": ["true"]}),
      ("create: null fields", "POST", "/containers/create?name=made",
       {"Image": "busybox", "Cmd": None, "HostConfig": None, "Labels": None, "Env": None}),
      ("create: a relative working directory", "POST", "/containers/create", {"Image": "busybox", "WorkingDir": "x"}),
      ("create: an environment variable without a name", "POST", "/containers/create",
       {"Image": "busybox", "Env": ["=x"]}),
      ("create: an empty environment variable", "POST", "/containers/create", {"Image": "busybox", "Env": [""]}),
      ("create: an environment variable without a value", "POST", "/containers/create?name=made",
       {"Image": "busybox", "Env": ["HOME"]}),
      ("create: a bad stop signal", "POST", "/containers/create", {"Image": "busybox", "StopSignal": "NOSUCH"}),
      ("create: a bad restart policy", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "sometimes"}}}),
      ("create: retries without on-failure", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "always", "MaximumRetryCount": 3}}}),
      ("create: negative retries", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": -3}}}),
      ("create: auto-remove and a restart policy", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"AutoRemove": True, "RestartPolicy": {"Name": "always"}}}),
      ("create: too little memory", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"Memory": 1024}}),
      ("create: CPUs below zero", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"NanoCpus": -5}}),
      ("create: CPUs and quota", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"NanoCpus": 1000000000, "CpuQuota": 50000}}),
      ("create: an unknown network", "POST", "/containers/create?name=made",
       {"Image": "busybox", "HostConfig": {"NetworkMode": "nowhere"}}),
      ("create: a bad port", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"PortBindings": {"x/tcp": [{"HostPort": "1"}]}}}),
      ("create: a port out of range", "POST", "/containers/create",
       {"Image": "busybox", "ExposedPorts": {"99999/tcp": {}}}),
      ("create: a bad health check", "POST", "/containers/create",
       {"Image": "busybox", "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5}}),
      ("create: an unknown runtime", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"Runtime": "nothing"}}),
      ("create: a relative volume", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"Binds": ["x:y"]}}),
      ("create: an unknown mount type", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "nothing", "Target": "/x"}]}}),
      ("create: a mount without a target", "POST", "/containers/create",
       {"Image": "busybox", "HostConfig": {"Mounts": [{"Type": "volume", "Source": "x"}]}}),
      ("create: no command anywhere", "POST", "/containers/create", {"Image": "static", "Entrypoint": [""]}),
      ("create: platform that the image is not", "POST", "/containers/create?platform=linux/arm64",
       {"Image": "busybox", "Cmd": ["true"]}),
      ("create: a bad platform", "POST", "/containers/create?platform=a/b/c/d", {"Image": "busybox"}))


@case("create: a duplicate mount point")
def _(e):
    e.post("/containers/create", {"Image": "busybox", "HostConfig": {"Binds": ["v1:/x", "v2:/x"]}})
    e.made.append("/volumes/v1")   # which dockerd leaves behind


@case("create: no name is made up twice")
def _(e):
    names = {e.inspect(e.create("true"))["Name"] for _ in range(3)}
    e.note("names", [len(names), all(n.startswith("/") for n in names)])


@case("create: the image by its ID, and by a part of it")
def _(e):
    image = e.quiet("GET", "/images/busybox/json").json()["Id"]
    for name in (image, image.removeprefix("sha256:"), image.removeprefix("sha256:")[:12]):
        made = e.create("true", image=name, name=f"by{len(name)}")
        shown = e.inspect(made)
        e.note("image", [shown["Image"], shown["Config"]["Image"]])
        e.get("/containers/json?all=1&" + q({"id": [made]}))


@case("create: a chunked body")
def _(e):
    e.post("/containers/create?name=chunky", b'{"Image":"busybox","Cmd":["true"]}', chunked=True,
           headers={"Content-Type": "application/json"})


@case("create: the entrypoint is taken away by an empty one")
def _(e):
    made = e.create("echo", "hi", image="configured", Entrypoint=[""])
    shown = e.inspect(made)
    e.note("argv", [shown["Path"], shown["Args"], shown["Config"]["Entrypoint"], shown["Config"]["Cmd"]])


@case("create: an entrypoint takes the image's command away")
def _(e):
    made = e.create(image="configured", Entrypoint=["/bin/echo"])
    shown = e.inspect(made)
    e.note("argv", [shown["Path"], shown["Args"], shown["Config"]["Entrypoint"], shown["Config"]["Cmd"]])


# ---- start -----------------------------------------------------------------------------------------------

table(("1.41",),
      ("start: none such", "POST", "/containers/nobody/start"),
      ("start: running already", "POST", "/containers/live/start"),
      ("start: with a body", "POST", "/containers/fresh/start", {"Binds": ["/a:/b"]}),
      ("start: a checkpoint", "POST", "/containers/fresh/start?checkpoint=x"))


@case("start")
def _(e):
    made = e.create(*SLEEP)
    e.post(f"/containers/{made}/start")
    e.note("state", e.inspect(made)["State"])


@case("start: with the body null")
def _(e):
    made = e.create(*SLEEP)
    e.post(f"/containers/{made}/start", b"", headers={"Content-Type": "application/json"})


for title, argv in (("a program that is not there", ["no-such-program"]), ("a file that may not be executed",
                    ["/etc/not-executable"]), ("a directory", ["/etc"]), ("a path that is not there", ["/no/such"])):
    @case(f"start: {title}")
    def _(e, argv=argv):
        made = e.create(*argv, name="bad")
        e.post(f"/containers/{made}/start")
        e.get(f"/containers/{made}/json")
        e.get("/containers/json?all=1&" + q({"id": [made]}))


@case("start: a working directory that is not there is made")
def _(e):
    made = e.ran("pwd", WorkingDir="/made/up")
    e.note("code", e.inspect(made)["State"]["ExitCode"])


@case("start: an unknown user")
def _(e):
    made = e.create("true", User="nobody-knows")
    e.post(f"/containers/{made}/start")
    e.note("state", e.inspect(made)["State"])


@case("start: an unknown group")
def _(e):
    made = e.create("true", User="root:nobody-knows")
    e.post(f"/containers/{made}/start")


@case("start: again after the end")
def _(e):
    made = e.ran("sh", "-c", "exit 4")
    e.post(f"/containers/{made}/start")
    e.note("code", e.wait(made))
    e.note("state", e.inspect(made)["State"])


# ---- stop, restart, kill ---------------------------------------------------------------------------------

TRAP = ("sh", "-c", 'trap "exit 9" TERM; trap "exit 8" INT; echo ready; while :; do sleep 0.05; done')


def ready(e, *argv, **options):
    made = e.run(*argv, **options)
    e.until(lambda: b"ready" in e.quiet("GET", f"/containers/{made}/logs?stdout=1").body())
    return made


table(("1.41",),
      ("stop: none such", "POST", "/containers/nobody/stop"),
      ("stop: created", "POST", "/containers/fresh/stop"),
      ("stop: exited", "POST", "/containers/gone/stop"),
      ("stop: t that is no number", "POST", "/containers/live/stop?t=x"),
      ("restart: none such", "POST", "/containers/nobody/restart"),
      ("restart: t that is no number", "POST", "/containers/live/restart?t=x"),
      ("kill: none such", "POST", "/containers/nobody/kill"),
      ("kill: created", "POST", "/containers/fresh/kill"),
      ("kill: exited", "POST", "/containers/gone/kill"),
      ("kill: an unknown signal", "POST", "/containers/live/kill?signal=NOSUCH"),
      ("kill: an unknown number", "POST", "/containers/live/kill?signal=99"),
      ("kill: signal 0", "POST", "/containers/live/kill?signal=0"),
      ("kill: a negative number", "POST", "/containers/live/kill?signal=-9"))


@case("stop: the program's own code is kept")
def _(e):
    made = ready(e, *TRAP)
    e.post(f"/containers/{made}/stop?t=5")
    e.note("state", e.inspect(made)["State"])


@case("stop: the container's own signal")
def _(e):
    made = ready(e, *TRAP, StopSignal="SIGINT")
    e.post(f"/containers/{made}/stop?t=5")
    e.note("code", e.inspect(made)["State"]["ExitCode"])


@case("stop: t=0 kills")
def _(e):
    made = ready(e, "sh", "-c", 'trap "" TERM; echo ready; while :; do sleep 0.05; done')
    e.post(f"/containers/{made}/stop?t=0")
    e.note("code", e.inspect(made)["State"]["ExitCode"])


@case("kill: without a signal it is SIGKILL")
def _(e):
    made = ready(e, *TRAP)
    e.post(f"/containers/{made}/kill")
    e.note("state", e.inspect(made)["State"])


@case("kill: by name, by short name, by number")
def _(e):
    for signal, code in (("SIGTERM", 9), ("TERM", 9), ("15", 9), ("sigint", 8)):
        made = ready(e, *TRAP)
        e.post(f"/containers/{made}/kill?signal={signal}")
        e.note("code", e.wait(made))


@case("restart: a running one")
def _(e):
    made = ready(e, *TRAP)
    e.post(f"/containers/{made}/restart?t=3")
    shown = e.inspect(made)
    e.note("state", [shown["State"], shown["RestartCount"]])


@case("restart: a stopped one starts")
def _(e):
    made = e.ran("true")
    e.post(f"/containers/{made}/restart")


@case("restart: a created one starts")
def _(e):
    made = e.create(*SLEEP)
    e.post(f"/containers/{made}/restart")
    e.note("status", e.inspect(made)["State"]["Status"])


# ---- wait ------------------------------------------------------------------------------------------------

table(("1.24", "1.41"),
      ("wait: none such", "POST", "/containers/nobody/wait"),
      ("wait: exited", "POST", "/containers/gone/wait"),
      ("wait: created", "POST", "/containers/fresh/wait"),
      ("wait: not-running of an exited one", "POST", "/containers/gone/wait?condition=not-running"))


@case("wait: a condition that is none")
def _(e):
    made = e.create("true")
    answer = e.send("POST", f"/containers/{made}/wait?condition=nonsense")
    e.note("status", answer.status)


@case("wait: the headers come at once, the code at the end")
def _(e):
    made = e.create("sh", "-c", "exit 7")
    answer = e.send("POST", f"/containers/{made}/wait?condition=next-exit")
    e.note("headers", [answer.status, answer.headers.get("content-type"), answer.headers.get("transfer-encoding")])
    e.start(made)
    e.note_answer(answer)


@case("wait: next-exit of one that has exited waits for the next")
def _(e):
    made = e.ran("sh", "-c", "exit 5")
    answer = e.send("POST", f"/containers/{made}/wait?condition=next-exit")
    e.start(made)
    e.note("code", answer.json()["StatusCode"])


@case("wait: removed")
def _(e):
    made = e.ran("sh", "-c", "exit 6")
    answer = e.send("POST", f"/containers/{made}/wait?condition=removed")
    e.quiet("DELETE", f"/containers/{made}")
    e.note_answer(answer)


@case("wait: removed by AutoRemove")
def _(e):
    made = e.create("sh", "-c", "exit 6", HostConfig={"AutoRemove": True})
    answer = e.send("POST", f"/containers/{made}/wait?condition=removed")
    e.start(made)
    e.note_answer(answer)
    e.get(f"/containers/{made}/json")


@case("wait: AutoRemove of one that cannot start")
def _(e):
    made = e.create("no-such-program", name="bad", HostConfig={"AutoRemove": True})
    answer = e.send("POST", f"/containers/{made}/wait?condition=removed")
    e.post(f"/containers/{made}/start")
    e.note("waited", answer.status)
    e.until(lambda: e.quiet("GET", f"/containers/{made}/json").status == 404)


# ---- rename, resize, remove, prune -----------------------------------------------------------------------

table(("1.41",),
      ("rename: none such", "POST", "/containers/nobody/rename?name=other"),
      ("rename: without a name", "POST", "/containers/live/rename"),
      ("rename: to an empty name", "POST", "/containers/live/rename?name="),
      ("rename: to a name that is taken", "POST", "/containers/live/rename?name=gone"),
      ("rename: to its own name", "POST", "/containers/live/rename?name=live"),
      ("rename: to a bad name", "POST", "/containers/live/rename?name=a%20b"),
      ("resize: none such", "POST", "/containers/nobody/resize?h=10&w=10"),
      ("resize: created", "POST", "/containers/fresh/resize?h=10&w=10"),
      ("resize: without h and w", "POST", "/containers/live/resize"),
      ("resize: h that is no number", "POST", "/containers/live/resize?h=x&w=10"),
      ("resize: a negative h", "POST", "/containers/live/resize?h=-1&w=10"),
      ("resize: running, without a terminal", "POST", "/containers/live/resize?h=10&w=10"),
      ("remove: none such", "DELETE", "/containers/nobody"),
      ("remove: running", "DELETE", "/containers/live"),
      ("remove: a link", "DELETE", "/containers/live?link=1"),
      ("prune: an unknown filter", "POST", "/containers/prune?" + q({"nonsense": ["x"]})),
      ("prune: an until that is none", "POST", "/containers/prune?" + q({"until": ["x"]})),
      ("prune: two untils", "POST", "/containers/prune?" + q({"until": ["1h", "2h"]})),
      ("prune: nothing to do", "POST", "/containers/prune?" + q({"label": ["nothing"]})),
      ("prune: nothing older than an hour", "POST", "/containers/prune?" + q({"until": ["1h"]})))


@case("rename")
def _(e):
    made = e.create(*SLEEP, name="before-name")
    e.post(f"/containers/{made}/rename?name=after-name")
    e.note("name", e.inspect(made)["Name"])
    e.get("/containers/before-name/json")
    e.note("found", e.inspect("after-name")["Id"] == made)


@case("rename: with a slash first")
def _(e):
    made = e.create(*SLEEP, name="before-name")
    e.post(f"/containers/{made}/rename?name=/after-name")
    e.note("name", e.inspect(made)["Name"])


@case("resize: a terminal")
def _(e):
    made = e.run("sh", "-c", "while [ \"$(stty size 2>/dev/null)\" != '33 77' ]; do sleep 0.05; done", Tty=True)
    e.post(f"/containers/{made}/resize?h=33&w=77")
    e.note("code", e.wait(made))


@case("remove: created")
def _(e):
    made = e.create(*SLEEP)
    e.call("DELETE", f"/containers/{made}")
    e.get(f"/containers/{made}/json")


@case("remove: running, with force")
def _(e):
    made = e.run(*SLEEP)
    e.call("DELETE", f"/containers/{made}?force=1&v=1")
    e.get(f"/containers/{made}/json")


@case("remove: its name is free again")
def _(e):
    made = e.create(*SLEEP, name="twice")
    e.quiet("DELETE", f"/containers/{made}")
    e.post("/containers/create?name=twice", {"Image": "busybox"})


@case("prune: by label")
def _(e):
    e.create(*SLEEP, Labels={"old": "yes"})
    e.ran("true", Labels={"old": "yes"})
    e.run(*SLEEP, name="young", Labels={"old": "yes"})
    e.post("/containers/prune?" + q({"label": ["old=yes"]}))
    e.get("/containers/json?all=1&" + q({"label": ["old"]}))


@case("prune: by the absence of a label")
def _(e):
    e.create(*SLEEP, name="kept", Labels={"keep": "", "x": "1", "kind": "1"})
    e.create(*SLEEP, name="dropped", Labels={"old2": ""})
    e.quiet("POST", "/containers/prune?" + q({"label": ["old2"], "label!": ["keep"]}))
    e.get("/containers/json?all=1&" + q({"name": ["kept", "dropped"]}))
