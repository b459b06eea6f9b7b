#!/usr/bin/env bash
# Restart policies: main is run again inside its execution, as dockerd's restart manager does it.
. "$(dirname "$0")/lib.sh"
engine_start busybox configured

count() { docker inspect -f '{{.RestartCount}}' "$1"; }
has_count() { [ "$(count "$1")" -ge "$2" ]; }
lines() { docker logs "$1" 2>&1 | grep -c "$2"; }
actions() { # name [filters]: what happened to it so far, in order
	docker events --since 0 --until "$(date +%s.%N)" --filter "container=$1" --filter type=container "${@:2}" --format '{{.Action}}' | xargs
}

on_failure() {
	docker run -d --name again --restart on-failure:2 busybox sh -c 'while [ ! -e /go ]; do sleep 0.05; done; echo "run $$"; sleep 0.2; exit 3'
	docker exec again touch /go # the gateway hears of every run, also where it has to dial first
	until_true 20 is_state again exited
	eq 'false false 3 2' "$(docker inspect -f '{{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}} {{.RestartCount}}' again)"
	eq 3 "$(lines again run)"
	eq 'create start die start die start die' "$(actions again -f event=create -f event=start -f event=die)"
	docker update --restart no again
	docker start again
	eq 0 "$(count again)" 'a start by hand counts afresh'
	docker rm -f again
}
t "on-failure:2 runs it three times" on_failure

success() {
	docker run -d --name fine --restart on-failure busybox sh -c 'sleep 0.2; exit 0'
	until_true 20 is_state fine exited
	eq '0 0' "$(docker inspect -f '{{.State.ExitCode}} {{.RestartCount}}' fine)"
	docker rm fine
}
t "on-failure leaves a success alone" success

restarting() {
	docker run -d --name loop --restart always busybox sh -c 'echo run; exit 3'
	until_true 20 has_count loop 4
	until_true 20 is_state loop restarting
	eq 'true true 3 0' "$(docker inspect -f '{{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}} {{.State.Pid}}' loop)"
	has "$(docker ps --format '{{.Status}}')" 'Restarting (3) '
	eq loop "$(docker ps --filter status=restarting --format '{{.Names}}')"
	local text rc=0
	text=$(docker exec loop true 2>&1) || rc=$?
	eq 1 $rc
	has "$text" 'is restarting, wait until the container is running'
	text=$(docker rm loop 2>&1) && fail 'removed'
	has "$text" 'You cannot remove a restarting container'
	text=$(docker pause loop 2>&1) && fail 'paused'
	has "$text" 'is restarting'
	within 5 docker stop -t 3 loop
	eq 'exited false false 3' "$(docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Restarting}} {{.State.ExitCode}}' loop)"
	docker rm loop
}
t "the state between two runs, and stop ends it" restarting

kept() {
	docker run -d --name kept --restart always busybox sh -c 'date >>/kept; wc -l </kept; sleep 0.1; exit 1'
	until_true 20 log_has kept 3
	docker kill kept
	until_true 10 is_state kept exited
	[[ $(docker logs kept | xargs) == 1\ 2\ 3* ]] || fail "$(docker logs kept)"
	docker rm kept
}
t "files are kept from run to run" kept

ends_streams() {
	docker create --name ends --restart on-failure:1 busybox sh -c 'echo one; sleep 0.5; exit 4'
	docker start -a ends >"$T/attached" || true
	eq one "$(cat "$T/attached")" 'an attached client sees one run'
	until_true 10 is_state ends exited
	eq 2 "$(lines ends one)"
	docker rm ends
}
t "an attached client's stream ends with the run" ends_streams

waits() {
	docker create --name waited --restart on-failure:1 busybox sh -c 'sleep 1; exit 6'
	docker start waited
	eq 6 "$(docker wait waited)"
	eq true "$(state waited Running)" 'that was the first of two'
	until_true 10 is_state waited exited
	docker rm waited
}
t "wait is answered by the first exit" waits

killed_inside() {
	docker run -d --name self --restart unless-stopped busybox sh -c 'trap "exit 5" USR1; echo up; while :; do sleep 0.1; done'
	until_true 10 log_has self up
	local pid
	pid=$(docker exec self sh -c 'for p in /proc/[0-9]*; do grep -qs "trap" $p/cmdline && echo ${p#/proc/} && break; done')
	docker exec self kill -USR1 "$pid"
	until_true 10 has_count self 1
	until_true 10 is_state self running
	within 10 docker stop -t 1 self
	sleep 0.5
	is_state self exited
	eq 1 "$(count self)"
	docker start self
	is_state self running
	docker rm -f self
}
t "a crash restarts it, docker stop does not" killed_inside

killed() {
	docker run -d --name shot --restart always busybox sleep 1000
	docker kill shot
	until_true 5 is_state shot exited
	eq 137 "$(state shot ExitCode)"
	docker rm shot
}
t "docker kill is final, too" killed

by_hand() {
	docker run -d --name hand --restart always busybox sh -c 'echo up; trap "exit 7" TERM; while :; do sleep 0.1; done'
	until_true 10 log_has hand up
	docker restart -t 3 hand
	is_state hand running
	eq 0 "$(count hand)"
	docker rm -f hand
}
t "docker restart of one with a policy" by_hand

forced() {
	docker run -d --name gone --restart always busybox false
	until_true 10 is_state gone restarting
	within 10 docker rm -f gone
	status 1 docker inspect gone
}
t "rm -f between two runs" forced

auto_remove() {
	local text
	text=$(docker run --rm --restart always busybox true 2>&1) && fail started
	[[ $text == *"onflicting options"* || $text == *"can't create 'AutoRemove' container with restart policy"* ]] || fail "$text"
	eq 400 "$(curl -s --unix-socket "$T/docker.sock" -o "$T/out" -w '%{http_code}' -H 'Content-Type: application/json' -d \
		'{"Image":"busybox","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}' http://d/containers/create)"
	has "$(cat "$T/out")" "can't create 'AutoRemove' container with restart policy"
}
t "--rm and a policy exclude each other" auto_remove

updates() {
	docker run -d --name changed busybox sh -c 'echo up; while :; do sleep 0.1; [ -e /stop ] && rm /stop && exit 3; done'
	docker update --restart on-failure:3 changed
	eq 'on-failure 3' "$(docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' changed)"
	until_true 10 log_has changed up
	docker exec changed touch /stop
	until_true 10 has_count changed 1
	until_true 10 is_state changed running
	docker update --restart no changed
	until_true 10 eval '[ "$(docker logs changed | wc -l)" = 2 ]'
	docker exec changed touch /stop
	until_true 10 is_state changed exited
	eq '3 1' "$(docker inspect -f '{{.State.ExitCode}} {{.RestartCount}}' changed)"
	docker rm changed
}
t "update changes the policy of a running container" updates

survives() {
	gateway_only
	docker run -d --name survivor --restart always busybox sh -c 'echo up; sleep 1; exit 9'
	until_true 10 has_count survivor 1
	engine_kill
	sleep 2.5
	gateway_run
	until_true 20 has_count survivor 2
	until_true 20 is_state survivor running
	docker exec survivor true || true
	within 10 docker stop -t 1 survivor
	sleep 1.5
	is_state survivor exited
	docker rm survivor
}
t "the gateway is killed and comes back" survives

lose() { # name: its execution ends without its doing
	local jobs execution id
	jobs=$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs
	id=$(docker inspect -f '{{.Id}}' "$1")
	execution=$(curl -sf "$jobs/sockerless-${id:0:12}/executions" | jq -re '.executions[0].name')
	curl -sf -X POST -H 'Content-Type: application/json' -d '{}' "$(local_json emulator)/v2/$execution:cancel"
}
knobs() { curl -sSf -m 10 -d "$1" "$(local_json emulator)/emulator/v1/knobs" >/dev/null; }

lost() {
	gateway_only
	docker run -d --name lost --restart always busybox sh -c 'echo run; sleep 1000'
	until_true 10 log_has lost run
	local first
	first=$(state lost StartedAt)
	lose lost
	until_true 30 has_count lost 1
	until_true 30 is_state lost running
	[ "$(state lost StartedAt)" != "$first" ] || fail 'the same run'
	eq 'run run' "$(docker logs lost | xargs)"
	eq hi "$(docker exec lost echo hi)"
	docker rm -f lost
}
t "a lost execution has a successor" lost

# The first pause is a second; refused starts make it longer.
pausing() { # name
	local id
	docker run -d --name "$1" --restart always busybox sh -c 'echo run; sleep 1000'
	until_true 10 log_has "$1" run
	knobs '{"errors":[{"method":"*","path":":run","status":400,"count":2}]}'
	lose "$1"
	id=$(docker inspect -f '{{.Id}}' "$1")
	until_true 30 grep -q "a new execution follows container=${id:0:12} lost=3" "$T/engine.log"
}

start_fails() {
	gateway_only
	pausing unlucky
	eq restarting "$(state unlucky Status)"
	until_true 30 is_state unlucky running
	eq 'run run' "$(docker logs unlucky | xargs)"
	docker rm -f unlucky
}
t "a successor that cannot be started is tried again" start_fails

stops_in_pause() {
	gateway_only
	pausing stopped
	within 2 docker stop stopped
	eq 'exited false' "$(docker inspect -f '{{.State.Status}} {{.State.Restarting}}' stopped)"
	docker start stopped
	eq hi "$(docker exec stopped echo hi)"
	eq 0 "$(count stopped)"
	docker rm -f stopped
}
t "stop while a successor waits" stops_in_pause

# Its agent has told the end and is still there, and the pause is a second. A stop that took the agent for a living one waited.
stops_at_once() {
	gateway_only
	local port id
	docker run -d --name sudden --restart always -p 127.0.0.1:0:80 busybox sh -c 'echo run; sleep 1000'
	until_true 10 log_has sudden run
	port=$(docker port sudden 80)
	id=$(docker inspect -f '{{.Id}}' sudden)
	lose sudden
	until_true 30 grep -q "a new execution follows container=${id:0:12} lost=1" "$T/engine.log"
	within 5 docker stop -t 10 sudden
	is_state sudden exited
	sleep 1.2
	is_state sudden exited
	docker run -d --name next -p "$port:80" busybox sleep 1000
	docker rm -f sudden next
}
t "stop as soon as the execution is lost; its ports are free" stops_at_once

removed_in_pause() {
	gateway_only
	pausing removed
	within 5 docker rm -f removed
	status 1 docker inspect removed
}
t "rm -f while a successor waits" removed_in_pause

# The first copies are asked for in the pause, the last ones while the execution is made.
copies() {
	gateway_only
	local id i
	docker run -d --name copied --restart always busybox sh -c 'echo run; sleep 1000'
	until_true 10 log_has copied run
	knobs '{"startLatencyMs": 2000}'
	lose copied
	id=$(docker inspect -f '{{.Id}}' copied)
	until_true 30 grep -q "a new execution follows container=${id:0:12} lost=1" "$T/engine.log"
	for i in {1..16}; do
		curl -s -m 20 --unix-socket "$T/docker.sock" -o /dev/null -w '%{http_code}\n' "http://d/v1.41/containers/copied/archive?path=/etc/passwd" >>"$T/copies" &
		sleep 0.1
	done
	wait
	eq 200 "$(sort -u "$T/copies")"
	docker rm -f copied
}
t "files can be had of one whose successor starts" copies

finish
