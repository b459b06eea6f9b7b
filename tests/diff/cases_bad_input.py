"""Bodies that are broken, too large, of the wrong type; headers that are missing."""
from session import case, setup, table

CREATE = "/containers/create"


@setup
def images(e):
    e.quiet("POST", "/images/create?fromImage=busybox&tag=latest")


for title, body in (("an empty body", b""), ("not JSON", b"nonsense"), ("half an object", b'{"Image":'),
                    ("a list", b"[]"), ("a string", b'"x"'), ("a number", b"1"),
                    ("a comma too many", b'{"Image":"busybox",}'), ("two objects", b'{"Image":"nothing"}{}'),
                    ("bytes that are no text", b'{"Image":"\xff\xfe"}'), ("a bad escape", b'{"Image":"\\q"}'),
                    ("a line break in a string", b'{"Image":"a\nb"}'), ("only blanks", b"   ")):
    @case(f"bad JSON in create: {title}")
    def _(e, body=body):
        e.post(CREATE, body, headers={"Content-Type": "application/json"})

for title, body in (
        ("Image a number", {"Image": 1}), ("Image a list", {"Image": ["x"]}), ("Cmd a number", {"Cmd": 1}),
        ("Cmd a list of numbers", {"Cmd": [1]}), ("Env a string", {"Env": "x"}), ("Env an object", {"Env": {}}),
        ("Tty a string", {"Tty": "true"}), ("Tty a number", {"Tty": 1}), ("Labels a list", {"Labels": ["x"]}),
        ("Labels with a number", {"Labels": {"a": 1}}), ("HostConfig a string", {"HostConfig": "x"}),
        ("HostConfig a list", {"HostConfig": []}), ("Memory a string", {"HostConfig": {"Memory": "1g"}}),
        ("Memory a fraction", {"HostConfig": {"Memory": 1.5}}),
        ("Binds a string", {"HostConfig": {"Binds": "x"}}),
        ("RestartPolicy a string", {"HostConfig": {"RestartPolicy": "always"}}),
        ("RestartPolicy name a number", {"HostConfig": {"RestartPolicy": {"Name": 1}}}),
        ("PortBindings a list", {"HostConfig": {"PortBindings": []}}),
        ("ExposedPorts a list", {"ExposedPorts": ["80/tcp"]}), ("Healthcheck a string", {"Healthcheck": "x"}),
        ("Healthcheck interval a string", {"Healthcheck": {"Interval": "1s"}}),
        ("StopTimeout a string", {"StopTimeout": "1"}), ("Volumes a list", {"Volumes": ["/x"]}),
        ("Mounts an object", {"HostConfig": {"Mounts": {}}}),
        ("NetworkingConfig a list", {"NetworkingConfig": []}),
        ("EndpointsConfig a string", {"NetworkingConfig": {"EndpointsConfig": "x"}}),
        ("Ulimits a string", {"HostConfig": {"Ulimits": "x"}}), ("Devices a string", {"HostConfig": {"Devices": "x"}}),
        ("LogConfig a string", {"HostConfig": {"LogConfig": "x"}})):
    @case(f"a wrong type in create: {title}")
    def _(e, body=body):
        e.post(CREATE, {"Image": "busybox", **body})


@case("create: no content type")
def _(e):
    e.post(CREATE, b'{"Image":"busybox"}')


@case("create: text/plain")
def _(e):
    e.post(CREATE, b'{"Image":"busybox"}', headers={"Content-Type": "text/plain"})


@case("create: a form")
def _(e):
    e.post(CREATE, b"Image=busybox", headers={"Content-Type": "application/x-www-form-urlencoded"})


@case("create: JSON with a character set")
def _(e):
    e.post(CREATE, b'{"Image":"busybox"}', headers={"Content-Type": "application/json; charset=utf-8"})


@case("create: JSON in capitals")
def _(e):
    e.post(CREATE, b'{"Image":"busybox"}', headers={"Content-Type": "APPLICATION/JSON"})


@case("create: a content type that is none")
def _(e):
    e.post(CREATE, b'{"Image":"busybox"}', headers={"Content-Type": ";;"})


@case("a broken query is read as far as it goes")
def _(e):
    e.get("/containers/json?all=%zz&limit=1")


@case("a path with a broken escape")
def _(e):
    e.get("/containers/%zz/json")


@case("a path with an encoded slash")
def _(e):
    e.get("/containers/a%2Fb/json")


@case("a very long name")
def _(e):
    e.get("/containers/" + "x" * 200 + "/json")


@case("a body for a call that takes none")
def _(e):
    e.get("/version", body=b"{}", headers={"Content-Length": "2"})


@case("a large environment is taken")
def _(e):
    e.post(CREATE, {"Image": "busybox", "Env": [f"V{i}=" + "x" * 100 for i in range(2000)]})


table(("1.41",),
      ("exec start: a list for a body", "POST", "/exec/nothing/start", b"[]"),
      ("commit: none such", "POST", "/commit?container=nobody"),
      ("build: an empty body", "POST", "/build"),
      ("load: an empty body", "POST", "/images/load"),
      ("images get: none such", "GET", "/images/get?names=nothing"),
      ("update: none such", "POST", "/containers/nobody/update", {}),
      ("top: none such", "GET", "/containers/nobody/top"),
      ("stats: none such", "GET", "/containers/nobody/stats?stream=0"),
      ("changes: none such", "GET", "/containers/nobody/changes"),
      ("export: none such", "GET", "/containers/nobody/export"),
      ("pause: none such", "POST", "/containers/nobody/pause"),
      ("unpause: none such", "POST", "/containers/nobody/unpause"),
      ("archive: none such", "GET", "/containers/nobody/archive?path=/"),
      ("archive HEAD: none such", "HEAD", "/containers/nobody/archive?path=/"),
      ("archive PUT: none such", "PUT", "/containers/nobody/archive?path=/", b""))
