"""events: what each call tells, in which order, and the filters."""
import json
import time
import urllib.parse

from session import case, setup, table

READ = ("1.24", "1.40", "1.41")


def q(filters):
    return "filters=" + urllib.parse.quote(json.dumps(filters))


@setup
def one_life(e):
    """A container's life that all filters are tried on."""
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.told_since = f"{time.time():.9f}"
    made = e.run("sleep", "1000", name="told", Labels={"l": "v"})
    e.exec(made, "true")
    e.quiet("DELETE", f"/containers/{made}?force=1")
    time.sleep(0.1)
    e.told_until = f"{time.time():.9f}"


def history(e, since, query):
    """What happened since, read to its end."""
    until = "" if "until=" in query else f"&until={time.time():.9f}"
    answer = e.send("GET", f"/events?since={since}{until}&{query}")
    return list(answer.lines())


def told(e, filters, act):
    since = f"{time.time():.9f}"
    act()
    time.sleep(0.05)
    e.note("events", history(e, since, q(filters)))


@case("events: run to its end", READ)
def _(e):
    def act():
        made = e.create("sh", "-c", "exit 3", Labels={"l": "v"}, name="told")
        e.start(made)
        e.wait(made)
        e.quiet("DELETE", f"/containers/{made}")
    told(e, {"type": ["container"]}, act)


@case("events: attach")
def _(e):
    def act():
        made = e.create("true", name="told")
        stream = e.hijack(f"/containers/{made}/attach?stream=1&stdout=1")
        e.start(made)
        e.note_frames(stream)
        e.wait(made)
    told(e, {"type": ["container"]}, act)


@case("events: stop")
def _(e):
    made = e.run("sleep", "1000", name="told")
    told(e, {"container": ["told"]}, lambda: e.quiet("POST", f"/containers/{made}/stop?t=0"))


@case("events: kill")
def _(e):
    made = e.run("sleep", "1000", name="told")

    def act():
        e.quiet("POST", f"/containers/{made}/kill")
        e.wait(made)
    told(e, {"container": [made]}, act)


@case("events: restart")
def _(e):
    made = e.run("sleep", "1000", name="told")
    told(e, {"container": [made]}, lambda: e.quiet("POST", f"/containers/{made}/restart?t=0"))


@case("events: rename and resize")
def _(e):
    made = e.run("sleep", "1000", name="told", Tty=True)

    def act():
        e.quiet("POST", f"/containers/{made}/rename?name=retold")
        e.quiet("POST", f"/containers/{made}/resize?h=10&w=20")
    told(e, {"container": [made]}, act)


@case("events: exec")
def _(e):
    made = e.run("sleep", "1000", name="told")

    def act():
        run = e.exec(made, "sh", "-c", "exit 4")
        e.note_frames(e.hijack(f"/exec/{run}/start", {}))
        e.until(lambda: not e.quiet("GET", f"/exec/{run}/json").json()["Running"])
        time.sleep(0.1)
    told(e, {"container": [made]}, act)


@case("events: a start that fails")
def _(e):
    made = e.create("no-such-program", name="told")
    told(e, {"container": [made]}, lambda: e.quiet("POST", f"/containers/{made}/start"))


@case("events: tag, untag, pull", READ)
def _(e):
    def act():
        e.quiet("POST", "/images/busybox/tag?repo=told&tag=1")
        e.quiet("DELETE", "/images/told:1")
        e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    told(e, {"type": ["image"]}, act)


@case("events: container prune")
def _(e):
    e.create("true", Labels={"old3": ""}, name="told")
    told(e, {"type": ["container"]}, lambda: e.quiet("POST", "/containers/prune?" + q({"label": ["old3"]})))


FILTERS = (("event", {"event": ["start", "die"]}), ("type and event", {"type": ["container"], "event": ["create"]}),
           ("container by name", {"container": ["told"]}), ("image", {"image": ["busybox"]}),
           ("image of another name", {"image": ["other"]}), ("label", {"label": ["l=v"], "type": ["container"]}),
           ("label of none", {"label": ["nothing"]}), ("scope", {"scope": ["local"], "event": ["start"]}),
           ("another scope", {"scope": ["swarm"]}), ("daemon", {"daemon": ["x"]}),
           ("network of none", {"network": ["nothing"]}), ("volume of none", {"volume": ["nothing"]}),
           ("an event by its first word", {"event": ["exec_create"]}))
for title, filters in FILTERS:
    @case(f"events filter: {title}")
    def _(e, filters=filters):
        e.note("events", history(e, e.told_since, q(filters) + f"&until={e.told_until}"))


@case("events: they come as they happen")
def _(e):
    answer = e.send("GET", "/events?" + q({"container": ["told"], "event": ["create", "destroy"]}))
    e.note("head", {"status": answer.status, "headers": e._headers(answer),
                    "chunked": answer.headers.get("transfer-encoding")})
    made = e.create("true", name="told")
    lines = answer.lines()
    e.note("first", next(lines))
    e.quiet("DELETE", f"/containers/{made}")
    e.note("second", next(lines))


table(("1.41",),
      ("events: until the past ends at once", "GET", "/events?since=1&until=2"),
      ("events: since after until", "GET", "/events?since=20&until=10"),
      ("events: a since that is none", "GET", "/events?since=x"),
      ("events: an until that is none", "GET", "/events?since=1&until=x"),
      ("events: an unknown filter", "GET", "/events?since=1&until=2&" + q({"nonsense": ["x"]})),
      ("events: filters that are no JSON", "GET", "/events?since=1&until=2&filters=x"))
