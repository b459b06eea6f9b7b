"""Cases of 57-predecessor.sh that need more than a docker client in a shell."""
import os
import sys
import time

import engine
import predecessor
from terminal import Terminal

MIB = 1 << 20


def terminal(box):
    t = Terminal("exec", "-it", box, "sh", rows=40, cols=100)
    t.type("stty size\n")
    t.expect("40 100")
    print("40 100")
    t.resize(50, 120)
    time.sleep(0.3)
    t.type("stty size\n")
    t.expect("50 120")
    print("50 120")
    t.type("exit 5\n")
    print("code", t.status())


def slow(box, mib):
    """The agent sends as fast as it can and has no windows: the gateway stops reading, and nothing is dropped."""
    s = engine.exec_start(engine.exec_create(box, "@bulk", mib))
    got, begun = 0, time.monotonic()
    for kind, payload in s.frames():
        assert kind == 1 and not payload.strip(b"z")
        got += len(payload)
        time.sleep(max(0, begun + got / (16 * MIB) - time.monotonic()))
    assert got == int(mib) * MIB, f"{got} bytes"


def refused(url, token=None):
    try:
        predecessor.dial(url, token).cut()
    except predecessor.Refused as e:
        return e.status, e.body
    return 101, ""


def doors(cid, base):
    for path, key in (("internal/v1/agent/connect", "id"), ("v1/cloudrun/reverse", "session_id")):
        url = f"{base}/{path}?{key}="
        assert refused(f"{base}/{path}")[0] == 400
        assert refused(url + "f" * 64, "x")[0] == 404
        status, body = refused(url + cid, "x")
        assert status == 401 and '"unauthorized"' in body, (status, body)
        assert refused(url + cid + "&token=x")[0] == 401
        assert refused(url + cid)[0] == 401


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
