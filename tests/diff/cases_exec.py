"""exec: create, start (hijacked, with and without Upgrade, detached), resize, inspect."""
from session import case, setup, table

SLEEP = ("sleep", "1000")
READ = ("1.24", "1.40", "1.41")


@setup
def containers(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.create(*SLEEP, name="fresh")
    e.ran("true", name="gone")
    e.run(*SLEEP, name="live", Env=["FROM=container"], Labels={"a": "b"})


table(("1.41",),
      ("exec create", "POST", "/containers/live/exec", {"Cmd": ["true"]}),
      ("exec create: none such", "POST", "/containers/nobody/exec", {"Cmd": ["true"]}),
      ("exec create: created container", "POST", "/containers/fresh/exec", {"Cmd": ["true"]}),
      ("exec create: exited container", "POST", "/containers/gone/exec", {"Cmd": ["true"]}),
      ("exec create: no command", "POST", "/containers/live/exec", {"Cmd": []}),
      ("exec create: no Cmd at all", "POST", "/containers/live/exec", {"AttachStdout": True}),
      ("exec create: an empty body", "POST", "/containers/live/exec", b""),
      ("exec create: not JSON", "POST", "/containers/live/exec", b"{"),
      ("exec create: Cmd as a string", "POST", "/containers/live/exec", {"Cmd": "true"}),
      ("exec create: bad detach keys", "POST", "/containers/live/exec", {"Cmd": ["true"], "DetachKeys": "ctrl-nonsense"}),
      ("exec create: an unknown user is told at start", "POST", "/containers/live/exec",
       {"Cmd": ["true"], "User": "nobody-knows"}),
      ("exec start: none such", "POST", "/exec/nothing/start", {}),
      ("exec start: no body", "POST", "/exec/nothing/start"),
      ("exec inspect: none such", "GET", "/exec/nothing/json"),
      ("exec resize: none such", "POST", "/exec/nothing/resize?h=1&w=1"),
      ("exec resize: h that is no number", "POST", "/exec/nothing/resize?h=x&w=1"))


def done(e, exec_id):
    e.until(lambda: not e.quiet("GET", f"/exec/{exec_id}/json").json()["Running"])


@case("exec: both outputs, framed", READ)
def _(e):
    made = e.exec("live", "sh", "-c", "echo out; sleep 0.3; echo err >&2; sleep 0.3; echo out")
    e.note_frames(e.hijack(f"/exec/{made}/start", {"Detach": False, "Tty": False}))
    e.get(f"/exec/{made}/json")


@case("exec: without Upgrade it is 200 and the same stream", READ)
def _(e):
    made = e.exec("live", "echo", "hi")
    e.note_frames(e.hijack(f"/exec/{made}/start", {"Detach": False}, upgrade=False))


@case("exec: a terminal is raw", READ)
def _(e):
    made = e.exec("live", "sh", "-c", "echo out; echo err >&2", Tty=True)
    e.note_raw(e.hijack(f"/exec/{made}/start", {"Tty": True}))


@case("exec: only standard output")
def _(e):
    made = e.exec("live", "sh", "-c", "echo out; echo err >&2", AttachStderr=False)
    e.note_frames(e.hijack(f"/exec/{made}/start", {}))


@case("exec: only standard error")
def _(e):
    made = e.exec("live", "sh", "-c", "echo out; echo err >&2", AttachStdout=False)
    e.note_frames(e.hijack(f"/exec/{made}/start", {}))


@case("exec: no stream at all")
def _(e):
    made = e.exec("live", "sh", "-c", "echo out", AttachStdout=False, AttachStderr=False)
    e.note_frames(e.hijack(f"/exec/{made}/start", {}))
    done(e, made)
    e.get(f"/exec/{made}/json")


@case("exec: stdin and its end")
def _(e):
    made = e.exec("live", "wc", "-c", AttachStdin=True)
    stream = e.hijack(f"/exec/{made}/start", {})
    stream.send(b"hello world\n")
    stream.close_write()
    e.note_frames(stream)


@case("exec: a client that half-closes at once still gets everything")
def _(e):
    made = e.exec("live", "sh", "-c", "sleep 0.3; echo late")
    stream = e.hijack(f"/exec/{made}/start", {})
    stream.close_write()
    e.note_frames(stream)


@case("exec: the code is there when the stream has ended")
def _(e):
    for code in (0, 1, 42, 255):
        made = e.exec("live", "sh", "-c", f"exit {code}")
        e.note_frames(e.hijack(f"/exec/{made}/start", {}))
        e.note("code", e.quiet("GET", f"/exec/{made}/json").json()["ExitCode"])


@case("exec: detached")
def _(e):
    made = e.exec("live", "sh", "-c", "exit 5")
    e.post(f"/exec/{made}/start", {"Detach": True})
    done(e, made)
    e.get(f"/exec/{made}/json")


@case("exec inspect: before it is started")
def _(e):
    made = e.exec("live", "echo", "a b", "c", AttachStdin=True, Tty=True, User="1000", DetachKeys="ctrl-a")
    e.get(f"/exec/{made}/json")


@case("exec inspect: while it runs")
def _(e):
    made = e.exec("live", "sleep", "5")
    stream = e.hijack(f"/exec/{made}/start", {})
    e.until(lambda: e.quiet("GET", f"/exec/{made}/json").json()["Running"])
    e.get(f"/exec/{made}/json")
    e.note("ids", e.quiet("GET", "/containers/live/json").json()["ExecIDs"] == [made])
    stream.close()


@case("exec: started twice")
def _(e):
    made = e.exec("live", "true")
    e.note_frames(e.hijack(f"/exec/{made}/start", {}))
    e.post(f"/exec/{made}/start", {})
    running = e.exec("live", "sleep", "5")
    stream = e.hijack(f"/exec/{running}/start", {})
    e.until(lambda: e.quiet("GET", f"/exec/{running}/json").json()["Running"])
    e.post(f"/exec/{running}/start", {})
    stream.close()


@case("exec: environment, user, working directory")
def _(e):
    script = 'echo "$FROM $OWN"; id -u; id -g; pwd'
    made = e.exec("live", "sh", "-c", script, Env=["OWN=exec", "FROM=exec"], User="1000:2000", WorkingDir="/tmp")
    e.note_frames(e.hijack(f"/exec/{made}/start", {}))


@case("exec: a user by name")
def _(e):
    made = e.exec("live", "sh", "-c", "id -un; id -gn; echo $HOME", User="app")
    e.note_frames(e.hijack(f"/exec/{made}/start", {}))


for title, argv in (("a program that is not there", ["no-such-program"]), ("a file that may not be executed",
                    ["/etc/not-executable"]), ("a directory", ["/etc"])):
    @case(f"exec: {title}")
    def _(e, argv=argv):
        made = e.exec("live", *argv)
        e.note_raw(e.hijack(f"/exec/{made}/start", {}))
        e.get(f"/exec/{made}/json")

    @case(f"exec: {title}, detached")
    def _(e, argv=argv):
        made = e.exec("live", *argv)
        e.post(f"/exec/{made}/start", {"Detach": True})
        done(e, made)
        e.get(f"/exec/{made}/json")


@case("exec: an unknown user")
def _(e):
    made = e.exec("live", "true", User="nobody-knows")
    e.note_raw(e.hijack(f"/exec/{made}/start", {}))
    e.get(f"/exec/{made}/json")


@case("exec: a working directory that is not there")
def _(e):
    made = e.exec("live", "pwd", WorkingDir="/no/such")
    e.note_raw(e.hijack(f"/exec/{made}/start", {}))


@case("exec: the container has ended meanwhile")
def _(e):
    other = e.run(*SLEEP)
    made = e.exec(other, "true")
    e.quiet("POST", f"/containers/{other}/kill")
    e.wait(other)
    e.post(f"/exec/{made}/start", {})
    e.get(f"/exec/{made}/json")


@case("exec: gone with its container")
def _(e):
    other = e.run(*SLEEP)
    made = e.exec(other, "true")
    e.quiet("DELETE", f"/containers/{other}?force=1")
    e.get(f"/exec/{made}/json")


@case("exec resize: a running terminal")
def _(e):
    made = e.exec("live", "sh", "-c", "while [ \"$(stty size 2>/dev/null)\" != '33 77' ]; do sleep 0.05; done; echo done", Tty=True)
    stream = e.hijack(f"/exec/{made}/start", {"Tty": True})
    e.until(lambda: e.quiet("GET", f"/exec/{made}/json").json()["Running"])
    e.post(f"/exec/{made}/resize?h=33&w=77")
    e.note_raw(stream)


@case("exec resize: ended")
def _(e):
    made = e.exec("live", "true", Tty=True)
    e.note_raw(e.hijack(f"/exec/{made}/start", {"Tty": True}))
    e.post(f"/exec/{made}/resize?h=33&w=77")


@case("exec: start with a chunked body leaks none of it into stdin")
def _(e):
    made = e.exec("live", "cat", AttachStdin=True)
    answer = e.send("POST", f"/exec/{made}/start", b'{"Detach":false,"Tty":false}', chunked=True,
                    headers={"Connection": "Upgrade", "Upgrade": "tcp", "Content-Type": "application/json"})
    e.note("status", answer.status)
    answer.send(b"typed\n")
    answer.close_write()
    e.note_frames(answer)


@case("exec: the wrong content type")
def _(e):
    e.post("/containers/live/exec", b'{"Cmd":["true"]}', headers={"Content-Type": "text/plain"})
