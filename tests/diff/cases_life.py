"""top, stats, pause, update, health checks, restart policies."""
from session import case, setup, table


@setup
def containers(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.create("sleep", "1000", name="fresh")
    e.ran("true", name="gone")
    e.run("sleep", "1000", name="live")


table(("1.41",),
      ("top: created", "GET", "/containers/fresh/top"),
      ("top: exited", "GET", "/containers/gone/top"),
      ("top: bad arguments", "GET", "/containers/live/top?ps_args=nonsense"),
      ("pause: created", "POST", "/containers/fresh/pause"),
      ("unpause: running", "POST", "/containers/live/unpause"),
      ("unpause: created", "POST", "/containers/fresh/unpause"),
      ("update: nothing", "POST", "/containers/live/update", {}),
      ("update: a restart policy", "POST", "/containers/live/update", {"RestartPolicy": {"Name": "always"}}),
      ("update: a bad restart policy", "POST", "/containers/live/update", {"RestartPolicy": {"Name": "x"}}),
      ("update: not JSON", "POST", "/containers/live/update", b"{"),
      ("update: too little memory", "POST", "/containers/live/update", {"Memory": 1024}),
      ("stats: created, one sample", "GET", "/containers/fresh/stats?stream=0"))


@case("top")
def _(e):
    answer = e.quiet("GET", "/containers/live/top")
    shown = answer.json()
    e.note("titles", [answer.status, shown["Titles"], [p[-1] for p in shown["Processes"]]])


@case("top: arguments")
def _(e):
    shown = e.quiet("GET", "/containers/live/top?ps_args=-o%20pid,comm").json()
    e.note("titles", [shown["Titles"], [p[-1] for p in shown["Processes"]]])


def shape(value):
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    return type(value).__name__ if not isinstance(value, list) else "list"


@case("stats: one sample of a running one")
def _(e):
    shown = e.quiet("GET", "/containers/live/stats?stream=0").json()
    e.note("keys", sorted(shown))
    e.note("cpu", shape({k: v for k, v in shown["cpu_stats"].items() if k != "cpu_usage"}))
    e.note("name", [shown["name"], shown["id"]])


@case("stats: a stream")
def _(e):
    answer = e.send("GET", "/containers/live/stats")
    lines = answer.lines()
    first, second = next(lines), next(lines)
    e.note("keys", [sorted(first), sorted(second)])


@case("pause and unpause")
def _(e):
    made = e.run("sleep", "1000", name="sleeper")
    e.post(f"/containers/{made}/pause")
    e.note("state", e.inspect(made)["State"])
    e.get('/containers/json?filters={"name":["sleeper"]}')
    e.post(f"/containers/{made}/pause")
    e.post(f"/containers/{made}/exec", {"Cmd": ["true"]})
    e.post(f"/containers/{made}/unpause")
    e.note("state", e.inspect(made)["State"])


@case("health: healthy")
def _(e):
    made = e.run("sleep", "1000", name="well", Healthcheck={"Test": ["CMD-SHELL", "echo fine"], "Interval": 1000000000})
    e.until(lambda: e.inspect(made)["State"]["Health"]["Status"] == "healthy")
    health = e.inspect(made)["State"]["Health"]
    e.note("health", {**health, "Log": health["Log"][:1]})
    e.get('/containers/json?filters={"health":["healthy"]}')


@case("health: unhealthy")
def _(e):
    made = e.run("sleep", "1000", Healthcheck={"Test": ["CMD", "false"], "Interval": 1000000000, "Retries": 1})
    e.until(lambda: e.inspect(made)["State"]["Health"]["Status"] == "unhealthy")
    e.note("code", e.inspect(made)["State"]["Health"]["Log"][0]["ExitCode"])


@case("restart policy: on-failure gives up")
def _(e):
    made = e.run("sh", "-c", "exit 2", HostConfig={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}})
    e.until(lambda: e.inspect(made)["RestartCount"] == 2 and not e.inspect(made)["State"]["Running"]
            and not e.inspect(made)["State"]["Restarting"])
    shown = e.inspect(made)
    e.note("state", [shown["State"], shown["RestartCount"]])
