#!/usr/bin/env bash
# Baked mode: the image already holds the agent; there is no second container.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
export SOCKERLESS_AGENT_MODE=baked
engine_start baked

echoes() { eq hi "$(docker run --rm baked echo hi)"; }
t "run in an image that holds the agent" echoes
t "its exit status" status 42 docker run --rm baked sh -c 'exit 42'
input() { eq 'through stdin' "$(echo through stdin | docker run --rm -i baked cat)"; }
t "its stdin" input
execs() {
	docker run -d --name bk baked sleep 1000
	eq hello "$(echo hello | docker exec -i bk cat)"
	status 7 docker exec bk sh -c 'exit 7'
	docker stop -t 1 bk
	docker rm bk
}
t "exec and stop" execs

finish
