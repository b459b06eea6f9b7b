"""execs - one docker exec over the Engine API of a given engine, with its input, output and exit code."""
import json
import socket
import struct
import threading

TIMEOUT = 90


def read_exactly(file, n):
    data = file.read(n)
    assert len(data) == n, f"the stream ends after {len(data)} of {n} bytes"
    return data


def begin(engine, container, argv, stdin=False, timeout=TIMEOUT):
    """(exec id, the hijacked socket, a file to read frames from)"""
    body = {"AttachStdin": stdin, "AttachStdout": True, "AttachStderr": True, "Cmd": argv}
    eid = engine.ask("POST", f"/v1.41/containers/{container}/exec", body, timeout=timeout)["Id"]
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(timeout)
    s.connect(str(engine.socket))
    start = json.dumps({"Detach": False, "Tty": False}).encode()
    s.sendall(b"POST /v1.41/exec/%s/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
              b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (eid.encode(), len(start), start))
    file = s.makefile("rb")
    status = file.readline()
    assert b" 101 " in status, status
    while file.readline().strip():
        pass
    return eid, s, file


def run_exec(engine, container, argv, stdin=None, timeout=TIMEOUT):
    """(all it said, exit code)"""
    eid, s, file = begin(engine, container, argv, stdin is not None, timeout)
    writer = None
    try:
        if stdin is not None:
            def write():
                s.sendall(stdin)
                s.shutdown(socket.SHUT_WR)

            writer = threading.Thread(target=write, daemon=True)
            writer.start()
        said = bytearray()
        while head := file.read(8):
            assert len(head) == 8 and head[0] in (1, 2) and head[1:4] == b"\0\0\0", head
            said += read_exactly(file, struct.unpack(">L", head[4:])[0])
        if writer:
            writer.join(timeout)
    finally:
        file.close()
        s.close()
    return bytes(said), engine.ask("GET", f"/v1.41/exec/{eid}/json", timeout=timeout)["ExitCode"]
