"""engines - what is measured: a real dockerd, the gateway with agents that call over plain WebSockets, and the
gateway with agents that call over TLS. Each lives in a folder of its own, answers on a unix socket, and is
gone with everything it started when close() returns."""
import http.client
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROJECT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", PROJECT / "build")).resolve()
IMAGES = pathlib.Path(os.environ.get("IMAGES", BUILD / "test-images")).resolve()
DOCKER = os.environ.get("DOCKER", "docker")
READY_S = 60
FILES = 65536  # descriptors: a link each for ten thousand agents, old and new


class Failure(Exception):
    """It did not do what it should; the text says what."""


class NotMeasured(Failure):
    """Not possible on this machine, and nobody's fault."""


def command(*argv, **options):
    """Runs it to its end; its output, or Failure with what it said."""
    limit = options.pop("timeout", 120)
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=limit,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        raise Failure(f"{pathlib.Path(str(argv[0])).name} {' '.join(str(a) for a in argv[1:4])}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout


def until(condition, seconds, what, pause=0.02):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(pause)


def more_files():
    """For the children as well; root may pass the hard limit."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    except (ValueError, OSError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Engine:
    def __init__(self, name, base):
        self.name = name
        self.home = pathlib.Path(base) / name
        self.home.mkdir()
        self.socket = self.home / "docker.sock"
        self.log = self.home / "engine.log"
        self.process = None

    def argv(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def run(self, wait=True):
        """Starts it, or after kill() starts it again on the same state."""
        environment = {**os.environ, "TMPDIR": str(self.home), **self.environment()}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([str(a) for a in self.argv()], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, start_new_session=True)
        if wait:
            until(self.answers, READY_S, f"{self.name} answers")

    def answers(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended: {self.log.read_text(errors='replace')[-400:]}")
        try:
            return self.call("GET", "/_ping", timeout=2)[0] == 200
        except OSError:
            return False

    def call(self, method, path, body=None, timeout=60):
        """(status, decoded answer)"""
        connection = UnixConnection(self.socket, timeout)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(data) if data[:1] in (b"{", b"[") else data.decode(errors="replace")

    def ask(self, method, path, body=None, timeout=60):
        status, answer = self.call(method, path, body, timeout)
        if status >= 300:
            raise Failure(f"{self.name}: {method} {path}: {status} {answer}")
        return answer

    def docker(self, *argv, timeout=120):
        environment = {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.home)}
        return command(DOCKER, *argv, env=environment, timeout=timeout).strip()

    def box(self, name="box"):
        """A container that idles, for execs."""
        return self.docker("run", "-d", "--name", name, "busybox", "sleep", "1000000")

    def kill(self):
        """As a crash."""
        self.process.kill()
        self.process.wait(10)

    def close(self):
        if self.process is None or self.process.poll() is not None:
            return
        try:
            ids = self.docker("ps", "-aq").split()
            if len(ids) < 100:
                self.docker("rm", "-f", *ids) if ids else None
        except (Failure, subprocess.TimeoutExpired):
            pass
        self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()

    @property
    def pid(self):
        return self.process.pid


class Dockerd(Engine):
    def argv(self):
        return ["dockerd", "--storage-driver=vfs", "--bridge=none", "--iptables=false", "--data-root", self.home / "data",
                "--exec-root", self.home / "exec", "-H", f"unix://{self.socket}", "--pidfile", self.home / "dockerd.pid"]

    def prepare(self):
        if not shutil.which("dockerd"):
            raise NotMeasured("there is no dockerd on this machine")
        self.run()
        archive = self.home / "busybox.tar"
        command("skopeo", "--insecure-policy", "copy", "-q", f"oci:{IMAGES}/busybox:latest",
                f"docker-archive:{archive}:busybox:latest")
        self.docker("load", "-q", "-i", archive)
        archive.unlink()
        self.box()


class Gateway(Engine):
    """With --local: the emulator and the registry are its children. Agents call over plain WebSockets."""

    def argv(self):
        return [BUILD / "bin/sockerless-gateway", "--local", "--addr", f"unix://{self.socket}", "--state-dir",
                self.home / "state"]

    def prepare(self):
        self.run()
        command(PROJECT / "tests/images/push.sh", self.local("registry"), IMAGES, "busybox")
        self.box()

    def local(self, key):
        return json.loads((self.home / "state/local.json").read_text())[key]

    def agent_pid(self, container="box"):
        """Of the container's agent, as this machine numbers it: the process whose environment has its id."""
        cid = self.docker("inspect", "-f", "{{.Id}}", container)
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                environment = (folder / "environ").read_bytes()
                if f"SOCKERLESS_CONTAINER_ID={cid}".encode() in environment.split(b"\0") and \
                        os.readlink(folder / "exe").endswith("sockerless-agent"):
                    return int(folder.name)
            except OSError:
                continue
        raise Failure(f"{self.name}: no agent of {container} is running")

    def agents(self):
        return self.ask("GET", "/internal/v1/agents")

    def close(self):
        super().close()
        for key, name in (("emulator_pid", "cloudrun-emulator"), ("registry_pid", "docker-registry")):
            try:  # a gateway that was killed leaves them
                pid = self.local(key)
                if name in os.readlink(f"/proc/{pid}/exe"):
                    os.kill(pid, signal.SIGTERM)
            except (OSError, ValueError, KeyError):
                continue


class Pki:
    """An authority and the gateway's certificate, as tests/func/65-tls.sh makes them."""

    def __init__(self, folder, address):
        folder.mkdir()
        self.ca, self.key, self.certificate = folder / "ca.pem", folder / "gateway.key", folder / "gateway.pem"
        for name in ("ca", "gateway"):
            command("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", folder / f"{name}.key")
        command("openssl", "req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=ca", "-days", "2", "-out", self.ca)
        command("openssl", "req", "-new", "-key", self.key, "-subj", "/CN=gateway", "-out", folder / "gateway.csr")
        (folder / "names").write_text(f"subjectAltName=IP:{address},IP:127.0.0.1\n")
        command("openssl", "x509", "-req", "-in", folder / "gateway.csr", "-CA", self.ca, "-CAkey", folder / "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", folder / "names", "-out", self.certificate)


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Second(Gateway):
    """A gateway as in production, on the Cloud Run of another: agents call over TLS, or, without, plainly."""

    def __init__(self, name, base, cloud, registry, address, tls=True):
        super().__init__(name, base)
        self.cloud, self.registry, self.address = cloud, registry, address
        self.port = free_port(address)
        self.pki = Pki(self.home / "pki", address) if tls else None
        self.image = f"{registry}/sockerless/agent:{name if tls else 'latest'}"

    def argv(self):
        flags = ["--callback-cert", self.pki.certificate, "--callback-key", self.pki.key] if self.pki else []
        return [BUILD / "bin/sockerless-gateway", "--addr", f"unix://{self.socket}", "--state-dir", self.home / "state",
                "--callback-addr", f"{self.address}:{self.port}", *flags]

    def environment(self):
        return {"SOCKERLESS_GCR_PROJECT": "sockerless-local", "SOCKERLESS_GCR_INSTANCE": f"bench-{self.name}",
                "SOCKERLESS_ENDPOINT_URL": self.cloud, "SOCKERLESS_GCR_AGENT_IMAGE": self.image,
                "SOCKERLESS_HUB_MIRROR": self.registry,
                "SOCKERLESS_CALLBACK_URL": f"{'https' if self.pki else 'http'}://{self.address}:{self.port}"}

    def agent_image(self):
        """The agent's image carries the CA bundle that the agent trusts, and it alone."""
        if not self.pki:
            return
        command(PROJECT / "deploy/agent-image.sh", self.home / "agent", BUILD / "bin/sockerless-agent",
                env={**os.environ, "CA_CERTIFICATES": str(self.pki.ca)})
        command("skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", f"oci:{self.home}/agent:latest",
                f"docker://{self.image}")

    def prepare(self):
        self.agent_image()
        self.run()
        self.docker("pull", "-q", "busybox")
        self.box()


class Engines:
    """All that the figures asked for, started at most once each, and their common end."""

    def __init__(self):
        more_files()
        self.base = tempfile.mkdtemp(prefix="sockerless-bench.")
        self.running, self.failed = {}, {}

    def add(self, engine):
        self.running[engine.name] = engine
        return engine

    def get(self, name):
        """Failure, each time anew, when it cannot be had."""
        if name in self.failed:
            raise self.failed[name]
        if name not in self.running:
            try:
                self.make(name).prepare()
            except (Failure, OSError, subprocess.TimeoutExpired) as e:
                self.failed[name] = e if isinstance(e, Failure) else Failure(f"{name}: {e}")
                raise self.failed[name] from e
        return self.running[name]

    def make(self, name):
        if name == "dockerd":
            return self.add(Dockerd(name, self.base))
        if name == "plain":
            return self.add(Gateway(name, self.base))
        return self.second(name)

    def second(self, name, **options):
        """On the Cloud Run and the registry of `plain`."""
        local = self.get("plain").local
        return self.add(Second(name, self.base, local("emulator"), local("registry"), local("host_address"), **options))

    def close(self):
        for name in reversed(list(self.running)):  # `plain` has the others' Cloud Run
            self.running[name].close()
        if "KEEP" in os.environ:
            print(f"kept: {self.base}")
        else:
            shutil.rmtree(self.base, ignore_errors=True)
