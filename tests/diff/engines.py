"""engines - dockerd and the gateway side by side, fed by one registry.

The gateway's --local brings the registry; dockerd has it as its mirror of Docker Hub, so both know the
same images by the same names and digests. Everything runs in the namespaces that ./run has made."""
import json
import os
import pathlib
import shutil
import subprocess
import time

import wire

PROJECT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = ("busybox", "static", "nonroot", "configured")


def until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.05)


class Engines:
    def __init__(self, folder):
        build = os.environ.get("BUILD", str(PROJECT / "build"))
        self.folder = folder
        self.build = pathlib.Path(build).resolve()
        self.images = pathlib.Path(os.environ.get("IMAGES", f"{build}/test-images")).resolve()
        self.socket = {"gateway": f"{folder}/gateway.sock", "dockerd": f"{folder}/dockerd.sock"}
        self.processes = {}

    def start(self):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        self._spawn("gateway", [self.build / "bin/sockerless-gateway", "--local", "--addr",
                                f"unix://{self.socket['gateway']}", "--state-dir", f"{self.folder}/state",
                                "--log-level", "debug"])
        registry = json.loads(pathlib.Path(f"{self.folder}/state/local.json").read_text())["registry"]
        self.registry = registry
        subprocess.run([PROJECT / "tests/images/push.sh", registry, self.images, *IMAGES], check=True)
        self._spawn("dockerd", ["dockerd", "--storage-driver=vfs", "--iptables=false", "--ip6tables=false",
                                f"--registry-mirror=http://{registry}", "--data-root", f"{self.folder}/data",
                                "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/dockerd.pid",
                                "--bip=172.30.0.1/24", "-H", f"unix://{self.socket['dockerd']}"])

    def _spawn(self, name, argv):
        (pathlib.Path(self.folder) / "tmp").mkdir(exist_ok=True)
        log = open(f"{self.folder}/{name}.log", "wb")
        self.processes[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={
            **os.environ, "TMPDIR": f"{self.folder}/tmp"})
        until(lambda: self._answers(name), 60, f"{name} never answered:\n" + self.log(name))

    def _answers(self, name):
        if self.processes[name].poll() is not None:
            raise RuntimeError(f"{name} ended at once:\n{self.log(name)}")
        try:
            connection = wire.Connection(self.socket[name], timeout=5)
            good = connection.request("GET", "/_ping").status == 200
            connection.close()
            return good
        except OSError:
            return False

    def log(self, name, lines=40):
        path = pathlib.Path(f"{self.folder}/{name}.log")
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def dead(self):
        return [name for name, p in self.processes.items() if p.poll() is not None]

    def stop(self):
        """The gateway must end by itself; the reference merely has to be gone with the namespace."""
        codes = {}
        for name, process in self.processes.items():
            process.terminate()
            try:
                codes[name] = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = "killed"
        if "KEEP" in os.environ:
            keep = pathlib.Path(os.environ["KEEP"])
            keep.mkdir(parents=True, exist_ok=True)
            for log in pathlib.Path(self.folder).glob("**/*.log"):
                shutil.copy(log, keep)
        return codes
