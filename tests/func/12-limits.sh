#!/usr/bin/env bash
# Requests beyond a bound: refused with the bound in the sentence, and the connection's next request is served.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run --rm busybox true
api() { curl -s -m 20 --unix-socket "$T/docker.sock" -w '\n%{http_code}' "$@"; }

body() {
	gateway_only
	local out
	head -c 5000000 /dev/zero | tr '\0' 'x' | jq -Rs '{Image: "busybox", Labels: {long: .}}' >"$T/tmp/body"
	out=$(api -H 'Content-Type: application/json' --data-binary "@$T/tmp/body" http://d/v1.41/containers/create)
	eq 413 "${out##*$'\n'}"
	has "$out" 4194304 # its limit
}
t "a JSON body over 4 MiB is 413 and says so" body

# The status of a request of raw bytes, of which the engine may read no more than it likes.
raw() { # python expression
	"$PYTHON" -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(os.environ["DOCKER_HOST"].removeprefix("unix://"))
try:
    s.sendall(eval(sys.argv[1]))
except OSError:
    pass
print(s.recv(100).split()[1].decode())' "$1"
}
endless() { eq 431 "$(raw "$1")"; }
t "headers without end are 431" endless 'b"GET /_ping HTTP/1.1\r\nHost: d\r\nX: " + b"x" * 3000000'
t "a path without end is 431" endless 'b"GET /containers/" + b"x" * 3000000'
nonsense() { eq 400 "$(raw 'b"SSH-2.0-OpenSSH_9.2\r\n\r\n"')"; }
t "what is no HTTP is 400" nonsense

environment() {
	gateway_only
	printf 'LONG=' >"$T/tmp/env"
	head -c 40000 /dev/zero | tr '\0' 'x' >>"$T/tmp/env"
	# shellcheck disable=SC2016  # the container's shell expands it
	eq 40000 "$(docker run --rm --env-file "$T/tmp/env" busybox sh -c 'echo ${#LONG}')"
}
t "a variable beyond what Cloud Run carries in one arrives whole" environment

names() {
	local out
	out=$(docker create --name "$(head -c 5000 /dev/zero | tr '\0' 'x')" busybox true 2>&1) && docker rm -f "$out" >/dev/null
	docker version >/dev/null
}
t "a name of 5000 characters harms nobody" names

execs() {
	docker run -d --name box busybox sleep 100000 >/dev/null
	local out
	out=$(api -H 'Content-Type: application/json' -d '{"Cmd":"not a list"}' http://d/v1.41/containers/box/exec)
	case ${out##*$'\n'} in 201 | 400) ;; *) fail "status ${out##*$'\n'}" ;; esac
	out=$(api -X POST -H 'Content-Type: application/json' -d '{"Cmd":[' http://d/v1.41/containers/box/exec)
	eq 400 "${out##*$'\n'}"
	eq alive "$(docker exec box echo alive)"
	docker rm -f box >/dev/null
}
t "broken bodies are 400 and leave the container alone" execs

finish
