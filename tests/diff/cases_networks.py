"""networks: the predefined ones, create, inspect, connect, disconnect, remove, prune."""
import json
import urllib.parse

from session import case, setup, table

READ = ("1.24", "1.40", "1.41")


def q(filters):
    return "filters=" + urllib.parse.quote(json.dumps(filters))


@setup
def networks(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    for name in ("bridge", "host", "none"):
        e.name_id(e.quiet("GET", f"/networks/{name}").json()["Id"], "network")
    e.quiet("POST", "/networks/create", {"Name": "mesh", "Labels": {"a": "b"}, "CheckDuplicate": True})
    e.run("sleep", "1000", name="live")


table(READ, ("network list", "GET", "/networks"), ("network inspect: bridge", "GET", "/networks/bridge"),
      ("network inspect: own", "GET", "/networks/mesh"))

table(("1.41",),
      ("network inspect: host", "GET", "/networks/host"),
      ("network inspect: none", "GET", "/networks/none"),
      ("network inspect: none such", "GET", "/networks/nothing"),
      ("network inspect: verbose", "GET", "/networks/mesh?verbose=1"),
      ("network inspect: a bad verbose", "GET", "/networks/mesh?verbose=x"),
      ("network inspect: another scope", "GET", "/networks/mesh?scope=swarm"),
      ("network list: filter name", "GET", "/networks?" + q({"name": ["mes"]})),
      ("network list: filter driver", "GET", "/networks?" + q({"driver": ["bridge"]})),
      ("network list: filter type custom", "GET", "/networks?" + q({"type": ["custom"]})),
      ("network list: filter type builtin", "GET", "/networks?" + q({"type": ["builtin"]})),
      ("network list: a type that is none", "GET", "/networks?" + q({"type": ["x"]})),
      ("network list: filter scope", "GET", "/networks?" + q({"scope": ["swarm"]})),
      ("network list: filter label", "GET", "/networks?" + q({"label": ["a=b"]})),
      ("network list: filter dangling", "GET", "/networks?" + q({"dangling": ["true"]})),
      ("network list: dangling that is no boolean", "GET", "/networks?" + q({"dangling": ["x"]})),
      ("network list: an unknown filter", "GET", "/networks?" + q({"nonsense": ["x"]})),
      ("network remove: none such", "DELETE", "/networks/nothing"),
      ("network remove: predefined", "DELETE", "/networks/bridge"),
      ("network create: no name", "POST", "/networks/create", {}),
      ("network create: an empty name", "POST", "/networks/create", {"Name": ""}),
      ("network create: a predefined name", "POST", "/networks/create", {"Name": "host"}),
      ("network create: a name that is taken", "POST", "/networks/create", {"Name": "mesh", "CheckDuplicate": True}),
      ("network create: not JSON", "POST", "/networks/create", b"{"),
      ("network create: a bad subnet", "POST", "/networks/create",
       {"Name": "x1", "IPAM": {"Config": [{"Subnet": "nonsense"}]}}),
      ("network connect: no such network", "POST", "/networks/nothing/connect", {"Container": "live"}),
      ("network connect: no such container", "POST", "/networks/mesh/connect", {"Container": "nobody"}),
      ("network disconnect: no such network", "POST", "/networks/nothing/disconnect", {"Container": "live"}),
      ("network disconnect: no such container", "POST", "/networks/mesh/disconnect", {"Container": "nobody"}),
      ("network disconnect: not connected", "POST", "/networks/mesh/disconnect", {"Container": "live"}),
      ("network prune: an unknown filter", "POST", "/networks/prune?" + q({"nonsense": ["x"]})),
      ("network prune: nothing to do", "POST", "/networks/prune?" + q({"label": ["nothing"]})))


@case("network create, inspect, remove")
def _(e):
    made = e.post("/networks/create", {"Name": "fresh-net", "Driver": "bridge", "Internal": True,
                                       "Options": {"x": "y"}, "Labels": {"k": "v"},
                                       "IPAM": {"Config": [{"Subnet": "10.99.0.0/24", "Gateway": "10.99.0.1"}]}})
    e.get("/networks/fresh-net")
    e.get(f"/networks/{made.json()['Id'][:12]}")
    e.call("DELETE", "/networks/fresh-net")
    e.get("/networks/fresh-net")


@case("network: a container of it")
def _(e):
    e.run("sleep", "1000", name="member", HostConfig={"NetworkMode": "mesh"})
    shown = e.inspect("member")
    e.note("networks", sorted(shown["NetworkSettings"]["Networks"]))
    e.note("mode", shown["HostConfig"]["NetworkMode"])
    e.note("members", [m["Name"] for m in e.quiet("GET", "/networks/mesh").json()["Containers"].values()])
    e.call("DELETE", "/networks/mesh")


@case("network connect and disconnect: a created container")
def _(e):
    made = e.create("sleep", "1000", name="joins")
    e.post("/networks/mesh/connect", {"Container": made, "EndpointConfig": {"Aliases": ["nick"]}})
    shown = e.inspect(made)["NetworkSettings"]["Networks"]
    e.note("networks", sorted(shown))
    e.note("aliases", shown["mesh"]["Aliases"])
    e.post("/networks/mesh/disconnect", {"Container": made})
    e.note("networks", sorted(e.inspect(made)["NetworkSettings"]["Networks"]))


@case("network prune: by label")
def _(e):
    e.quiet("POST", "/networks/create", {"Name": "old-net", "Labels": {"old": ""}})
    e.post("/networks/prune?" + q({"label": ["old"]}))
    e.get("/networks/old-net")
