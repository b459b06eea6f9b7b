"""archive (docker cp), changes, export."""
import base64
import io
import json
import tarfile

from session import case, setup, table


def tar(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        for name, data, options in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1000000000
            for key, value in options.items():
                setattr(info, key, value)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


@setup
def containers(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")
    e.run("sh", "-c", "mkdir -p /w/d; echo hi >/w/f; chmod 4751 /w/f; chown 1000:2000 /w/f; ln -s f /w/l; ln -s /w/d /w/ld;"
          " ln /w/f /w/h; touch -d @1000000000 /w/f /w/d; echo in >/w/d/x; echo ready; exec sleep 1000", name="live")
    e.until(lambda: b"ready" in e.quiet("GET", "/containers/live/logs?stdout=1").body())


def stat(e, path, container="live"):
    answer = e.quiet("HEAD", f"/containers/{container}/archive?path={path}")
    text = answer.headers.get("x-docker-container-path-stat")
    value = json.loads(base64.b64decode(text)) if text else None
    e.note("stat", [answer.status, answer.headers.get("content-type"), value])


for title, path in (("a file", "/w/f"), ("a directory", "/w/d"), ("a link", "/w/l"), ("a link to a directory", "/w/ld"),
                    ("through a link to a directory", "/w/ld/"), ("nothing", "/w/nothing"), ("a device", "/dev/null"),
                    ("the root", "/"), ("a relative path", "w/f"), ("with dots", "/w/d/../f"), ("a directory's dot", "/w/d/.")):
    @case(f"archive stat: {title}")
    def _(e, path=path):
        stat(e, path)


def members(e, path, container="live"):
    answer = e.quiet("GET", f"/containers/{container}/archive?path={path}")
    e.note("head", [answer.status, answer.headers.get("content-type"),
                    "x-docker-container-path-stat" in answer.headers])
    if answer.status != 200:
        return e.note_answer(answer)
    with tarfile.open(fileobj=io.BytesIO(answer.body())) as t:
        e.note("members", [[m.name, m.type.decode(), oct(m.mode), m.uid, m.gid, m.size, m.linkname,
                            t.extractfile(m).read().decode() if m.isreg() else ""] for m in t])


for title, path in (("a file", "/w/f"), ("a directory", "/w/d"), ("the content of a directory", "/w/d/."),
                    ("a link", "/w/l"), ("links and hard links", "/w"), ("nothing", "/w/nothing"),
                    ("a file with a slash behind it", "/w/f/")):
    @case(f"archive get: {title}")
    def _(e, path=path):
        members(e, path)

table(("1.41",),
      ("archive get: without a path", "GET", "/containers/live/archive"),
      ("archive get: an empty path", "GET", "/containers/live/archive?path="),
      ("archive put: without a path", "PUT", "/containers/live/archive", b""),
      ("archive put: a directory that is not there", "PUT", "/containers/live/archive?path=/no/such", b""),
      ("archive put: into a file", "PUT", "/containers/live/archive?path=/w/f", b""),
      ("archive put: not a tar", "PUT", "/containers/live/archive?path=/w", b"nonsense" * 100),
      ("changes of a new container", "GET", "/containers/fresh/changes"))


@case("archive put: files, owners, modes")
def _(e):
    body = tar(("put/", b"", {"type": tarfile.DIRTYPE, "mode": 0o750, "uid": 7, "gid": 8}),
               ("put/f", b"content", {"mode": 0o4711, "uid": 1000, "gid": 2000}),
               ("put/s", b"", {"type": tarfile.SYMTYPE, "linkname": "f"}),
               ("put/h", b"", {"type": tarfile.LNKTYPE, "linkname": "put/f"}))
    e.call("PUT", "/containers/live/archive?path=/tmp", body, headers={"Content-Type": "application/x-tar"})
    members(e, "/tmp/put")


@case("archive put: a directory may not replace a file")
def _(e):
    body = tar(("f/", b"", {"type": tarfile.DIRTYPE}))
    e.call("PUT", "/containers/live/archive?path=/w&noOverwriteDirNonDir=1", body)


@case("archive put: before start, seen after it")
def _(e):
    made = e.create("cat", "/tmp/early")
    e.call("PUT", f"/containers/{made}/archive?path=/tmp", tar(("early", b"bird\n", {})))
    e.start(made)
    e.wait(made)
    e.note("logs", e.quiet("GET", f"/containers/{made}/logs?stdout=1").body().decode("latin-1"))


@case("archive put: a leading path that climbs out")
def _(e):
    e.call("PUT", "/containers/live/archive?path=/tmp", tar(("../../climbed", b"x", {})))
    stat(e, "/climbed")


@case("changes of a running container")
def _(e):
    made = e.run("sh", "-c", "echo x >/tmp/new; rm /etc/not-executable; chmod 700 /srv; echo ready; exec sleep 1000")
    e.until(lambda: b"ready" in e.quiet("GET", f"/containers/{made}/logs?stdout=1").body())
    answer = e.quiet("GET", f"/containers/{made}/changes")
    # dockerd gives them in the order of a hash table
    e.note("changes", [answer.status, sorted([c["Path"], c["Kind"]] for c in json.loads(answer.body()))])


@case("export")
def _(e):
    answer = e.quiet("GET", "/containers/live/export")
    e.note("head", [answer.status, answer.headers.get("content-type")])
    if answer.status == 200:
        with tarfile.open(fileobj=io.BytesIO(answer.body())) as t:
            names = [m.name for m in t]
        e.note("has", [n in names for n in ("w/f", "bin/busybox", "etc/passwd", "w/d/x")])
