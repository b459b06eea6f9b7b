"""images: pull, list, inspect, history, tag, remove, prune, search, distribution, save and load."""
import json
import urllib.parse

from session import case, setup, table

READ = ("1.24", "1.40", "1.41")


def q(filters):
    return "filters=" + urllib.parse.quote(json.dumps(filters))


@setup
def images(e):
    for name in ("busybox", "static", "configured"):
        e.quiet("POST", f"/images/create?fromImage={name}&tag=latest")
    e.quiet("POST", "/images/busybox/tag?repo=extra/name&tag=v1")
    e.create("sleep", "1000", name="user", image="configured")


table(READ,
      ("image list", "GET", "/images/json"),
      ("image inspect", "GET", "/images/busybox/json"),
      ("image inspect: everything set", "GET", "/images/configured/json"),
      ("image inspect: none such", "GET", "/images/nothing/json"))

table(("1.41",),
      ("image list: all", "GET", "/images/json?all=1"),
      ("image list: digests", "GET", "/images/json?digests=1"),
      ("image list: filter reference", "GET", "/images/json?" + q({"reference": ["busybox"]})),
      ("image list: filter reference, a pattern", "GET", "/images/json?" + q({"reference": ["extra/*"]})),
      ("image list: filter reference with a tag", "GET", "/images/json?" + q({"reference": ["*:v1"]})),
      ("image list: filter dangling", "GET", "/images/json?" + q({"dangling": ["true"]})),
      ("image list: filter dangling false", "GET", "/images/json?" + q({"dangling": ["false"]})),
      ("image list: a dangling that is no boolean", "GET", "/images/json?" + q({"dangling": ["x"]})),
      ("image list: filter label", "GET", "/images/json?" + q({"label": ["test.label"]})),
      ("image list: filter label and value", "GET", "/images/json?" + q({"label": ["test.label=from image"]})),
      ("image list: filter before", "GET", "/images/json?" + q({"before": ["busybox"]})),
      ("image list: filter since", "GET", "/images/json?" + q({"since": ["busybox"]})),
      ("image list: before an image that is not there", "GET", "/images/json?" + q({"before": ["nothing"]})),
      ("image list: an unknown filter", "GET", "/images/json?" + q({"nonsense": ["x"]})),
      ("image list: filters that are no JSON", "GET", "/images/json?filters=x"),
      ("image inspect: with a tag", "GET", "/images/extra/name:v1/json"),
      ("image inspect: with the registry's name", "GET", "/images/docker.io/library/busybox:latest/json"),
      ("image inspect: a tag that is not there", "GET", "/images/busybox:nothing/json"),
      ("image inspect: a name that is none", "GET", "/images/UPPER/json"),
      ("image history", "GET", "/images/busybox/history"),
      ("image history: none such", "GET", "/images/nothing/history"),
      ("image tag: none such", "POST", "/images/nothing/tag?repo=x&tag=y"),
      ("image tag: a bad name", "POST", "/images/busybox/tag?repo=UPPER"),
      ("image tag: a bad tag", "POST", "/images/busybox/tag?repo=x&tag=a%20b"),
      ("image tag: without a name", "POST", "/images/busybox/tag"),
      ("image remove: none such", "DELETE", "/images/nothing"),
      ("image remove: in use", "DELETE", "/images/configured"),
      ("image prune: an unknown filter", "POST", "/images/prune?" + q({"nonsense": ["x"]})),
      ("image prune: a dangling that is none", "POST", "/images/prune?" + q({"dangling": ["x"]})),
      ("image prune: only dangling ones, of which there are none", "POST", "/images/prune"),
      ("image pull: without a name", "POST", "/images/create"),
      ("image pull: a bad name", "POST", "/images/create?fromImage=UPPER&tag=latest"),
      ("image pull: a bad tag", "POST", "/images/create?fromImage=busybox&tag=a%20b"),
      ("image pull: a bad platform", "POST", "/images/create?fromImage=busybox&tag=latest&platform=a/b/c/d"),
      ("image push: none such", "POST", "/images/nothing/push", b"", ),
      ("image save: none such", "GET", "/images/nothing/get"),
      ("distribution: a bad name", "GET", "/distribution/UPPER/json"))


@case("image inspect: by ID, without its prefix, by a part, by digest")
def _(e):
    shown = e.get("/images/busybox/json").json()
    for name in (shown["Id"], shown["Id"][7:], shown["Id"][7:19], shown["RepoDigests"][0]):
        e.note("found", e.quiet("GET", f"/images/{name}/json").json()["Id"])


@case("image tag, list, untag", ("1.24", "1.41"))
def _(e):
    e.post("/images/busybox/tag?repo=fresh&tag=one")
    e.note("tags", sorted(e.quiet("GET", "/images/busybox/json").json()["RepoTags"]))
    e.call("DELETE", "/images/fresh:one")
    e.note("tags", sorted(e.quiet("GET", "/images/busybox/json").json()["RepoTags"]))


@case("image tag: without a tag it is latest")
def _(e):
    e.post("/images/busybox/tag?repo=fresh")
    e.call("DELETE", "/images/fresh")


@case("image pull: up to date")
def _(e):
    e.post("/images/create?fromImage=busybox&tag=latest")


@case("image pull: the first time, and remove")
def _(e):
    name = f"{e.registry}/library/nonroot"
    e.post(f"/images/create?fromImage={name}&tag=latest")
    e.get(f"/images/{name}:latest/json")
    e.call("DELETE", f"/images/{name}:latest")
    e.get(f"/images/{name}:latest/json")


@case("image pull: by digest")
def _(e):
    digest = e.quiet("GET", "/images/busybox/json").json()["RepoDigests"][0].split("@")[1]
    e.post(f"/images/create?fromImage={e.registry}/library/busybox&tag={digest}")
    e.note("digests", sorted(e.quiet("GET", "/images/busybox/json").json()["RepoDigests"]))
    e.call("DELETE", f"/images/{e.registry}/library/busybox@{digest}")


@case("image pull: a tag that is not there")
def _(e):
    e.post(f"/images/create?fromImage={e.registry}/library/busybox&tag=nothing")


@case("image pull: an image that is not there")
def _(e):
    e.post(f"/images/create?fromImage={e.registry}/library/nothing&tag=latest")


@case("image pull: a registry that does not answer")
def _(e):
    e.post("/images/create?fromImage=127.0.0.1:1/x&tag=latest")


@case("image remove: by ID with two names")
def _(e):
    image = e.quiet("GET", "/images/busybox/json").json()["Id"]
    e.call("DELETE", f"/images/{image}")


@case("distribution")
def _(e):
    e.get(f"/distribution/{e.registry}/library/busybox:latest/json")


@case("distribution: none such")
def _(e):
    e.get(f"/distribution/{e.registry}/library/nothing:latest/json")
