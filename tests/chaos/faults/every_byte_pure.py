"""A recorded conversation of two real sessions, in one process, cut after every byte of it in turn, in eight variants
(session_cuts.c)."""
import json
import subprocess

TITLE = "cut after every byte, sessions alone"


def run(world, tally, rng, short):
    argv = [world.build / "test/session_cuts", str(rng.getrandbits(31)), "7" if short else "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=600)
    counts = json.loads(done.stdout)
    tally.fact("bytes of the conversation", counts.pop("whole"))
    tally.add(**counts)
    tally.notes += done.stderr.splitlines()
