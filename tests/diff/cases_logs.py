"""logs: streams, tail, since, until, timestamps, details, follow, terminals, long lines."""
import datetime
import re

from session import case, setup, table

READ = ("1.24", "1.40", "1.41")


@setup
def containers(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    script = "for i in 1 2 3; do echo out$i; sleep 0.2; echo err$i >&2; sleep 0.2; done; printf tail"
    e.ran("sh", "-c", script, name="both", Labels={"l": "v"}, Env=["E=1"],
          HostConfig={"LogConfig": {"Type": "json-file", "Config": {"labels": "l", "env": "E"}}})
    e.ran("sh", "-c", "echo one; echo two >&2; sleep 0.1", name="tty", Tty=True)
    e.create("true", name="fresh")
    e.run("sh", "-c", "echo begun; exec sleep 1000", name="live")
    e.ran("sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'a\\000b\\377\\n'", name="long")


def logs(e, name, query, **options):
    answer = e.send("GET", f"/containers/{name}/logs?{query}", **options)
    e.note("head", {"status": answer.status, "headers": e._headers(answer),
                    "chunked": answer.headers.get("transfer-encoding")})
    return answer


def frames(e, answer):
    """The body of a multiplexed answer: it is chunked, so the frames are cut from the whole."""
    data, out = answer.body(), []
    while data:
        kind, length = data[0], int.from_bytes(data[4:8], "big")
        piece = data[8:8 + length]
        if out and out[-1][0] == kind:
            out[-1][1] += piece
        else:
            out.append([kind, piece])
        data = data[8 + length:]
    e.note("frames", [[kind, piece.decode("latin-1")] for kind, piece in out])


for title, query in (
        ("both streams", "stdout=1&stderr=1"),
        ("standard output", "stdout=1"),
        ("standard error", "stderr=1"),
        ("tail", "stdout=1&stderr=1&tail=2"),
        ("tail counts both streams", "stdout=1&tail=2"),
        ("tail 0", "stdout=1&stderr=1&tail=0"),
        ("tail all", "stdout=1&stderr=1&tail=all"),
        ("a tail that is none is all", "stdout=1&stderr=1&tail=nonsense"),
        ("a negative tail is all", "stdout=1&stderr=1&tail=-1"),
        ("a tail that is too large", "stdout=1&stderr=1&tail=1000"),
        ("since the future", "stdout=1&stderr=1&since=9999999999"),
        ("until the past", "stdout=1&stderr=1&until=1"),
        ("until 0 is ignored", "stdout=1&stderr=1&until=0"),
        ("since with a fraction", "stdout=1&stderr=1&since=1.5"),
        ("follow of an ended one ends", "stdout=1&stderr=1&follow=1"),
        ("follow with tail", "stdout=1&stderr=1&follow=1&tail=1"),
        ("details", "stdout=1&stderr=1&details=1")):
    @case(f"logs: {title}", READ if title == "both streams" else ("1.41",))
    def _(e, query=query):
        frames(e, logs(e, "both", query))

for title, name, query in (
        ("neither stream", "both", ""),
        ("stdout=0", "both", "stdout=0&stderr=false"),
        ("none such", "nobody", "stdout=1"),
        ("none such, neither stream", "nobody", ""),
        ("a since that is none", "both", "stdout=1&since=x"),
        ("an until that is none", "both", "stdout=1&until=x")):
    table(("1.41",), (f"logs: {title}", "GET", f"/containers/{name}/logs?{query}"))


@case("logs: of a created one are empty")
def _(e):
    frames(e, logs(e, "fresh", "stdout=1&stderr=1"))


@case("logs: follow of a created one")
def _(e):
    frames(e, logs(e, "fresh", "stdout=1&stderr=1&follow=1"))


@case("logs: a terminal's are raw", READ)
def _(e):
    answer = logs(e, "tty", "stdout=1&stderr=1")
    e.note("body", answer.body().decode())


@case("logs: timestamps")
def _(e):
    text = e.send("GET", "/containers/both/logs?stdout=1&timestamps=1").body().decode("latin-1")
    e.note("stamps", re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", "<stamp> ", text))


@case("logs: timestamps and details of a terminal")
def _(e):
    text = e.send("GET", "/containers/tty/logs?stdout=1&timestamps=1&details=1").body().decode("latin-1")
    e.note("stamps", re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ", "<stamp> ", text))


@case("logs: long lines and bytes that are no text")
def _(e):
    frames(e, logs(e, "long", "stdout=1&stderr=1"))


@case("logs: the last line of a long one")
def _(e):
    frames(e, logs(e, "long", "stdout=1&stderr=1&tail=2"))


@case("logs: follow ends with the container, and has what came meanwhile")
def _(e):
    made = e.run("sh", "-c", "echo one; sleep 0.5; echo two")
    frames(e, logs(e, made, "stdout=1&stderr=1&follow=1"))


@case("logs: since and until cut by time")
def _(e):
    text = e.send("GET", "/containers/both/logs?stdout=1&stderr=1&timestamps=1").body()
    stamps = [datetime.datetime.fromisoformat(s.decode()[:26] + "+00:00").timestamp()
              for s in re.findall(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) ", text)]
    frames(e, logs(e, "both", f"stdout=1&stderr=1&since={stamps[3] - 0.1:.6f}"))
    frames(e, logs(e, "both", f"stdout=1&stderr=1&until={stamps[2] + 0.1:.6f}"))


@case("logs: over two runs")
def _(e):
    made = e.ran("echo", "again")
    e.start(made)
    e.wait(made)
    frames(e, logs(e, made, "stdout=1"))
