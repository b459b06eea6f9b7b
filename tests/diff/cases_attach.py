"""attach: before start, while running, logs=1, stdin, half-close, several clients, detach keys, bad input."""
from session import case, setup, table

READ = ("1.24", "1.40", "1.41")
ALL = "stream=1&stdin=1&stdout=1&stderr=1"


@setup
def containers(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.run("sh", "-c", "echo begun; exec sleep 1000", name="live")
    e.ran("sh", "-c", "echo out; sleep 0.3; echo err >&2; exit 3", name="gone")


table(("1.41",),
      ("attach: none such", "POST", "/containers/nobody/attach?stream=1&stdout=1"),
      ("attach: bad detach keys", "POST", "/containers/live/attach?stream=1&stdout=1&detachKeys=ctrl-nonsense"),
      ("attach by websocket: none such", "GET", "/containers/nobody/attach/ws?stream=1"),
      ("attach by websocket: no upgrade", "GET", "/containers/live/attach/ws?stream=1&stdout=1"))


@case("attach: before start, nothing is lost", READ)
def _(e):
    made = e.create("sh", "-c", "echo out; sleep 0.3; echo err >&2")
    stream = e.hijack(f"/containers/{made}/attach?stream=1&stdout=1&stderr=1")
    e.start(made)
    e.note_frames(stream)


@case("attach: without Upgrade")
def _(e):
    made = e.create("echo", "hi")
    stream = e.hijack(f"/containers/{made}/attach?stream=1&stdout=1&stderr=1", upgrade=False)
    e.start(made)
    e.note_frames(stream)


@case("attach: a terminal is raw", READ)
def _(e):
    made = e.create("sh", "-c", "echo out; echo err >&2", Tty=True)
    stream = e.hijack(f"/containers/{made}/attach?stream=1&stdout=1&stderr=1")
    e.start(made)
    e.note_raw(stream)


@case("attach: only standard error")
def _(e):
    made = e.create("sh", "-c", "echo out; echo err >&2")
    stream = e.hijack(f"/containers/{made}/attach?stream=1&stderr=1")
    e.start(made)
    e.note_frames(stream)


@case("attach: stdin, and its end")
def _(e):
    made = e.create("cat", OpenStdin=True, StdinOnce=True)
    stream = e.hijack(f"/containers/{made}/attach?{ALL}")
    e.start(made)
    stream.send(b"hello\n")
    stream.close_write()
    e.note_frames(stream)
    e.note("code", e.wait(made))


@case("attach: stdin that the container has not opened is ignored")
def _(e):
    made = e.create("sh", "-c", "sleep 0.2; wc -c")
    stream = e.hijack(f"/containers/{made}/attach?{ALL}")
    e.start(made)
    stream.send(b"hello\n")
    stream.close_write()
    e.note_frames(stream)


@case("attach: two clients get the same")
def _(e):
    made = e.create("sh", "-c", "echo one; sleep 0.1; echo two")
    streams = [e.hijack(f"/containers/{made}/attach?stream=1&stdout=1") for _ in range(2)]
    e.start(made)
    for stream in streams:
        e.note_frames(stream)


@case("attach: logs=1 without stream replays and ends")
def _(e):
    e.note_frames(e.hijack("/containers/gone/attach?logs=1&stdout=1&stderr=1"))


@case("attach: logs=1 and stream=1")
def _(e):
    made = e.create("sh", "-c", "echo one; read x; echo two", OpenStdin=True, StdinOnce=True)
    e.start(made)
    e.until(lambda: b"one" in e.quiet("GET", f"/containers/{made}/logs?stdout=1").body())
    stream = e.hijack(f"/containers/{made}/attach?logs=1&{ALL}")
    stream.send(b"\n")
    stream.close_write()
    e.note_frames(stream)


@case("attach: neither logs nor stream ends at once")
def _(e):
    e.note_frames(e.hijack("/containers/live/attach?stdout=1&stderr=1"))


@case("attach: no stream is named")
def _(e):
    made = e.run("sh", "-c", "sleep 0.3; echo hi")
    e.note_frames(e.hijack(f"/containers/{made}/attach?stream=1"))


@case("attach: detach keys end the stream, not the program")
def _(e):
    made = e.create("cat", OpenStdin=True, Tty=True)
    stream = e.hijack(f"/containers/{made}/attach?{ALL}&detachKeys=ctrl-a,q")
    e.start(made)
    stream.send(b"\x01")
    e.until(lambda: e.inspect(made)["State"]["Running"])
    stream.send(b"q")
    e.note("end", stream.file.read().decode())
    e.note("running", e.inspect(made)["State"]["Running"])


@case("attach: the client leaves, the program stays")
def _(e):
    made = e.run("sh", "-c", "while :; do echo x; sleep 0.05; done")
    stream = e.hijack(f"/containers/{made}/attach?stream=1&stdout=1")
    stream.frame()
    stream.close()
    e.note("running", e.inspect(made)["State"]["Running"])


@case("attach: a JSON body is not typed into the program")
def _(e):
    made = e.create("cat", OpenStdin=True, StdinOnce=True)
    stream = e.hijack(f"/containers/{made}/attach?{ALL}", {"stream": True, "stdin": True})
    e.start(made)
    stream.send(b"typed\n")
    stream.close_write()
    e.note_frames(stream)


@case("attach: a large output arrives whole")
def _(e):
    made = e.create("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' y")
    stream = e.hijack(f"/containers/{made}/attach?stream=1&stdout=1")
    e.start(made)
    total = 0
    while (frame := stream.frame()):
        total += len(frame[1])
    e.note("bytes", total)
