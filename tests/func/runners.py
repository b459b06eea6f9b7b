"""Cases of 80-runners.sh: the calls of gitlab-runner's docker executor, of act and of VS Code's dev containers, in
their order."""
import io
import json
import os
import socket
import subprocess
import tarfile
import time

import engine

DOCKER = os.environ.get("DOCKER", "docker")

BUILD = {"Image": "busybox", "Cmd": ["sh"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True,
         "AttachStdout": True, "AttachStderr": True, "Tty": False,
         "Labels": {"com.gitlab.gitlab-runner.type": "build"}}


def stage(container, script, early=False):
    """One stage: (exit code, stdout, stderr)."""
    stream = engine.attach(container, stdin=1)
    if early:
        stream.send(script.encode())
        stream.close_write()
    engine.start(container)
    waiting = engine.Stream("POST", f"/containers/{container}/wait?condition=not-running")
    if not early:
        stream.send(script.encode())
        stream.close_write()
    out, err = stream.output()
    code = json.loads(waiting.body())["StatusCode"]
    assert engine.inspect(container)["State"]["ExitCode"] == code
    return code, out.decode(), err.decode()


def gitlab():
    box = engine.create("runner-build", BUILD)
    for name in ("get_sources", "restore_cache", "step_script", "after_script"):
        got = stage(box, f"echo running {name}\necho on the side >&2\nid -u\n")
        assert got == (0, f"running {name}\n0\n", "on the side\n"), got
    long = "x=1\n" * 200000 + "echo end $x\n"
    assert stage(box, long) == (0, "end 1\n", "")
    engine.remove(box)


def gitlab_fails():
    box = engine.create("runner-fails", BUILD)
    code, out, err = stage(box, "echo before\nexit 13\necho never\n")
    assert (code, out, err) == (13, "before\n", ""), (code, out, err)
    for _ in range(2):
        s = engine.Stream("POST", f"/containers/{box}/stop?t=1")
        assert s.status == 304 and s.body() == b"", s.status
    assert engine.inspect(box)["State"]["ExitCode"] == 13
    assert stage(box, "echo works again\n") == (0, "works again\n", "")
    engine.remove(box)


def gitlab_early():
    box = engine.create("runner-early", BUILD)
    assert stage(box, "echo early\nexit 2\n", early=True) == (2, "early\n", "")
    engine.remove(box)


def attach_first():
    """Whoever is attached before the start gets the first byte."""
    for i in range(5):
        box = engine.create(f"first{i}", {"Image": "busybox", "Cmd": ["sh", "-c", "echo one; echo two >&2"]})
        stream = engine.attach(box)
        engine.start(box)
        assert stream.output() == (b"one\n", b"two\n")
        engine.remove(box)


def attach_two():
    box = engine.create("both", {"Image": "busybox", "Cmd": ["seq", "50000"]})
    streams = [engine.attach(box), engine.attach(box)]
    engine.start(box)
    want = "".join(f"{i}\n" for i in range(1, 50001)).encode()
    for stream in streams:
        assert stream.output() == (want, b"")
    engine.remove(box)


def until_stopped(container, waiting):
    """As the runner does once the script is over: a stop every second until the wait answers."""
    waiting.sock.settimeout(1)
    for _ in range(30):
        s = engine.Stream("POST", f"/containers/{container}/stop?t=1")
        s.body()
        assert s.status in (204, 304), s.status
        try:
            return json.loads(waiting.body())["StatusCode"]
        except TimeoutError:
            pass
    raise AssertionError("the wait never answered")


def gitlab_job():
    """A whole job: volumes and their permissions, a helper and a build container that share them, stage by stage."""
    for name in ("rb-cache", "rb-builds"):
        engine.call("POST", "/volumes/create", {"Name": name, "Labels": {"com.gitlab.gitlab-runner.managed": "true"}})
    binds = ["rb-cache:/cache", "rb-builds:/builds"]
    init = engine.create("rb-init", {"Image": "busybox", "Cmd": ["chmod", "-R", "0777", "/cache", "/builds"],
                                     "HostConfig": {"Binds": binds}})
    engine.start(init)
    assert engine.call("POST", f"/containers/{init}/wait")["StatusCode"] == 0
    engine.call("DELETE", f"/containers/{init}?force=1&v=1", want=204)
    made = {"HostConfig": {"Binds": binds}, "WorkingDir": "/builds"}
    helper = engine.create("rb-helper", {**BUILD, **made, "Entrypoint": ["sh"], "Cmd": []})
    build = engine.create("rb-build", {**BUILD, **made})
    stages = (
        (helper, "get_sources", "mkdir -p /builds/g/p; echo source >/builds/g/p/main; echo fetched", "fetched\n"),
        (helper, "restore_cache", "cat /cache/kept 2>/dev/null || echo no cache", "no cache\n"),
        (build, "step_script", "cd /builds/g/p; cat main; echo made from $(cat main) >out", "source\n"),
        (build, "after_script", "echo after", "after\n"),
        (helper, "archive_cache", "cp /builds/g/p/out /cache/kept; cat /cache/kept", "made from source\n"),
        (helper, "upload_artifacts", "wc -l </builds/g/p/out", "1\n"),
    )
    for container, name, script, want in stages:
        got = stage(container, f"set -e\n{script}\n")
        assert got == (0, want, ""), (name, got)
    for container in (helper, build):
        engine.call("DELETE", f"/containers/{container}?force=1&v=1", want=204)
    for name in ("rb-cache", "rb-builds"):
        engine.call("DELETE", f"/volumes/{name}?force=1", want=204)


def gitlab_cancel():
    """The job is cancelled in the middle of a script: the stream is dropped, stops come, the container goes."""
    box = engine.create("runner-cancel", BUILD)
    stream = engine.attach(box, stdin=1)
    engine.start(box)
    waiting = engine.Stream("POST", f"/containers/{box}/wait?condition=not-running")
    stream.send(b"echo begun\nsleep 1000\necho never\n")
    assert stream.frame() == (1, b"begun\n")
    stream.close()
    assert engine.inspect(box)["State"]["Running"]
    assert until_stopped(box, waiting) in (137, 143)
    assert stage(box, "echo cleaned\n") == (0, "cleaned\n", "")
    engine.remove(box)


def tar(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_DOT_", "."))
            info.size, info.mode = len(text), 0o755
            archive.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()


def put(container, path, data):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(engine.TIMEOUT)
        s.connect(engine.SOCKET)
        s.sendall((f"PUT {engine.API}/containers/{container}/archive?path={path} HTTP/1.1\r\nHost: d\r\n"
                   f"Content-Type: application/x-tar\r\nContent-Length: {len(data)}\r\n\r\n").encode() + data)
        head = s.recv(4096)
    assert head.startswith(b"HTTP/1.1 200 "), head


def act():
    engine.call("POST", "/volumes/create", {"Name": "act-env"})
    box = engine.create("act-job", {
        "Image": "busybox", "Entrypoint": ["tail", "-f", "/dev/null"], "Cmd": None, "WorkingDir": "/work",
        "Env": ["RUNNER_TOOL_CACHE=/opt/hostedtoolcache", "CI=true"],
        "HostConfig": {"Binds": ["act-env:/toolcache"], "AutoRemove": False}})
    put(box, "/", tar(var__run__act__workflow__event_DOT_json='{"ref":"x"}', var__run__act__workflow__envs_DOT_txt=""))
    engine.start(box)
    put(box, "/var/run/act/", tar(workflow__0="echo step0 in $(pwd), $STEP\necho A=1 >>$GITHUB_ENV\n",
                                  workflow__1="cat /var/run/act/workflow/event.json; exit 3\n"))
    env = ["STEP=s", "GITHUB_ENV=/var/run/act/workflow/envs.txt"]
    for i, want in ((0, (b"step0 in /work, s\n", 0)), (1, (b'{"ref":"x"}', 3))):
        made = engine.exec_create(box, "sh", "-e", f"/var/run/act/workflow/{i}", Env=env, WorkingDir="/work")
        out, err = engine.exec_start(made).output()
        assert (out, err, engine.exec_code(made)) == (want[0], b"", want[1]), (out, err, engine.exec_code(made))
    s = engine.Stream("GET", f"/containers/{box}/archive?path=/var/run/act/workflow/envs.txt")
    with tarfile.open(fileobj=io.BytesIO(s.body())) as archive:
        assert archive.extractfile("envs.txt").read() == b"A=1\n"
    # Cancelled: ^C into a stream that nobody reads, and away.
    for tty in (False, True):
        made = engine.exec_create(box, "sh", "-c", "echo go; exec sleep 1000", Tty=tty, AttachStdin=tty)
        stream = engine.exec_start(made, tty)
        stream.file.read(4 if tty else 11)
        stream.send(b"\x03")
        if tty:
            engine.until(lambda: not engine.call("GET", f"/exec/{made}/json")["Running"], what="^C ends it")
        stream.close()
    made = engine.exec_create(box, "echo", "fine")
    assert engine.exec_start(made).output() == (b"fine\n", b"")
    engine.call("DELETE", f"/containers/{box}?force=1&v=1", want=204)
    engine.call("DELETE", "/volumes/act-env?force=1", want=204)


class Shell:
    """The long-lived shell that the dev container extension runs its commands in."""

    def __init__(self, container):
        self.p = subprocess.Popen([DOCKER, "exec", "-i", "-u", "root", "-e", "VSCODE=1", container, "/bin/sh"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, command):
        """(status, stdout, stderr) of one."""
        mark = os.urandom(8).hex()
        self.p.stdin.write(f"echo -n {mark}; ( {command} ); echo -n {mark}$?{mark}; echo -n {mark} >&2\n".encode())
        self.p.stdin.flush()
        out = self.until(self.p.stdout, mark, 3).split(mark)
        return int(out[2]), out[1], self.until(self.p.stderr, mark, 1).split(mark)[0]

    @staticmethod
    def until(stream, mark, times):
        got = ""
        while got.count(mark) < times:
            piece = os.read(stream.fileno(), 65536)
            assert piece, f"the shell ended: {got!r}"
            got += piece.decode()
        return got

    def end(self):
        self.p.stdin.close()
        assert self.p.wait(20) == 0


def client(*argv):
    run = subprocess.run(["timeout", "-k", "5", "60", DOCKER, *argv], capture_output=True, text=True)
    assert run.returncode == 0, run
    return run.stdout.strip()


def devcontainer():
    label = "devcontainer.local_folder=/srv/project"
    events = subprocess.Popen([DOCKER, "events", "--since", f"{time.time():.9f}", "--format", "{{json .}}",
                               "--filter", "event=start"], stdout=subprocess.PIPE)
    assert client("ps", "-q", "-a", "--filter", f"label={label}") == ""
    script = 'echo Container started\ntrap "exit 0" 15\nexec "$@"\nwhile sleep 1 & wait $!; do :; done'
    run = subprocess.Popen([DOCKER, "run", "--sig-proxy=false", "-a", "STDOUT", "-a", "STDERR", "-v",
                            "vsc-ext:/vscode", "-l", label, "-l", "devcontainer.metadata=[{\"id\":\"x\"}]",
                            "--entrypoint", "/bin/sh", "busybox", "-c", script, "-"],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout.readline() == b"Container started\n"
    started = json.loads(events.stdout.readline())
    assert started["Actor"]["Attributes"]["devcontainer.local_folder"] == "/srv/project", started
    box = client("ps", "-q", "-a", "--filter", f"label={label}")
    assert started["id"].startswith(box) and len(box) == 12, box
    info = json.loads(client("inspect", "--type", "container", box))[0]
    assert info["State"]["Status"] == "running" and info["Config"]["Labels"]["devcontainer.metadata"] == '[{"id":"x"}]'
    assert [m["Name"] for m in info["Mounts"]] == ["vsc-ext"] and info["Config"]["Entrypoint"] == ["/bin/sh"]
    image = json.loads(client("inspect", "--type", "image", info["Config"]["Image"]))[0]
    assert image["Id"] == info["Image"]
    shell = Shell(box)
    for i in range(20):
        assert shell.run(f"echo {i}; echo side {i} >&2; exit {i}") == (i, f"{i}\n", f"side {i}\n")
    assert shell.run("echo $VSCODE; id -u") == (0, "1\n0\n", "")
    assert shell.run("seq 20000")[1] == "".join(f"{i}\n" for i in range(1, 20001))
    server = Shell(box)  # its server's, beside the first
    assert server.run("cd /tmp && echo port >server.log && cat server.log") == (0, "port\n", "")
    assert shell.run("cat /tmp/server.log")[1] == "port\n"
    assert client("exec", "-u", "app", "-w", "/tmp", box, "sh", "-c", "echo $(id -u) $(pwd)") == "1000 /tmp"
    shell.end()
    server.end()
    run.kill()  # the window is closed; the container stays
    run.wait(20)
    assert client("inspect", "-f", "{{.State.Status}}", box) == "running"
    client("stop", box)
    assert client("inspect", "-f", "{{.State.ExitCode}}", box) == "0"
    client("start", box)
    assert json.loads(events.stdout.readline())["id"].startswith(box)
    events.kill()
    events.wait(20)
    client("rm", "-fv", box)
    client("volume", "rm", "vsc-ext")


if __name__ == "__main__":
    engine.main(globals())
