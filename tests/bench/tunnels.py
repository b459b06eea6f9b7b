"""tunnels - thousands of agents that idle, and all of them coming back at once.

The agents are swarm.c's, each its own container to the gateway; one more is a real agent process, which tells
what a tunnel costs at its end and serves execs while the others come back. What the gateway pays is its resident
set with so many tunnels open, less that with as many containers created but not started, for each."""
import http.client
import json
import os
import pathlib
import queue
import resource
import subprocess
import threading
import time

import engines
from engines import BUILD, Failure
from figure import SMOKE, Figure, Step, at_most, client, program

UNTIL_AGENT_ENDS = "exec tail -f --pid=$PPID /dev/null"  # so that a killed agent leaves nothing behind

engines.more_files()
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1500  # of a gateway, for each container: its link
MANY = 30 if SMOKE else min(FILES, int(os.environ.get("BENCH_TUNNELS", "10000")))
FEW = min(1000, max(1, MANY // 10)) if MANY < 9000 else 1000
SETTLE_S = 0.3 if SMOKE else 15   # buffers that rest are given back
WORKERS = 4
HERD_S = 300

FIGURES = [
    Figure("idle_few", f"{FEW:,} idle tunnels: at the gateway, resident, each", "KB", compare=False),
    Figure("idle_many", f"{MANY:,} idle tunnels: at the gateway, resident, each", "KB", compare=False,
           goals=[] if SMOKE else [at_most("tls", 25, "KB")]),
    Figure("idle_heap", f"{MANY:,} idle tunnels: allocated, touched or not, each", "KB", compare=False),
    Figure("idle_agent", "an idle agent, the whole process, resident", "KB", compare=False),
    Figure("idle_agent_private", "of that, private memory", "KB", compare=False),
    Figure("herd_all", f"{MANY:,} agents cut off at once: until all are back", "s", compare=False),
    Figure("herd_p50", "... until half of them are", "s", compare=False),
    Figure("herd_exec", "... slowest exec on another container meanwhile", "ms", compare=False),
]


class Swarm:
    """The process; what it says comes by say()."""

    def __init__(self, home, ca):
        environment = {**os.environ, **({"SWARM_CA": str(ca)} if ca else {})}
        with open(home / "swarm.log", "wb") as log:
            self.process = subprocess.Popen([program("swarm"), "--listen", "127.0.0.1:0", "--state-dir", home / "swarm", "--max-jobs", "50000",
                                             "--log-level", "warn"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    def say(self, seconds, what):
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty as e:
            raise Failure(f"{what}: not within {seconds} s") from e

    def cut(self):
        self.process.stdin.write(b"cut\n")
        self.process.stdin.flush()

    def close(self):
        self.process.kill()
        self.process.wait(10)


class Crowded(engines.Second):
    """A gateway whose Cloud Run is a swarm."""

    def __init__(self, name, bench, tls):
        near = bench.engine("plain")  # for its registry
        super().__init__(name, bench.engines.base, "", near.local("registry"), "127.0.0.1", tls)
        self.image = f"{self.registry}/sockerless/agent:latest"
        self.swarm = Swarm(self.home, self.pki.ca if self.pki else None)
        self.cloud = self.swarm.say(20, "the swarm")["url"]
        self.agent, self.ids = None, []

    def prepare(self):
        self.run()
        self.docker("pull", "-q", "busybox")

    def each(self, method, paths, body=None, want=(201, 204)):
        """All of them over WORKERS kept connections; the answers."""
        todo, answers, failures = queue.SimpleQueue(), [], []
        for path in paths:
            todo.put(path)

        def work():
            connection = engines.UnixConnection(self.socket, 120)
            text = json.dumps(body) if body else None
            try:
                while not failures:
                    path = todo.get_nowait()
                    connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
                    answer = connection.getresponse()
                    data = answer.read()
                    if answer.status not in want:
                        failures.append(f"{path}: {answer.status} {data[:200]}")
                    answers.append(json.loads(data) if data else None)
            except queue.Empty:
                pass
            except (OSError, http.client.HTTPException) as e:
                failures.append(f"{method}: {e!r}")
            finally:
                connection.close()

        workers = [threading.Thread(target=work) for _ in range(WORKERS)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        if failures:
            raise Failure(failures[0])
        return answers

    def start_real(self):
        """The first container's agent is a process of its own, with a specification of ours: the container's
        would name this machine anew."""
        self.ask("POST", "/v1.41/containers/create?name=real", {"Image": "busybox", "Cmd": ["sleep", "1000000"]})
        starting = threading.Thread(target=self.call, args=("POST", "/v1.41/containers/real/start"))
        starting.start()
        environment = self.swarm.say(20, "the real agent's environment")["real"]
        environment = {k: v for k, v in environment.items() if not k.startswith("SOCKERLESS_AGENT_SPEC")}
        execution = self.execution(environment["SOCKERLESS_CONTAINER_ID"])
        if self.pki:
            environment["SOCKERLESS_AGENT_CA_FILE"] = str(self.pki.ca)
        environment.update(SOCKERLESS_SIDECAR_PORT="0", CLOUD_RUN_EXECUTION=execution, CLOUD_RUN_TASK_ATTEMPT="0", PATH=os.environ["PATH"])
        with open(self.home / "agent.log", "wb") as log:
            self.agent = subprocess.Popen([BUILD / "bin/sockerless-agent", "run", "--", "sh", "-c", UNTIL_AGENT_ENDS], env=environment,
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        starting.join(60)

    def execution(self, cid):
        """The only one there is, as Cloud Run names it."""
        url = self.cloud.removeprefix("http://")
        connection = http.client.HTTPConnection(url, timeout=10)
        connection.request("GET", "/v2/projects/sockerless-local/locations/us-central1/jobs/-/executions")
        found = json.loads(connection.getresponse().read()).get("executions", [])
        connection.close()
        if len(found) != 1:
            raise Failure(f"{len(found)} executions, while {cid[:12]} alone was started")
        return found[0]["name"].rsplit("/", 1)[1]

    def memory(self):
        """(resident, heap in use), settled."""
        time.sleep(SETTLE_S)
        return resident(self.pid)["Rss"], self.ask("GET", "/internal/v1/healthz")["heap_bytes"]

    def close(self):
        """Ten thousand containers are not stopped one by one: the gateway goes first, as in a crash."""
        for process in (self.process, self.agent):
            if process and process.poll() is None:
                process.kill()
                process.wait(10)
        self.swarm.close()


def resident(pid):
    rows = (row.split() for row in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def idle(engine):
    """Opens the tunnels; what they cost."""
    engine.prepare()
    engine.start_real()
    made = engine.each("POST", ["/v1.41/containers/create"] * MANY, {"Image": "busybox", "Cmd": ["sleep", "1000000"]})
    engine.ids = [answer["Id"] for answer in made]
    client(engine, "real", "exec", 10)
    before, heap_before = engine.memory()
    engine.each("POST", [f"/v1.41/containers/{i}/start" for i in engine.ids[:FEW]])
    few, _ = engine.memory()
    engine.each("POST", [f"/v1.41/containers/{i}/start" for i in engine.ids[FEW:]])
    many, heap = engine.memory()
    agent = resident(engine.agent.pid)
    return {"idle_few": (few - before) / FEW / 1e3, "idle_many": (many - before) / MANY / 1e3, "idle_heap": (heap - heap_before) / MANY / 1e3,
            "idle_agent": agent["Rss"] / 1e3, "idle_agent_private": (agent["Private_Clean"] + agent["Private_Dirty"]) / 1e3}


def herd(engine):
    """All links are cut at once, while execs run on the container whose agent is real."""
    slowest, over = [0.0], threading.Event()

    def watch():
        while not over.is_set():
            slowest.append(client(engine, "real", "watch", 1)["max"])

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        engine.swarm.cut()
        back = engine.swarm.say(HERD_S, f"all of {MANY} agents are back")
    finally:
        over.set()
        watching.join(60)
    if back["back"] != MANY:
        raise Failure(f"{back['back']} of {MANY} agents were cut off")
    return {"herd_all": back["all_ms"] / 1e3, "herd_p50": back["p50_ms"] / 1e3, "herd_exec": max(slowest)}


def tunnels(bench, subject):
    engine = Crowded(f"crowd-{subject}", bench, subject == "tls")
    bench.engines.add(engine)
    try:
        return {**idle(engine), **herd(engine)}
    finally:
        bench.engines.running.pop(engine.name).close()  # ten thousand agents that ping are a load


STEPS = [Step([figure.key for figure in FIGURES], tunnels, ("plain", "tls"), last=True)]
