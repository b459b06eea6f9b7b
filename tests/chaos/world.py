"""world - the programs that the faults are done to, all on this machine: an emulated Cloud Run and a registry
(from a gateway in --local mode that does nothing else), the gateway under test, the proxy before its callback
port, and containers. Everything lives under one folder and is gone at the end."""
import json
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import engine
from proxy import Proxy

MIB = 1 << 20
DATA_MIB = 64
PROJECT = pathlib.Path(__file__).resolve().parents[2]
BUCKET = "sockerless-chaos"
PROCESSES = 6
here = None  # the world, in processes that were made from ours


def free_port(host):
    with socket.create_server((host, 0)) as sock:
        return sock.getsockname()[1]


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)
    return value


def in_process(job):
    return job[0](here, *job[1])


class World:
    def __init__(self, build, images, seed):
        self.build, self.images = pathlib.Path(build), pathlib.Path(images)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sockerless-chaos."))
        self.seed = seed
        self.cloud = self.gateway = self.proxy = self.pool = self.volume = None
        self.program = self.build / "bin/sockerless-gateway"
        self.agent_image = "agent:latest"
        self.state = "state"
        self.callback_flags = []
        engine.SOCKET = str(self.dir / "docker.sock")

    def begin(self):
        self.cloud = self.spawn([self.build / "bin/sockerless-gateway", "--local", "--addr", self.dir / "cloud.sock",
                                 "--state-dir", self.dir / "cloud"], "cloud.log")
        state = self.dir / "cloud/local.json"
        wait_for(lambda: state.exists() and self.answers(self.dir / "cloud.sock"), 60, "the emulated Cloud Run")
        self.local = json.loads(state.read_text())
        subprocess.run([PROJECT / "tests/images/push.sh", self.local["registry"], self.images, "busybox"], check=True)
        host = self.local["host_address"]
        self.port = free_port("127.0.0.1")
        self.proxy = Proxy((host, 0), ("127.0.0.1", self.port), str(self.dir / "proxy.sock"), self.seed)
        self.callback_url = f"http://{host}:{self.proxy.port}"
        self.random = random.Random(self.seed).randbytes(DATA_MIB * MIB)
        self.start()
        engine.Stream("POST", "/images/create?fromImage=busybox&tag=latest").body()
        self.make_data()
        globals()["here"] = self
        self.pool = multiprocessing.get_context("fork").Pool(PROCESSES)

    def spread(self, work, jobs):
        """work(world, *job) for each in processes of its own; what they return, as it comes."""
        return self.pool.imap_unordered(in_process, [(work, job) for job in jobs])

    # ---- programs

    def spawn(self, argv, log, **env):
        with open(self.dir / log, "ab") as out:
            return subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    env={**os.environ, "SOCKERLESS_CHAOS_MARK": str(self.dir), **env})

    @staticmethod
    def answers(path):
        return subprocess.run(["curl", "-sf", "-m", "2", "-o", "/dev/null", "--unix-socket", str(path),
                               "http://docker/_ping"], check=False).returncode == 0

    def start(self):
        """The gateway; a second time, on the same state."""
        registry = self.local["registry"]
        self.gateway = self.spawn(
            [self.program, "--addr", engine.SOCKET, "--state-dir", self.dir / self.state,
             "--callback-addr", f"127.0.0.1:{self.port}", *self.callback_flags], "gateway.log",
            SOCKERLESS_GCR_PROJECT="sockerless-local", SOCKERLESS_ENDPOINT_URL=self.local["emulator"],
            SOCKERLESS_GCR_AGENT_IMAGE=f"{registry}/sockerless/{self.agent_image}",
            SOCKERLESS_HUB_MIRROR=registry, SOCKERLESS_CALLBACK_URL=self.callback_url,
            SOCKERLESS_GCR_VOLUME_BUCKET=BUCKET, SOCKERLESS_GCR_EXIT_STAY="0s")
        wait_for(lambda: self.gateway.poll() is not None or self.answers(engine.SOCKET), 60, "the gateway")
        if self.gateway.poll() is not None:
            raise RuntimeError(f"the gateway ended: {self.tail('gateway.log')}")

    def kill(self):
        self.gateway.kill()
        self.gateway.wait()

    def halt(self):
        """As told by its service manager."""
        self.gateway.terminate()
        try:
            self.gateway.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def signal(self, sig):
        self.gateway.send_signal(sig)

    def tail(self, log, lines=20):
        return "\n".join((self.dir / log).read_text(errors="replace").split("\n")[-lines:])

    # ---- containers

    def make_data(self):
        """A volume that all containers have at /data: 64 MiB of random bytes, and a file for each run that counts
        how often it was executed. The emulator's buckets are folders, so we see it from outside."""
        box = self.container("sh", "-c", "mkdir /data/ran; exec sleep 1000000")
        self.volume = wait_for(lambda: next(iter(self.dir.glob(f"**/{BUCKET}/**/ran")), None), 20, "the volume").parent
        (self.volume / "random").write_bytes(self.random)
        self.remove(box)

    def container(self, *argv, wait=True, **host):
        """The ID of a new container; started, its agent there, if we shall wait for that."""
        body = {"Image": "busybox", "Cmd": list(argv) or ["sleep", "1000000"],
                "HostConfig": {"Binds": ["chaos:/data"], **host}}
        box = engine.call("POST", "/containers/create", body, 201)["Id"]
        if wait:
            engine.start(box)
        return box

    @staticmethod
    def remove(box):
        engine.call("DELETE", f"/containers/{box}?force=1", want=[204, 404, 409])

    @staticmethod
    def agent_pid(box):
        """Of the agent that runs the container's command, as this machine sees it."""
        for proc in pathlib.Path("/proc").iterdir():
            try:
                if proc.name.isdigit() and f"SOCKERLESS_CONTAINER_ID={box}".encode() in (proc / "environ").read_bytes():
                    return int(proc.name)
            except OSError:
                continue
        return None

    def executed(self, tag):
        """How often the run with this name was executed."""
        try:
            return len((self.volume / "ran" / tag).read_bytes().splitlines())
        except FileNotFoundError:
            return 0

    # ---- the end

    def complaints(self):
        """What the programs' logs say that they never should."""
        bad = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion|Z error ")
        return [f"{log.name}: {line[:300]}" for log in self.dir.glob("*.log")
                for line in log.read_text(errors="replace").split("\n") if bad.search(line)]

    def left_behind(self):
        for proc in pathlib.Path("/proc").iterdir():
            try:
                if proc.name.isdigit() and int(proc.name) != os.getpid() and \
                        f"SOCKERLESS_CHAOS_MARK={self.dir}".encode() in (proc / "environ").read_bytes().split(b"\0"):
                    yield int(proc.name)
            except OSError:
                continue

    def stop(self, keep=False):
        for program in (self.gateway, self.cloud):
            if program and program.poll() is None:
                program.send_signal(signal.SIGCONT)
                program.terminate()
        for program in (self.gateway, self.cloud):
            try:
                if program:
                    program.wait(30)
            except subprocess.TimeoutExpired:
                program.kill()
        if self.pool:
            self.pool.terminate()
        if self.proxy:
            self.proxy.stop()
        for pid in self.left_behind():
            os.kill(pid, signal.SIGKILL)
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
