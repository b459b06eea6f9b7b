"""Cases of 80-runners.sh: Docker's Python SDK (python3-docker)."""
import docker

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


if __name__ == "__main__":
    engine.main(globals())
