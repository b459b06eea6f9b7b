#!/usr/bin/env bash
# stop, kill, wait, restart, rm, rename, ps and inspect: signals arrive, times and codes are true.
. "$(dirname "$0")/lib.sh"
engine_start busybox configured

trapping() { # name
	docker run -d --name "$1" busybox sh -c \
		'trap "echo got TERM; exit 9" TERM; trap "echo got USR1" USR1; echo ready; while :; do sleep 0.1; done'
	until_true 10 log_has "$1" ready
}

stop_term() {
	trapping term
	within 5 docker stop term
	has "$(docker logs term)" 'got TERM'
	eq 'exited 9' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' term)"
	within 5 docker stop term # of a stopped one: nothing to do
	docker rm term
}
t "stop delivers SIGTERM, and the program's own exit code is kept" stop_term

stop_kill() {
	docker run -d --name deaf busybox sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done'
	until_true 10 log_has deaf ready
	local from=$SECONDS
	docker stop -t 1 deaf
	[ $((SECONDS - from)) -le 6 ] || fail "took $((SECONDS - from)) s"
	eq 'exited 137' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' deaf)"
	docker rm deaf
}
t "stop -t 1 kills what does not listen, which gives 137" stop_kill

stop_signal() {
	docker run -d --name usr --entrypoint sh configured -c \
		'trap "echo got USR1; exit 3" USR1; echo ready; while :; do sleep 0.1; done'
	until_true 10 log_has usr ready
	docker stop usr
	eq 3 "$(state usr ExitCode)"
	docker rm usr
}
t "stop uses the image's STOPSIGNAL" stop_signal

kill_usr1() {
	trapping sig
	docker kill -s USR1 sig
	until_true 5 log_has sig 'got USR1'
	docker kill -s SIGUSR1 sig
	is_state sig running
	docker kill sig
	until_true 5 is_state sig exited
	eq 137 "$(state sig ExitCode)"
	local text rc=0
	text=$(docker kill sig 2>&1) || rc=$?
	eq 1 $rc status
	has "$text" 'is not running'
	docker rm sig
}
t "kill -s USR1 arrives; kill ends; a stopped one cannot be killed" kill_usr1

waits() {
	docker run -d --name waited busybox sh -c 'sleep 1; exit 21'
	eq 21 "$(docker wait waited)"
	eq 21 "$(docker wait waited)" 'waiting for one that has ended'
	docker rm waited
}
t "wait gives the exit code, before and after" waits

restarts() {
	docker run -d --name re busybox sh -c 'echo run; trap "exit 0" TERM; while :; do sleep 0.1; done'
	until_true 10 log_has re run
	local first
	first=$(state re StartedAt)
	docker restart -t 2 re
	is_state re running
	[ "$(state re StartedAt)" != "$first" ] || fail "same StartedAt"
	eq hi "$(docker exec re echo hi)"
	until_true 5 eval '[ "$(docker logs re | grep -c run)" = 2 ]'
	docker rm -f re
}
t "restart gives a new run" restarts

former_leaves() {
	gateway_only
	docker run -d --name former busybox sleep 1000
	docker restart -t 0 former
	docker restart -t 0 former
	docker rm -f former
	docker run -d --name former busybox true
	docker start former
	sleep 2 # an agent that was hung up on would call again
	docker rm -f former
	! grep 'agent refused' "$T/engine.log" || fail "a former run's agent went on calling"
}
t "a former run's agent leaves before the next run" former_leaves

started_again() {
	docker create --name twice busybox sh -c 'echo hello; exit 4'
	status 4 docker start -a twice
	status 4 docker start -a twice
	eq "$(printf 'hello\nhello')" "$(docker logs twice)"
	docker rm twice
}
t "the same container is started again" started_again

already() {
	docker run -d --name up busybox sleep 1000
	docker start up # 304: the client says nothing
	local text rc=0
	text=$(docker rm up 2>&1) || rc=$?
	eq 1 $rc status
	has "$text" 'top the container before'
	docker rm -f up
	status 1 docker inspect up
}
t "starting a running one is fine, removing it needs -f" already

rm_auto() {
	docker run -d --rm --name auto busybox sleep 1000
	docker stop -t 1 auto
	until_true 10 eval '! docker inspect auto'
}
t "--rm removes after a stop, too" rm_auto

ps_lists() {
	docker run --name p1 --label team=a busybox true
	docker run -d --name p2 --label team=b busybox sleep 1000
	docker create --name p3 busybox true
	eq p2 "$(docker ps --format '{{.Names}}')"
	eq 'p3 p2 p1' "$(docker ps -a --format '{{.Names}}' | xargs)"
	eq p1 "$(docker ps -a -f status=exited --format '{{.Names}}')"
	eq p2 "$(docker ps -a -f label=team=b --format '{{.Names}}')"
	eq p3 "$(docker ps -a -f name=p3 --format '{{.Names}}')"
	eq p3 "$(docker ps -a -n 1 --format '{{.Names}}')"
	has "$(docker ps -a -f name=p1 --format '{{.Status}}')" 'Exited (0)'
	has "$(docker ps -f name=p2 --format '{{.Status}}')" 'Up '
	eq Created "$(docker ps -a -f name=p3 --format '{{.Status}}')"
	eq '"sleep 1000"' "$(docker ps --no-trunc -f name=p2 --format '{{.Command}}')"
	eq busybox "$(docker ps -f name=p2 --format '{{.Image}}')"
	docker rm -f p1 p2 p3
}
t "ps -a: order, filters, texts" ps_lists

inspects() {
	local before after
	before=$(date +%s)
	docker run -d --name ins busybox sh -c 'sleep 2; exit 5'
	eq 'true 0' "$(docker inspect -f '{{.State.Running}} {{.State.ExitCode}}' ins)"
	docker wait ins
	after=$(date +%s)
	eq 'exited false 5' "$(docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}' ins)"
	local created started finished
	created=$(date -d "$(docker inspect -f '{{.Created}}' ins)" +%s)
	started=$(date -d "$(state ins StartedAt)" +%s)
	finished=$(date -d "$(state ins FinishedAt)" +%s)
	[ "$created" -ge "$before" ] && [ "$started" -ge "$created" ] && [ "$finished" -gt "$started" ] &&
		[ "$finished" -le "$((after + 1))" ] || fail "times $before $created $started $finished $after"
	eq /ins "$(docker inspect -f '{{.Name}}' ins)"
	eq busybox "$(docker inspect -f '{{.Config.Image}}' ins)"
	eq '[sh -c sleep 2; exit 5]' "$(docker inspect -f '{{.Config.Cmd}}' ins)"
	docker rm ins
	docker create --name never busybox true
	eq 'created 0001-01-01T00:00:00Z' "$(docker inspect -f '{{.State.Status}} {{.State.StartedAt}}' never)"
	docker rm never
}
t "inspect has true times and codes" inspects

identifiers() {
	local id
	id=$(docker create --name named busybox true)
	eq 64 ${#id}
	eq /named "$(docker inspect -f '{{.Name}}' "$id")"
	eq /named "$(docker inspect -f '{{.Name}}' "${id:0:12}")"
	docker rename named other
	eq /other "$(docker inspect -f '{{.Name}}' "${id:0:7}")"
	status 1 docker inspect named
	docker rm other
}
t "IDs, prefixes, names and rename" identifiers

missing() {
	local verb text rc
	for verb in start stop kill wait rm logs attach; do
		rc=0
		text=$(docker $verb no-such 2>&1) || rc=$?
		[ $rc -ne 0 ] || fail "docker $verb of a missing container succeeds"
		has "$text" 'No such container: no-such'
	done
}
t "every verb says so when the container is missing" missing

events() {
	local from
	from=$(date +%s.%N)
	docker run --rm --name ev busybox sh -c 'exit 3' || true
	until_true 10 eval '! docker inspect ev'
	docker events --since "$from" --until "$(date +%s.%N)" --filter container=ev \
		--format '{{.Action}} {{index .Actor.Attributes "exitCode"}}' >"$T/events"
	eq 'create attach start die destroy' "$(cut -d' ' -f1 "$T/events" | xargs)"
	has "$(cat "$T/events")" 'die 3'
}
t "events tell create, attach, start, die with its code, destroy" events

attach_gets_all() {
	docker run -d -i --name at busybox sh -c 'read x; echo "got $x"; sleep 0.2; exit 8'
	# Docker ends the output, too, when an attached client ends a stdin that others may still use.
	mkfifo "$T/typed"
	exec 9<>"$T/typed" # it stays open
	echo word >&9
	status 8 docker attach at <&9 >"$T/attached"
	exec 9>&-
	eq 'got word' "$(cat "$T/attached")"
	docker rm at
}
t "attach: input, output and status" attach_gets_all

attach_detached_client() {
	docker run -d --name loose busybox sh -c 'while :; do echo line; sleep 0.1; done'
	timeout -s KILL 2 "$DOCKER" attach --sig-proxy=false loose >/dev/null || true
	is_state loose running
	docker rm -f loose
}
t "an attached client that is killed leaves the container running" attach_detached_client

sig_proxy() {
	timeout 60 "$DOCKER" run --name proxied busybox sh -c \
		'trap "echo got TERM; exit 6" TERM; echo ready; while :; do sleep 0.1; done' >"$T/proxied" &
	local pid=$! rc=0
	until_true 10 grep -q ready "$T/proxied"
	kill -TERM $pid
	wait $pid || rc=$?
	[ $rc = 6 ] || [ $rc = 124 ] || fail "status $rc" # timeout's own, for it was signalled too
	eq 6 "$(state proxied ExitCode)"
	has "$(cat "$T/proxied")" 'got TERM'
	docker rm proxied
}
t "signals to the client go to the program" sig_proxy

versions() {
	eq linux "$(docker version -f '{{.Server.Os}}')"
	docker info >/dev/null
	has "$(DOCKER_API_VERSION=1.24 docker ps -a 2>&1)" CONTAINER
}
t "version and info answer; an old client is served" versions

finish
