#!/usr/bin/env bash
# Health checks: states, events, the log of the probes, and who runs them when.
. "$(dirname "$0")/lib.sh"
engine_start busybox

health() { docker inspect -f '{{.State.Health.Status}}' "$1"; }
is_health() { [ "$(health "$1")" = "$2" ]; }
probes() { docker inspect -f '{{len .State.Health.Log}}' "$1"; }
has_probes() { [ "$(probes "$1")" -ge "$2" ]; }
actions() { # name
	docker events --since 0 --until "$(date +%s.%N)" --filter "container=$1" --filter type=container --format '{{.Action}}'
}
api() { # method path [body]
	curl -s --unix-socket "$T/docker.sock" -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "http://d$2"
}

changes() {
	docker run -d --name sick --health-cmd 'echo probe; test -e /ok' --health-interval 500ms --health-retries 5 busybox sleep 1000
	eq starting "$(health sick)"
	has "$(docker ps --format '{{.Status}}')" '(health: starting)'
	until_true 20 is_health sick unhealthy
	has "$(docker ps --format '{{.Status}}')" '(unhealthy)'
	docker exec sick touch /ok
	until_true 20 is_health sick healthy
	has "$(docker ps --format '{{.Status}}')" '(healthy)'
	eq 0 "$(docker inspect -f '{{.State.Health.FailingStreak}}' sick)"
	eq sick "$(docker ps --filter health=healthy --format '{{.Names}}')"
	eq '' "$(docker ps --filter health=unhealthy --format '{{.Names}}')"
	until_true 10 has_probes sick 5
	sleep 1
	eq 5 "$(probes sick)" 'the last five'
	eq '"probe\n"' "$(docker inspect -f '{{json (index .State.Health.Log 4).Output}}' sick)"
	local told
	told=$(actions sick)
	has "$told" 'health_status: unhealthy'
	has "$told" 'health_status: healthy'
	has "$told" 'exec_create: /bin/sh -c echo probe; test -e /ok'
	has "$told" 'exec_start: /bin/sh -c echo probe; test -e /ok'
	has "$told" exec_die
	docker stop -t 0 sick
	eq unhealthy "$(health sick)"
	lacks "$(docker ps -a --format '{{.Status}}')" healthy
	docker start sick
	eq starting "$(health sick)"
	docker rm -f sick
}
t "starting, unhealthy, healthy, and a new start" changes

timeouts() {
	docker run -d --name slow --health-cmd 'echo out; sleep 100' --health-interval 500ms --health-retries 1 --health-timeout 1s \
		busybox sleep 1000
	until_true 20 is_health slow unhealthy
	eq -1 "$(docker inspect -f '{{(index .State.Health.Log 0).ExitCode}}' slow)"
	has "$(docker inspect -f '{{(index .State.Health.Log 0).Output}}' slow)" 'Health check exceeded timeout (1s)'
	docker rm -f slow
}
t "a probe that takes too long" timeouts

missing() {
	api POST '/containers/create?name=missing' \
		'{"Image":"busybox","Cmd":["sleep","1000"],"Healthcheck":{"Test":["CMD","nosuch"],"Interval":500000000,"Retries":1}}'
	docker start missing
	until_true 20 is_health missing unhealthy
	eq -1 "$(docker inspect -f '{{(index .State.Health.Log 0).ExitCode}}' missing)"
	has "$(docker inspect -f '{{(index .State.Health.Log 0).Output}}' missing)" 'executable file not found in $PATH'
	lacks "$(actions missing)" exec_die
	docker rm -f missing
}
t "a probe that cannot be run" missing

long() {
	docker run -d --name wordy --health-cmd 'head -c 9000 /dev/zero | tr "\0" x' --health-interval 500ms busybox sleep 1000
	until_true 20 has_probes wordy 1
	eq 4099 "$(docker inspect -f '{{len (index .State.Health.Log 0).Output}}' wordy)" '4096 and three dots'
	docker rm -f wordy
}
t "long output is cut" long

none() {
	docker run -d --name none --no-healthcheck busybox sleep 1000
	eq null "$(docker inspect -f '{{json .State.Health}}' none)"
	eq none "$(docker ps --filter health=none --format '{{.Names}}')"
	docker rm -f none
	local text rc=0
	text=$(docker run --health-cmd true --health-interval 5ns busybox true 2>&1) || rc=$?
	eq 125 $rc
	has "$text" 'Interval in Healthcheck cannot be less than 1ms'
}
t "no check, and a bad one" none

start_period() {
	gateway_only # start intervals came with API 1.44
	docker run -d --name young --health-cmd false --health-interval 300ms --health-retries 1 --health-start-period 60s \
		--health-start-interval 300ms busybox sleep 1000
	until_true 20 has_probes young 2
	eq 'starting 0' "$(docker inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' young)"
	docker rm -f young
}
t "failures in the start period do not count" start_period

paused() {
	docker run -d --name ice --health-cmd true --health-interval 300ms busybox sleep 1000
	until_true 20 is_health ice healthy
	docker pause ice
	sleep 0.5
	local before
	before=$(docker inspect -f '{{json .State.Health.Log}}' ice)
	sleep 1
	eq "$before" "$(docker inspect -f '{{json .State.Health.Log}}' ice)" 'nobody probes'
	docker unpause ice
	until_true 20 is_health ice healthy
	docker rm -f ice
}
t "no probe while it is paused" paused

survives() {
	gateway_only
	docker run -d --name survivor --health-cmd true --health-interval 500ms busybox sleep 1000
	until_true 20 is_health survivor healthy
	until_true 20 has_probes survivor 5
	engine_kill
	gateway_run
	eq healthy "$(health survivor)"
	local last
	last=$(docker inspect -f '{{(index .State.Health.Log 4).Start}}' survivor)
	until_true 20 eval '[ "$(docker inspect -f "{{(index .State.Health.Log 4).Start}}" survivor)" != "$last" ]'
	eq healthy "$(health survivor)"
	docker rm -f survivor
}
t "the gateway is killed and comes back" survives

finish
