"""An agent of an earlier version with this gateway, and an earlier gateway with this agent: cut at random distances,
like any other. The earlier version is built by `make chaos` from this repository's history (earlier.sh)."""
import os
import pathlib
import subprocess

import engine
from world import MIB, PROJECT

from . import random_cuts

TITLE = "old agent, new gateway, and the reverse"


def cut_runs(world, tally, rng, short):
    for _ in range(1 if short else 4):
        tally.merge(random_cuts.job(world, rng.getrandbits(64), 2 * MIB if short else 16 * MIB))


def agent_image(world, name, binary):
    folder = world.dir / f"agent-{name}"
    subprocess.run([PROJECT / "deploy/agent-image.sh", folder, binary], check=True, capture_output=True)
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{folder}:latest",
                    f"docker://{world.local['registry']}/sockerless/agent:{name}"], check=True)


def run(world, tally, rng, short):
    old = pathlib.Path(os.environ.get("EARLIER") or world.build / "chaos/earlier") / "bin"
    if not (old / "sockerless-gateway").exists():
        return "no earlier version is built"
    agent_image(world, "earlier", old / "sockerless-agent")
    now = world.program, world.agent_image, world.state
    try:
        for program, agent, state in ((now[0], "agent:earlier", now[2]), (old / "sockerless-gateway", now[1], "state-earlier")):
            world.halt()
            world.program, world.agent_image, world.state = program, agent, state
            world.start()
            engine.Stream("POST", "/images/create?fromImage=busybox&tag=latest").body()
            cut_runs(world, tally, rng, short)
    finally:
        world.halt()
        world.program, world.agent_image, world.state = now
        world.start()
    return None
