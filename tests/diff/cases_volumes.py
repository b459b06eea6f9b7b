"""volumes: create, list, inspect, use, remove, prune."""
import json
import urllib.parse

from session import case, setup, table

READ = ("1.24", "1.40", "1.41")


def q(filters):
    return "filters=" + urllib.parse.quote(json.dumps(filters))


@setup
def volumes(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.quiet("POST", "/volumes/create", {"Name": "data", "Labels": {"a": "b"}})
    e.create("sleep", "1000", name="user", HostConfig={"Binds": ["data:/data"]})


table(READ, ("volume list", "GET", "/volumes"), ("volume inspect", "GET", "/volumes/data"))

table(("1.41",),
      ("volume inspect: none such", "GET", "/volumes/nothing"),
      ("volume list: filter name", "GET", "/volumes?" + q({"name": ["dat"]})),
      ("volume list: filter label", "GET", "/volumes?" + q({"label": ["a=b"]})),
      ("volume list: filter driver", "GET", "/volumes?" + q({"driver": ["local"]})),
      ("volume list: filter dangling", "GET", "/volumes?" + q({"dangling": ["true"]})),
      ("volume list: dangling that is no boolean", "GET", "/volumes?" + q({"dangling": ["x"]})),
      ("volume list: an unknown filter", "GET", "/volumes?" + q({"nonsense": ["x"]})),
      ("volume create: the same again", "POST", "/volumes/create", {"Name": "data"}),
      ("volume create: an empty body", "POST", "/volumes/create", b""),
      ("volume create: not JSON", "POST", "/volumes/create", b"{"),
      ("volume create: a bad name", "POST", "/volumes/create", {"Name": "a b"}),
      ("volume create: an unknown option", "POST", "/volumes/create", {"Name": "x1", "DriverOpts": {"nonsense": "x"}}),
      ("volume create: without a name", "POST", "/volumes/create", {}),
      ("volume remove: none such", "DELETE", "/volumes/nothing"),
      ("volume remove: none such, with force", "DELETE", "/volumes/nothing?force=1"),
      ("volume remove: in use", "DELETE", "/volumes/data"),
      ("volume update: not a cluster", "PUT", "/volumes/data?version=1", {"Spec": {}}),
      ("volume prune: an unknown filter", "POST", "/volumes/prune?" + q({"nonsense": ["x"]})),
      ("volume prune: nothing to do", "POST", "/volumes/prune?" + q({"label": ["nothing"]})))


@case("volume create, inspect, remove")
def _(e):
    e.post("/volumes/create", {"Name": "fresh-vol", "Labels": {"k": "v"}})
    e.get("/volumes/fresh-vol")
    e.call("DELETE", "/volumes/fresh-vol")
    e.get("/volumes/fresh-vol")


@case("volume: what one container writes another one reads")
def _(e):
    e.ran("sh", "-c", "echo kept > /data/file", HostConfig={"Binds": ["data:/data"]})
    reader = e.ran("cat", "/data/file", HostConfig={"Binds": ["data:/data:ro"]})
    e.note("logs", e.quiet("GET", f"/containers/{reader}/logs?stdout=1").body().decode("latin-1"))


@case("volume: mounts in inspect and list")
def _(e):
    made = e.create("true", name="mounts", HostConfig={"Binds": ["data:/data:ro"]})
    e.note("mounts", e.inspect(made)["Mounts"])
    e.get("/containers/json?all=1&" + q({"volume": ["data"], "name": ["mounts"]}))
    e.get("/containers/json?all=1&" + q({"volume": ["/data"], "name": ["mounts"]}))


@case("volume prune: by label")
def _(e):
    e.quiet("POST", "/volumes/create", {"Name": "old-vol", "Labels": {"old": ""}})
    e.post("/volumes/prune?" + q({"label": ["old"]}))
    e.get("/volumes/old-vol")
