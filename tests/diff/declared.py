"""declared - the differences that are meant. One that is not here fails the test, and so does one that is
here and no longer seen.

{row: [(case, path, values), …]}: row is the first cell of a row in docs/docker-api-mapping.md, "Where the two differ
on purpose", which has the reason; case and path are shell patterns, the path as a failure prints it; values is what
the two say, (ours, theirs): in a text * is anything and {} the same on both sides. Or it is a function of both."""

ABSENT, TIME, HEX, ID = "(absent)", "<time>", "<hex>", "<container *>"
MESSAGE = "0 answer.body.message"
STATUS = "0 answer.status"
NOT_HERE = "* is not available: containers run on Cloud Run, and this gateway does not implement the call"


# ---- what two values may have to do with each other ----

def no_file_type(ours, theirs):
    """A tar header's mode, with and without the type of the file."""
    return int(ours, 0) == int(theirs, 0) & 0o7777


def folder_size(ours, theirs):
    """What the file systems of the two say of the same folder."""
    return ours > 0 and theirs > 0


def compressed(ours, theirs):
    return type(ours) is type(theirs) is int and 0 < ours < theirs


def engine_alone(ours, theirs):
    """Components of `docker version`."""
    return ([c["Name"] for c in ours], [c["Name"] for c in theirs]) == (
        ["Engine"], ["Engine", "containerd", "runc", "docker-init"])


def no_download(ours, theirs):
    """The lines of a pull: layers are told as begun and complete, or as there, without what comes between."""
    between = ("Downloading", "Download complete", "Verifying Checksum", "Extracting")
    return ([l for l in ours if l["status"] != "Already exists"]
            == [l for l in theirs if l["status"] not in between])


def no_layers(ours, theirs):
    """What rmi has removed: the names and the image."""
    return len(theirs) > len(ours) and theirs[:len(ours)] == ours and all(list(l) == ["Deleted"] for l in theirs[len(ours):])


def bytes_kept(ours, theirs):
    """A note has bytes as Latin-1: U+FFFD, three of them, stands where dockerd has thrown one away."""
    return ours != theirs and ours.replace("\xff", "\xef\xbf\xbd") == theirs


def fewer(*names):
    """A list of which only these are here; dockerd has more."""
    return lambda ours, theirs: ours == list(names) and set(names) < set(theirs)


def type_told(ours, theirs):
    """json: cannot unmarshal WHAT into Go struct field WHERE of type KIND: the same field, Go's name of the type or
    ours, and the field's path with or without those above it."""
    here, there = (text.replace("json: cannot unmarshal ", "").replace(" into Go struct field ", " into ").partition(" of type ")
                   for text in (ours, theirs))
    return here[0].rpartition(".")[2] == there[0].rpartition(".")[2] and ours.startswith("json: cannot unmarshal ") and bool(there[2])


def of_status(*cases, ours=400, theirs=500):
    return [(case, STATUS, (ours, theirs)) for case in cases]


def unavailable(case, message, status, path=MESSAGE, theirs="*"):
    return [(case, path, (message, theirs)), (case, STATUS, (501, status))]


DECLARED = {
    "Newest version": [
        ("*", "*.headers.api-version", ("1.55", "1.41")),
        ("*", "*.headers.builder-version", ("1", ABSENT)),
        ("*", "*.headers.swarm", ("inactive", ABSENT)),
        ("*version*", "*.body.ApiVersion", ("1.55", "1.41")),
        ("*version*", "*.body.MinAPIVersion", ("1.24", "1.12")),
        ("a * too new", MESSAGE, ("client version {} is too new. Maximum supported API version is 1.55",
                                  "client version {} is too new. Maximum supported API version is 1.41")),
        ("a version*", "0 answer.body", ("client version {} is too old. Minimum supported API version is 1.24, {}",
                                         "client version {} is too old. Minimum supported API version is 1.12, {}")),
        ("a body for a call that takes none", "*.body.ApiVersion", ("1.55", "1.41")),
        ("a body for a call that takes none", "*.body.MinAPIVersion", ("1.24", "1.12")),
    ],
    "Who answers": [
        ("*", "*.body.Platform.Name", ("Sockerless Gateway for Cloud Run", "")),
        ("*", "*.body.BuildTime", ("", TIME)),
        ("*", "*.body.GitCommit", ("", "*")),
        ("*", "*.body.GoVersion", ("", "go*")),
        ("*", "*.body.Version", ("0.*", "20.10.*")),
        ("*", "*.body.Components.length", engine_alone),
        ("info*", "*.body.ServerVersion", ("0.*", "20.10.*")),
        ("info*", "*.body.Name", ("sockerless-*", "*")),
        ("info*", "*.body.ID", ("*", "*:*:*:*:*:*:*:*:*:*:*:*")),
        ("info*", "*.body.OperatingSystem", ("Google Cloud Run (us-central1)", "*")),
        ("info*", "*.body.OSVersion", ("", "*")),
        ("info*", "*.body.DockerRootDir", ("<folder>/state", "<folder>/data")),
        ("info*", "*.body.ContainerdCommit.*", ("", "*")),
        ("info*", "*.body.RuncCommit.*", ("", "*")),
        ("info*", "*.body.InitBinary", ("", "docker-init")),
        ("info*", "*.body.DriverStatus", ([], None)),
        ("info*", "*.body.DefaultRuntime", ("cloudrun", "runc")),
        ("info*", "*.body.Runtimes.cloudrun", ({"path": ""}, ABSENT)),
        ("info*", "*.body.Runtimes.*", (ABSENT, {"path": "runc"})),
        ("info*", "*.body.Plugins.Log.length", fewer("json-file")),
        ("info*", "*.body.Plugins.Network.length", fewer("bridge", "host", "null")),
        ("info*", "*.body.RegistryConfig.*Mirrors.length", lambda ours, theirs: ours == [] and len(theirs) == 1),
        ("info*", "*.body.LiveRestoreEnabled", (True, False)),
    ],
    "Headers on every answer": [
        ("*", "*.headers.api-version", ("1.55", ABSENT)),
        ("*", "*.headers.docker-experimental", ("false", ABSENT)),
        ("*", "*.headers.ostype", ("linux", ABSENT)),
        ("*", "*.headers.server", ("Docker/<version> (linux)", ABSENT)),
        ("a path with a broken escape", "*.headers.connection", (ABSENT, "close")),
    ],
    "HTTP/1.0": [
        ("an HTTP/1.0 client*", "0 line", ("HTTP/1.1 {}", "HTTP/1.0 {}")),
    ],
    "Cloud Run's limits": [
        ("info*", "*.body.CPUS*", (False, True)),
        ("info*", "*.body.CgroupDriver", ("none", "cgroupfs")),
        ("info*", "*.body.CgroupVersion", ("2", "1")),
        ("info*", "*.body.KernelMemory*", (ABSENT, True)),
        ("info*", "*.body.OomKillDisable", (False, True)),
        ("info*", "*.body.PidsLimit", (False, True)),
        ("info*", "*.body.SwapLimit", (False, True)),
        ("info*", "*.body.SecurityOptions.length", lambda ours, theirs: ours == [] and len(theirs) == 1),
        ("inspect*", "*.HostConfig.MemorySwap", (0, 134217728)),
        ("create: CPUs below zero", MESSAGE, ("Range of CPUs is from 0.01 to 8.00, as there are only 8 CPUs available",
                                              "Range of CPUs is from 0.01 to *, as there are only * CPUs available")),
        ("create: an unknown runtime", MESSAGE, ('Runtime "{}" is not available on Cloud Run',
                                                 "Unknown runtime specified {}")),
    ],
    "Storage and runtime": [
        ("*", "*.body.Driver", ("cloudrun", "vfs")),
        ("*", "*.body.GraphDriver.Name", ("cloudrun", "vfs")),
        ("*", "*.body.HostConfig.Runtime", ("cloudrun", "runc")),
        ("*", "*.body.HostConfig.Runtime", ("cloudrun", ABSENT)),
        ("*", "*.body.HostConfig.MaskedPaths", lambda ours, theirs: ours is None and "/proc/kcore" in theirs),
        ("*", "*.body.HostConfig.ReadonlyPaths", lambda ours, theirs: ours is None and "/proc/sys" in theirs),
        ("*", "*.body.HostConfig.CgroupnsMode", ("private", "host")),
    ],
    "Paths of this machine": [
        ("*", "*.body.LogPath", ("", f"<folder>/data/containers/{ID}/{ID}-json.log")),
        ("*", "*.body.HostnamePath", ("", f"<folder>/data/containers/{ID}/hostname")),
        ("*", "*.body.HostsPath", ("", f"<folder>/data/containers/{ID}/hosts")),
        ("*", "*.body.ResolvConfPath", ("", f"<folder>/data/containers/{ID}/resolv.conf")),
        ("*", "*.NetworkSettings.SandboxID", ("", HEX)),
        ("*", "*.NetworkSettings.SandboxKey", ("", f"<folder>/exec/netns/{HEX}")),
    ],
    "No addresses": [
        ("*", "*NetworkSettings.Networks.*.IPAddress", ("", "172.30.0.*")),
        ("*", "*NetworkSettings.Networks.*.Gateway", ("", "172.30.0.1")),
        ("*", "*NetworkSettings.Networks.*.IPPrefixLen", (0, 24)),
        ("*", "*NetworkSettings.Networks.*.MacAddress", ("", "02:42:*")),
        ("inspect*", "*.body.NetworkSettings.IPAddress", ("", "172.30.0.*")),
        ("inspect*", "*.body.NetworkSettings.Gateway", ("", "172.30.0.1")),
        ("inspect*", "*.body.NetworkSettings.IPPrefixLen", (0, 24)),
        ("inspect*", "*.body.NetworkSettings.MacAddress", ("", "02:42:*")),
        ("inspect*", "*.body.NetworkSettings.EndpointID", ("", HEX)),
        ("network *", "*.Containers.*.IPv4Address", ("", "172.30.0.*/24")),
        ("network *", "*.Containers.*.MacAddress", ("", "02:42:*")),
        ("network *", "*.IPAM.Config.length", lambda ours, theirs: ours == [] and set(theirs[0]) == {"Gateway", "Subnet"}),
        ("network *", "*.Options.com.docker.network.*", (ABSENT, "*")),
    ],
    "A start that fails": [
        ("start: *", "*.NetworkID", ("", HEX)),
        ("start: *", "*.EndpointID", ("", HEX)),
    ],
    "Volumes are folders": [
        ("*olume*", "*.Mountpoint", ("gs://sockerless-local-volumes/{}", "<folder>/data/volumes/{}/_data")),
        ("volume: mounts *", "0 mounts.0.Source", ("gs://sockerless-local-volumes/{}", "<folder>/data/volumes/{}/_data")),
        ("volume: mounts *", "*.Mounts.0.Source", ("", "<folder>/data/volumes/*/_data")),
    ],
    "Files in archives": [
        ("archive stat*", "0 stat.2.size", folder_size),
        ("archive *", "*members.*.2", no_file_type),
        ("archive get: a file with a slash behind it", "1 answer.body.message", (
            "lstat {}: not a directory", f"lstat <folder>/data/vfs/dir/{HEX}{{}}: not a directory")),
    ],
    "Sizes": [
        ("*", "*.Size", compressed),
        ("*", "*.VirtualSize", compressed),
    ],
    "Bytes in logs": [
        ("logs: long lines and bytes that are no text", "1 frames.0.1", bytes_kept),
        ("logs: the last line of a long one", "1 frames.0.1", bytes_kept),
    ],
    "Main is not PID 1": [
        ("events: *", "*.exitCode", ("143", "137")),
    ],
    "Errors before a stream": [
        ("attach*", "0 answer.headers.content-type", ("application/json", "application/vnd.docker.raw-stream")),
        ("attach: none such", "0 answer.body", ({"message": "No such container: nobody"}, "No such container: nobody\r\n")),
        ("attach: bad detach keys", "0 answer.body", ({"message": "Invalid detach keys (ctrl-nonsense) provided"},
                                                      "Invalid detach keys (ctrl-nonsense) provided\r\n")),
        ("attach by websocket: no upgrade", "0 answer.headers.content-type", ("application/json", ABSENT)),
        ("attach by websocket: no upgrade", "0 answer.body", (
            {"message": "attach/ws wants a WebSocket handshake (Upgrade: websocket, Sec-WebSocket-Key)"},
            "not websocket protocol")),
        ("exec: started twice", "*.headers.content-type", ("application/json", "application/vnd.docker.raw-stream")),
        ("exec: started twice", "*.status", (409, 200)),
        ("exec: started twice", "*.body", lambda ours, theirs: theirs[8:] == ours["message"] + "\r\n"),
    ],
    "An exec outlives the run": [
        ("exec: the container has ended meanwhile", MESSAGE, (f"Container {ID} is not running", "No such exec instance: <exec 1>")),
        ("exec: the container has ended meanwhile", STATUS, (409, 404)),
        ("exec: the container has ended meanwhile", "1 answer.status", (200, 404)),
        ("exec: the container has ended meanwhile", "1 answer.body.message", (ABSENT, "No such exec instance: <exec 1>")),
        *(("exec: the container has ended meanwhile", f"1 answer.body.{name}", (value, ABSENT)) for name, value in (
            ("ID", "<exec 1>"), ("ContainerID", ID), ("CanRemove", False), ("DetachKeys", ""), ("ExitCode", None),
            ("OpenStdin", False), ("OpenStdout", True), ("OpenStderr", True), ("Running", False), ("Pid", "<int>"),
            ("ProcessConfig", {"tty": False, "entrypoint": "true", "arguments": [], "privileged": False}))),
    ],
    "Not available": [
        *unavailable("build: an empty body", "this gateway does not build images: *", 500),
        *unavailable("commit: none such", "this gateway does not commit containers: *", 404),
        *unavailable("a session without an upgrade", "this gateway does not build images: *", 400),
        *unavailable("image search: without a term", "this gateway does not search registries: *", 500),
        *unavailable("plugin privileges", {"message": NOT_HERE.replace("*", "GET /plugins/privileges")}, 200, "0 answer.body", []),
        *unavailable("plugin pull", NOT_HERE, 500),
        *unavailable("plugin create: an empty body", NOT_HERE, 500, theirs="no rootfs found: EOF"),
        ("checkpoint list", MESSAGE, (NOT_HERE, "This experimental feature is disabled by default. *")),
        ("start: a checkpoint", MESSAGE, ("checkpoints are not available on Cloud Run",
                                          "checkpoint is only supported in experimental mode")),
    ],
    "An image is needed": [
        ("create: no image", MESSAGE, ("no image is given", ABSENT)),
        ("create: no image", STATUS, (400, 201)),
        ("create: no image", "0 answer.body.Id", (ABSENT, ID)),
        ("create: no image", "0 answer.body.Warnings", (ABSENT, [])),
    ],
    "Registries": [
        ("image pull: a registry that does not answer", MESSAGE, (
            "registry 127.0.0.1:1: *: Failed to connect to 127.0.0.1 port 1 *", "Get *: connect: connection refused")),
        ("auth at a registry that does not answer", MESSAGE, (
            "login attempt to https://127.0.0.1:1/v2/ failed: registry 127.0.0.1:1: *: Failed to connect to *",
            "Get *: connect: connection refused")),
        *of_status("image pull: a registry that does not answer", "auth at a registry that does not answer", ours=503),
        ("image pull: without a name", MESSAGE, ("fromImage is missing", 'Get "http:": http: no Host in request URL')),
        *of_status("image pull: without a name"),
        ("image pull: by digest", "0 answer.body.lines.length", no_download),
        ("image pull: the first time, and remove", "0 answer.body.lines.length", no_download),
        ("image pull: the first time, and remove", "*.LastTagTime", (TIME, "0001-01-01T00:00:00Z")),
        ("image pull: the first time, and remove", "2 answer.body.length", no_layers),
        ("distribution", "*.Platforms", ([{"architecture": "amd64", "os": "linux"}], None)),
        ("image push: none such", STATUS, (200, 400)),
        ("image push: none such", MESSAGE, (ABSENT, "Bad parameters and missing X-Registry-Auth: EOF")),
        ("image push: none such", "0 answer.body.lines", lambda ours, theirs: theirs == ABSENT and ours[-1]["error"].startswith(
            "An image does not exist locally with the tag: ")),
    ],
    "Words of newer engines": [
        ("*", "*.message", ("unsupported Content-Type header ({}): must be 'application/json'",
                            "Content-Type specified ({}) must be 'application/json'")),
        ("*: *body", MESSAGE, ("invalid JSON: got EOF while reading request body", "got EOF while reading request body")),
        ("*", MESSAGE, ("invalid filter '{}'", "Invalid filter '{}'")),
        ("*", MESSAGE, ("No such image: {}", "no such image: *: No such image: {}")),
        ("image pull: the first time, and remove", "3 answer.body.message",
         ("No such image: {}", "no such image: *: No such image: {}")),
        ("image inspect: a name that is none", MESSAGE, ("{}", "no such image: UPPER: {}")),
        ("network create: a bad subnet", MESSAGE, ("invalid network config:\ninvalid subnet {}: invalid CIDR block notation",
                                                   "Invalid subnet {} : invalid CIDR address: nonsense")),
        ("list filter: * a container that is not there", MESSAGE, ("No such container: {}", "no such container {}")),
        *of_status("list filter: * a container that is not there", ours=404),
        ("list filter: expose backwards", MESSAGE, ("{}: invalid range specified for port: {}",
                                                    "{}: Invalid range specified for the Port: {}")),
        ("*", "*.HostConfig.RestartPolicy.Name", ("no", "")),
        ("create: a bad port", MESSAGE, ('invalid port specification: "{}/tcp"', 'invalid port specification: "{}"')),
        ("an ID prefix that many have is refused", "0 status", (400, 500)),
        ("an ID prefix that many have is refused", "1 says", ("m{}", "M{}")),
        *((case, path, ("failed to create task for container: failed to create shim task: OCI runtime create failed: {}",
                        "failed to create shim task: OCI runtime create failed: runc create failed: {}"))
          for case, path in (("start: *", MESSAGE), ("start: *", "1 answer.body.State.Error"),
                             ("wait: AutoRemove of one that cannot start", MESSAGE))),
        *(("start: an unknown *", path, ("failed to create task for container: failed to create shim task: OCI runtime "
                                         "create failed: unable to start container process: {}: unknown", "{}"))
          for path in (MESSAGE, "1 state.Error")),
        ("start: an unknown user", "1 state.ExitCode", (126, 128)),
        ("wait: a condition that is none", "0 status", (400, 200)),
        ("exec: a working directory that is not there", "1 bytes", ("*chdir to cwd ({}) failed: {}",
                                                                    "*chdir to cwd ({}) set in config.json failed: {}")),
        ("exec: a program that is not there*", "*.ExitCode", (127, 126)),
        ("exec resize: ended", "2 answer.body.message", ("Exec <exec 1> is not running", "cannot resize a stopped container: unknown")),
        ("exec resize: ended", "2 answer.status", (409, 500)),
        ("events*", "*.execDuration", ("<str>", ABSENT)),
        ("resize: a negative h", "0 answer.body", ({"message": "invalid terminal size: -1 rows, 10 columns"}, "")),
        ("resize: a negative h", "0 answer.headers.content-type", ("application/json", ABSENT)),
        ("resize: a negative h", STATUS, (400, 200)),
        ("plugin upgrade: none such", MESSAGE, ('plugin "nothing" not found', 'plugin "nothing:latest" not found')),
        ("volume create: without a name", "*.Labels", ({"com.docker.volume.anonymous": ""}, None)),
        ("volume update: not a cluster", MESSAGE, ("This node is not a swarm manager. *", "page not found")),
        ("volume update: not a cluster", STATUS, (503, 404)),
        ("load: an empty body", "*.error", ("Error processing tar file: Unrecognized archive format",
                                            "open <folder>/data/tmp/*: no such file or directory")),
        ("load: an empty body", "*.errorDetail.message", ("Error processing tar file: Unrecognized archive format",
                                                          "open <folder>/data/tmp/*: no such file or directory")),
        ("image list: filter reference, a pattern", "*.RepoDigests", ([], None)),
    ],
    "400 for bad input": [
        *of_status("a wrong type in create: *", "bad JSON in create: *", "auth without a body", "archive put: into a file",
                   "create: a relative volume", "events: * that is none", "events: filters that are no JSON",
                   "exec create: bad detach keys", "image list: filters that are no JSON", "image tag: a bad *",
                   "image tag: without a name", "kill: a negative number", "kill: an unknown number",
                   "list filter: a list", "list filter: a string for a list", "list filter: both forms mixed",
                   "list filter: expose *", "list filter: publish that is no port", "list filter: exited that is no number",
                   "list filter: not JSON", "list filter: numbers in the list", "list: a limit that is no number",
                   "logs: a* that is none", "network create: a bad subnet", "network create: an empty name",
                   "network create: no name", "network list: a type that is none", "prune: an until that is none",
                   "prune: two untils", "start: an unknown *", "* t that is no number"),
        *of_status("bad JSON in create: two objects", theirs=404),
    ],
    "JSON errors": [
        ("a wrong type in create: *", MESSAGE, type_told),
        ("auth without a body", MESSAGE, ("invalid JSON: got EOF while reading request body", "EOF")),
        ("events: filters that are no JSON", MESSAGE, ("invalid filters: '[' or '{' expected near 'x'",
                                                       "invalid character 'x' looking for beginning of value")),
        ("image list: filters that are no JSON", MESSAGE, ("invalid filters: '[' or '{' expected near 'x'",
                                                           "invalid character 'x' looking for beginning of value")),
        *((f"bad JSON in create: {case}", MESSAGE, (f"invalid JSON: {ours}", theirs)) for case, ours, theirs in (
            ("an empty body", "got EOF while reading request body", "EOF"),
            ("only blanks", "'[' or '{' expected near end of file at byte 3", "EOF"),
            ("not JSON", "'[' or '{' expected near 'nonsense' at byte 8", "invalid character 'o' in literal null (expecting 'u')"),
            ("half an object", "unexpected token near end of file at byte 9", "unexpected EOF"),
            ("a list", "an object is wanted", "json: cannot unmarshal array into Go value of type *"),
            ("a string", "'[' or '{' expected near '\"x\"' at byte 3", "json: cannot unmarshal string into Go value of type *"),
            ("a number", "'[' or '{' expected near '1' at byte 1", "json: cannot unmarshal number into Go value of type *"),
            ("a comma too many", "string or '}' expected near '}' at byte 20",
             "invalid character '}' looking for beginning of object key string"),
            ("two objects", "end of file expected near '{' at byte 20", "No such image: nothing:latest"),
            ("bytes that are no text", "unable to decode byte 0xff near '\"' at byte 10", "invalid reference format"),
            ("a bad escape", "invalid escape near '\"\\q' at byte 12", "invalid character 'q' in string escape code"),
            ("a line break in a string", "unexpected newline near '\"a' at byte 11", "invalid character '\\n' in string literal"))),
        *((f"list filter: {case}", MESSAGE, (f"invalid filter{ours}", theirs)) for case, ours, theirs in (
            ("not JSON", "s: '[' or '{' expected near 'nonsense'", "invalid character 'o' in literal null (expecting 'u')"),
            ("a list", "s: an object is wanted", "json: cannot unmarshal array into Go value of type *"),
            ("a string for a list", " 'status': a list of values is wanted", "json: cannot unmarshal string into Go value of type *"),
            ("numbers in the list", " 'status': a list of strings is wanted", "json: cannot unmarshal array into Go value of type *"),
            ("both forms mixed", "s: lists and maps of values are mixed", "json: cannot unmarshal array into Go value of type *"))),
    ],
}
