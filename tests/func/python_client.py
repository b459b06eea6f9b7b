"""Cases of 84-python.sh: Docker's Python SDK (python3-docker), over its whole surface."""
import io
import os
import tarfile
import threading
import time

import docker
import docker.errors

import engine

client = docker.from_env(timeout=60)


def run():
    assert client.containers.run("busybox", ["echo", "hi"], remove=True) == b"hi\n"
    try:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    except docker.errors.ContainerError as e:
        assert e.exit_status == 3 and b"no" in e.stderr, e
    else:
        raise AssertionError("no error")


def exec_run():
    box = client.containers.run("busybox", ["sleep", "1000"], detach=True)
    assert box.exec_run(["echo", "hi"]) == (0, b"hi\n")
    code, output = box.exec_run(["sh", "-c", "echo out; echo err >&2; exit 4"], demux=True)
    assert (code, output) == (4, (b"out\n", b"err\n")), (code, output)
    assert box.exec_run("id -u", user="1000").output == b"1000\n"
    assert box.exec_run("pwd", workdir="/tmp").output == b"/tmp\n"
    assert box.exec_run("sh -c 'echo $A'", environment={"A": "b"}).output == b"b\n"
    stream = box.exec_run(["seq", "3"], stream=True)
    assert b"".join(stream.output) == b"1\n2\n3\n"
    sock = box.exec_run(["cat"], socket=True, stdin=True).output._sock
    sock.sendall(b"by socket\n")
    sock.shutdown(1)
    got = b""
    while chunk := sock.recv(4096):
        got += chunk
    assert got == b"\x01\0\0\0\0\0\0\x0aby socket\n", got
    box.remove(force=True)


def logs():
    box = client.containers.run("busybox", ["sh", "-c", "for i in 1 2 3; do echo l$i; sleep 0.3; done"],
                                detach=True)
    assert b"".join(box.logs(stream=True, follow=True)) == b"l1\nl2\nl3\n"
    assert box.logs() == b"l1\nl2\nl3\n"
    assert box.logs(tail=1) == b"l3\n"
    assert box.logs(stderr=True, stdout=False) == b""
    assert box.wait()["StatusCode"] == 0
    box.remove()


def attach_socket():
    box = client.containers.create("busybox", ["sh", "-c", "cat; echo end"], stdin_open=True)
    sock = box.attach_socket(params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})._sock
    box.start()
    sock.sendall(b"hello\n")
    sock.shutdown(1)
    got = b""
    while chunk := sock.recv(4096):
        got += chunk
    payload = b""
    while got:
        n = int.from_bytes(got[4:8], "big")
        payload += got[8:8 + n]
        got = got[8 + n:]
    assert payload == b"hello\nend\n", payload
    box.remove(force=True)


def lifecycle():
    box = client.containers.run("busybox", ["sleep", "1000"], detach=True, name="sdk", labels={"by": "sdk"})
    assert [c.name for c in client.containers.list(filters={"label": "by=sdk"})] == ["sdk"]
    assert client.containers.get("sdk").status == "running"
    box.kill(signal="SIGKILL")
    assert box.wait()["StatusCode"] == 137
    box.start()
    box.stop(timeout=1)
    box.reload()
    assert box.status == "exited"
    box.remove()
    try:
        client.containers.get("sdk")
    except docker.errors.NotFound:
        pass
    else:
        raise AssertionError("still there")
    assert client.ping()
    assert "busybox:latest" in [tag for image in client.images.list() for tag in image.tags]


def refused(kind, call, *args, **named):
    """The error, of that kind."""
    try:
        call(*args, **named)
    except kind as e:
        return e
    raise AssertionError("no error")


def sleeper(name, **options):
    return client.containers.run("busybox", ["sleep", "1000"], detach=True, name=name, **options)


def archive(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def run_options():
    box = client.containers.run(
        "busybox", ["-c", "echo $A; pwd; id -u; echo $HOSTNAME; cat"], entrypoint="sh", detach=True, stdin_open=True,
        environment={"A": "b c"}, working_dir="/srv/data", user="1000", hostname="here", name="full", labels=["l"],
        stop_signal="SIGUSR1", mem_limit="600m", nano_cpus=10**9, auto_remove=False, tty=False, init=True,
        restart_policy={"Name": "on-failure", "MaximumRetryCount": 1}, ports={"80/tcp": None},
        tmpfs={"/scratch": "size=1m"})
    box.reload()
    assert box.attrs["Config"]["StopSignal"] == "SIGUSR1" and box.attrs["HostConfig"]["Memory"] == 600 << 20
    assert box.attrs["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 1}
    engine.until(lambda: box.logs().count(b"\n") == 4, what="the output")
    assert box.logs() == b"b c\n/srv/data\n1000\nhere\n", box.logs()
    assert box.exec_run("df /scratch").exit_code == 0
    box.remove(force=True)
    assert client.containers.run("busybox", "echo a b", remove=True) == b"a b\n"
    assert client.containers.run("busybox", ["sh", "-c", "echo o; echo e >&2"], remove=True, stdout=False,
                                 stderr=True) == b"e\n"
    assert list(client.containers.run("busybox", ["seq", "3"], remove=False, stream=True, name="st")) == \
        [b"1\n", b"2\n", b"3\n"]
    client.containers.get("st").remove()


def errors():
    assert "No such container: nobody" in str(refused(docker.errors.NotFound, client.containers.get, "nobody"))
    refused(docker.errors.ImageNotFound, client.containers.create, "no/such/image")
    sleeper("taken")
    e = refused(docker.errors.APIError, client.containers.create, "busybox", name="taken")
    assert e.status_code == 409 and e.is_client_error() and "is already in use" in e.explanation, e
    e = refused(docker.errors.APIError, client.containers.get("taken").remove)
    assert e.status_code == 409, e
    e = refused(docker.errors.APIError, client.containers.get("taken").exec_run, "no-such-program", detach=True) \
        if os.environ["ENGINE"] == "gateway" else None
    client.containers.get("taken").remove(force=True)
    e = refused(docker.errors.APIError, client.containers.run, "busybox", "no-such-program", name="bad")
    assert "no-such-program" in e.explanation, e
    client.containers.get("bad").remove()


def lists():
    a, b = sleeper("la", labels={"k": "1"}), sleeper("lb", labels={"k": "2"})
    b.stop(timeout=1)
    names = lambda **q: sorted(c.name for c in client.containers.list(**q))
    assert names() == ["la"], names()
    assert names(all=True) == ["la", "lb"]
    assert names(all=True, filters={"status": "exited"}) == ["lb"]
    assert names(all=True, filters={"label": ["k=1"]}) == ["la"]
    assert names(all=True, limit=1) == ["lb"]
    assert names(filters={"since": "la"}, all=True) == ["lb"]
    assert names(filters={"before": "lb"}, all=True) == ["la"]
    assert [c.short_id for c in client.containers.list(sparse=True)] == [a.short_id]
    assert client.containers.get(a.short_id).id == a.id
    pruned = client.containers.prune(filters={"label": "k=2"})
    assert pruned["ContainersDeleted"] == [b.id] and "SpaceReclaimed" in pruned, pruned
    a.remove(force=True)


def archives():
    box = sleeper("ar")
    data = os.urandom(3 << 20)
    assert box.put_archive("/tmp", archive(one=data, two=b"2"))
    bits, stat = box.get_archive("/tmp/one")
    assert stat["name"] == "one" and stat["size"] == len(data), stat
    with tarfile.open(fileobj=io.BytesIO(b"".join(bits))) as tar:
        assert tar.extractfile("one").read() == data
    bits, stat = box.get_archive("/tmp", chunk_size=1000, encode_stream=True)
    with tarfile.open(fileobj=io.BytesIO(b"".join(bits))) as tar:
        assert {"tmp/one", "tmp/two"} <= set(tar.getnames())
    refused(docker.errors.NotFound, box.get_archive, "/nowhere")
    refused(docker.errors.NotFound, box.put_archive, "/nowhere", archive(a=b""))
    assert {"Path": "/tmp/two", "Kind": 1} in box.diff(), box.diff()
    with tarfile.open(fileobj=io.BytesIO(b"".join(box.export()))) as tar:
        assert tar.extractfile("tmp/one").read() == data
    box.remove(force=True)


def processes():
    box = sleeper("pr")
    top = box.top()
    assert [row[-1] for row in top["Processes"]] == ["sleep 1000"], top
    assert box.top(ps_args="-o pid,comm")["Titles"] == ["PID", "COMMAND"]
    once = box.stats(stream=False)
    assert once["pids_stats"]["current"] >= 1 and once["id"] == box.id, once
    stream = box.stats(decode=True)
    first, second = next(stream), next(stream)
    assert first["read"] < second["read"]
    stream.close()
    box.pause()
    box.reload()
    assert box.status == "paused"
    box.unpause()
    box.reload()
    assert box.status == "running"
    box.rename("other")
    assert client.containers.get("other").id == box.id
    box.update(restart_policy={"Name": "always"})
    box.reload()
    assert box.attrs["HostConfig"]["RestartPolicy"]["Name"] == "always"
    box.update(restart_policy={"Name": "no"})
    box.restart(timeout=1)
    box.reload()
    assert box.status == "running"
    box.remove(force=True)


def log_forms():
    box = client.containers.run("busybox", ["sh", "-c", "echo one; sleep 2.2; echo two; echo err >&2"], detach=True)
    assert box.wait() == {"StatusCode": 0, "Error": None} or box.wait() == {"StatusCode": 0}
    assert box.logs(stderr=False) == b"one\ntwo\n" and box.logs(stdout=False) == b"err\n"
    stamped = box.logs(timestamps=True, stderr=False).decode().split("\n")
    assert stamped[0].endswith("Z one") and stamped[1].endswith("Z two"), stamped
    began = client.api.inspect_container(box.id)["State"]["StartedAt"]
    middle = int(time.mktime(time.strptime(began[:19], "%Y-%m-%dT%H:%M:%S"))) - time.timezone + 2
    assert box.logs(since=middle, stderr=False) == b"two\n"
    assert box.logs(until=middle, stderr=False) == b"one\n"
    assert box.logs(tail=0) == b"" and box.logs(tail="all", stderr=False) == b"one\ntwo\n"
    assert b"".join(box.logs(stream=True, follow=False, stderr=False)) == b"one\ntwo\n"
    box.remove()
    box = client.containers.run("busybox", ["sh", "-c", "echo tty"], detach=True, tty=True)
    box.wait()
    assert box.logs() == b"tty\r\n"
    box.remove()


def waits():
    box = client.containers.create("busybox", ["sh", "-c", "read x; exit 4"], stdin_open=True)
    got = {}

    def wait(condition):
        got[condition] = client.api.wait(box.id, timeout=50, condition=condition)["StatusCode"]

    threads = [threading.Thread(target=wait, args=(c,), daemon=True) for c in ("next-exit", "removed")]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    box.start()
    sock = box.attach_socket(params={"stdin": 1, "stream": 1})
    sock._sock.sendall(b"go\n")
    threads[0].join(20)
    assert got == {"next-exit": 4}, got
    assert box.wait(condition="not-running")["StatusCode"] == 4
    box.remove()
    threads[1].join(20)
    assert got["removed"] == 4
    if os.environ["ENGINE"] == "gateway":  # 20.10 waits for the end
        box = sleeper("ws")
        e = refused(docker.errors.APIError, client.api.wait, box.id, condition="bogus")
        assert e.status_code == 400 and "invalid condition" in e.explanation, e
        box.remove(force=True)


def attaches():
    box = client.containers.create("busybox", ["sh", "-c", "sleep 0.5; echo out; echo err >&2"])
    stream = box.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True)
    box.start()
    assert sorted(stream, key=str) == sorted([(b"out\n", None), (None, b"err\n")], key=str)
    assert box.attach(stdout=True, stderr=False, stream=False, logs=True) == b"out\n"
    box.remove()


def execs():
    box = sleeper("ex")
    out = box.exec_run(["sh", "-c", "echo o; sleep 0.2; echo e >&2"], stream=True, demux=True)
    assert list(out.output) == [(b"o\n", None), (None, b"e\n")]
    assert box.exec_run("tty", tty=True).output.startswith(b"/dev/pts/")
    box.exec_run("touch /tmp/detached", detach=True)
    engine.until(lambda: box.exec_run("ls /tmp/detached").exit_code == 0)
    assert box.exec_run(["sh", "-c", "exit 9"]).exit_code == 9
    sock = box.exec_run("sh", socket=True, stdin=True, tty=True).output._sock
    sock.sendall(b"echo a$((1+1))b; exit\n")
    got = b""
    while chunk := sock.recv(4096):
        got += chunk
    assert b"a2b\r\n" in got, got
    made = client.api.exec_create(box.id, ["sleep", "5"], environment=["X=y"], workdir="/tmp", user="app")
    client.api.exec_start(made, detach=True)
    info = client.api.exec_inspect(made)
    assert info["Running"] and info["ProcessConfig"]["user"] == "app" and info["ExitCode"] is None, info
    e = refused(docker.errors.APIError, box.exec_run, [])
    assert e.status_code == 400, e
    if os.environ["ENGINE"] == "gateway":
        e = refused(docker.errors.APIError, box.exec_run, "id", privileged=True)
        assert e.status_code == 400 and "privileged exec is not available" in e.explanation, e
    box.remove(force=True)


def images():
    image = client.images.get("busybox")
    assert image.id == client.images.get(image.id).id and image.short_id in image.id
    assert "busybox:latest" in image.tags
    assert image.tag("team/box", "v1")
    image.reload()
    assert "team/box:v1" in image.tags
    assert [i.id for i in client.images.list("team/box")] == [image.id]
    assert client.images.list(filters={"label": "none"}) == []
    assert client.images.list(all=True)
    assert image.history()[0]["Id"] == image.id
    saved = b"".join(image.save(named="team/box:v1"))
    client.images.remove("team/box:v1")
    refused(docker.errors.ImageNotFound, client.images.get, "team/box:v1")
    assert [i.id for i in client.images.load(saved)] == [image.id]
    client.images.remove("team/box:v1", force=True)
    assert "SpaceReclaimed" in client.images.prune()
    assert image.attrs["Config"]["Cmd"] == ["sh"]
    refused(docker.errors.ImageNotFound, client.images.remove, "no/such")
    box = sleeper("cm")
    if os.environ["ENGINE"] == "gateway":
        client.images.pull("busybox", tag="latest")
        assert client.images.pull("busybox:latest").id == image.id
        data = client.images.get_registry_data("busybox")
        assert data.id.startswith("sha256:") and data.has_platform("linux/amd64"), data.attrs
        refused(docker.errors.NotFound, client.images.pull, "no/such", tag="x")
        e = refused(docker.errors.APIError, box.commit, "x")
        assert e.status_code == 501 and "docker export and docker import" in e.explanation, e
        refused(docker.errors.APIError, client.images.search, "x")
        e = refused(docker.errors.APIError, client.images.build, fileobj=io.BytesIO(b"FROM busybox"))
        assert e.status_code == 501 and "Cloud Build" in e.explanation, e
    box.remove(force=True)


def networks():
    net = client.networks.create("pynet", labels={"a": "b"})
    box = sleeper("nw")
    assert [n.id for n in client.networks.list(names=["pynet"])] == [net.id]
    assert client.networks.get("pynet").attrs["Labels"] == {"a": "b"}
    net.connect(box)
    net.reload()
    assert [c.name for c in net.containers] == ["nw"], net.containers
    e = refused(docker.errors.APIError, net.remove)
    assert e.status_code == 403 and "active endpoints" in e.explanation, e
    net.disconnect(box, force=True)
    net.remove()
    refused(docker.errors.NotFound, client.networks.get, "pynet")
    client.networks.create("pyprune")
    assert client.networks.prune()["NetworksDeleted"] == ["pyprune"]
    box.remove(force=True)


def volumes():
    volume = client.volumes.create("pyvol", labels={"a": "b"})
    assert volume.name == volume.id == "pyvol" and volume.attrs["Labels"] == {"a": "b"}
    assert [v.name for v in client.volumes.list(filters={"label": "a=b"})] == ["pyvol"]
    box = client.containers.create("busybox", "true", volumes={"pyvol": {"bind": "/data", "mode": "rw"}})
    e = refused(docker.errors.APIError, client.volumes.get("pyvol").remove)
    assert e.status_code == 409 and "volume is in use" in e.explanation, e
    box.remove()
    volume.remove()
    refused(docker.errors.NotFound, client.volumes.get, "pyvol")
    assert client.volumes.list() == []
    assert "SpaceReclaimed" in client.volumes.prune()


def events():
    since = int(time.time())
    stream = client.events(decode=True, filters={"type": "container", "event": ["start", "die"]})
    seen = []

    def read():
        for event in stream:
            seen.append(event["Action"])

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    time.sleep(0.5)
    client.containers.run("busybox", "true", name="pyev", remove=True)
    engine.until(lambda: seen == ["start", "die"], what=f"start, die; {seen}")
    stream.close()
    past = list(client.events(since=since, until=int(time.time()) + 1, decode=True, filters={"container": "pyev"}))
    assert [e["Action"] for e in past] == ["create", "start", "die", "destroy"], past


def engine_facts():
    assert client.ping()
    assert client.version()["Os"] == "linux" and client.info()["OSType"] == "linux"
    df = client.df()
    assert {"Images", "Containers", "Volumes", "LayersSize"} <= set(df) or "ImageUsage" in df, df  # the latter since 1.52
    e = refused(docker.errors.APIError, client.login, "a", "b", registry="127.0.0.1:1")
    assert e.is_server_error(), e
    assert client.plugins.list() == []
    refused(docker.errors.APIError, client.services.list)
    refused(docker.errors.APIError, client.nodes.list)
    refused(docker.errors.APIError, client.secrets.list)
    low = docker.APIClient(base_url=os.environ["DOCKER_HOST"], version="1.24")
    assert low.version()["Os"] == "linux" and low.containers(all=True) == []
    low.close()


if __name__ == "__main__":
    engine.main(globals())
