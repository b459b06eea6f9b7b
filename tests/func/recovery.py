"""Cases of 70-recovery.sh: an exec that runs across the death of the gateway."""
import engine


def begin(container):
    """Not a case: starts an exec that takes a while, hangs up, prints its id."""
    eid = engine.exec_create(container, "sh", "-c", "sleep 6; echo through >/tmp/through; exit 7")
    stream = engine.exec_start(eid)
    engine.until(lambda: engine.call("GET", f"/exec/{eid}/json")["Running"], 5, "Running")
    stream.close()
    print(eid)


def end(eid):
    engine.until(lambda: not engine.call("GET", f"/exec/{eid}/json")["Running"], 20, "the end")
    state = engine.call("GET", f"/exec/{eid}/json")
    assert state["ExitCode"] == 7, state
    out, _ = engine.exec_start(engine.exec_create(state["ContainerID"], "cat", "/tmp/through")).output()
    assert out == b"through\n", out


if __name__ == "__main__":
    engine.main(globals())
