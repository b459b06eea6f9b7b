#!/usr/bin/env bash
# --network container:ID: containers of one task, with one loopback, each with a life of its own.
. "$(dirname "$0")/lib.sh"
engine_start busybox
[ "$MODE" = reverse ] || {
	t "containers that share a network need a callback URL" skip "forward mode"
	finish
}

# In dockerd, a network other than the bridge the harness switches off.
net=()
[ "$ENGINE" = gateway ] || {
	must docker network create shared
	net=(--network shared)
}
serving='echo ready; while :; do echo hello from the owner | nc -l -p 7000 >/dev/null; done'

pair() { # owner member: made in this order, started both
	docker create --name "$1" "${net[@]}" busybox sh -c "${3:-$serving}"
	docker create --name "$2" --network "container:$1" busybox sh -c "${4:-sleep 1000}"
	docker start "$1" "$2"
}

loopback() {
	pair own mem
	until_true 10 log_has own ready
	eq 'hello from the owner' "$(docker exec mem nc -w 5 127.0.0.1 7000)"
	eq "container:$(docker inspect -f '{{.Id}}' own)" "$(docker inspect -f '{{.HostConfig.NetworkMode}}' mem)"
	eq '{}' "$(docker inspect -f '{{json .NetworkSettings.Networks}}' mem)"
	eq "$(docker exec own sh -c 'echo $HOSTNAME')" "$(docker exec mem sh -c 'echo $HOSTNAME')"
	eq 2 "$(docker ps -q | wc -l)"
	docker rm -f mem own
}
t "what one listens on, the other reaches by 127.0.0.1" loopback

lives() {
	pair own mem 'echo from own; trap "exit 3" TERM; while :; do sleep 0.1; done' \
		'echo from mem; read -r line; exit 7'
	until_true 10 log_has own 'from own'
	eq 'from own' "$(docker logs own)"
	until_true 10 log_has mem 'from mem'
	until_true 10 is_state mem exited # no stdin
	eq 7 "$(state mem ExitCode)"
	is_state own running
	eq hi "$(docker exec own echo hi)"
	docker stop own
	eq 3 "$(state own ExitCode)"
	docker rm mem own
}
t "output and exit code are each one's own; a member's end is its own matter" lives

goes_on() {
	pair own mem 'sleep 0.5; exit 4' 'trap "exit 5" TERM; while :; do sleep 0.1; done'
	until_true 10 is_state own exited
	eq 4 "$(state own ExitCode)"
	sleep 1
	eq alive "$(docker exec mem echo alive)"
	within 5 docker stop mem
	eq 5 "$(state mem ExitCode)"
	docker rm mem own
}
t "when the owner ends, the member goes on" goes_on

killed() {
	pair own mem 'sleep 1000' 'sleep 1000'
	docker kill mem
	eq 137 "$(docker wait mem)"
	is_state own running
	docker rm mem
	is_state own running
	docker rm -f own
}
t "a member is killed and removed alone" killed

refused() {
	docker create --name own "${net[@]}" busybox sleep 1000
	docker create --name mem --network container:own busybox true
	local id out
	id=$(docker inspect -f '{{.Id}}' own)
	out=$(docker start mem 2>&1) && fail "started"
	has "$out" "cannot join network of a non running container: $id"
	docker rm mem
	out=$(docker create --network container:own -p 80:80 busybox 2>&1) && fail "created"
	has "$out" 'conflicting options: port publishing and the container type network mode'
	out=$(docker create --network container:own -h x busybox 2>&1) && fail "created"
	has "$out" 'conflicting options: hostname and the network mode'
	docker create --name lost --network container:nobody busybox true
	out=$(docker start lost 2>&1) && fail "started"
	has "$out" 'No such container: nobody'
	docker rm lost own
}
t "what dockerd refuses is refused in its words" refused

late() {
	gateway_only
	docker run -d --name own busybox sleep 1000
	local out
	docker create --name late --network container:own busybox echo here
	out=$(docker start late 2>&1) && fail "started"
	has "$out" 'fixed when it starts'
	docker restart -t 0 own
	eq here "$(docker start -a late)"
	docker rm -f late own
}
t "one that came too late is refused, and runs after the owner's restart" late

again() {
	pair own mem 'sleep 1000' 'echo run; sleep 1000'
	until_true 10 log_has mem run
	docker restart -t 0 own
	docker restart -t 0 mem
	until_true 10 eval '[ "$(docker logs mem | grep -c run)" = 2 ]'
	docker rm -f mem own
}
t "both are restarted, the owner first, as compose does" again

held() {
	gateway_only
	docker create --name own busybox sleep 1000
	docker create --name mem --network container:own busybox echo never
	docker start own
	is_state mem created
	status 1 docker exec mem true
	eq '' "$(docker logs mem)"
	docker rm mem
	is_state own running
	docker rm -f own
}
t "a member that is not started does not run, and can be removed" held

crash() {
	gateway_only
	pair own mem 'sleep 0.5; exit 6' 'trap "exit 8" TERM; echo up; while :; do sleep 0.1; done'
	docker create --name unused busybox true
	until_true 10 is_state own exited
	engine_kill
	gateway_run
	eq alive "$(docker exec mem echo alive)"
	docker stop mem
	eq '6 8' "$(state own ExitCode) $(state mem ExitCode)"
	docker rm mem own unused
}
t "a crash of the gateway in between changes nothing" crash

ends_with_it() {
	gateway_only
	pair own mem 'sleep 1000' 'trap "exit 9" TERM; while :; do sleep 0.1; done'
	docker rm -f own
	until_true 30 is_state mem exited
	docker rm mem
	until_true 30 no_jobs
}
no_jobs() { [ "$(curl -sf "$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs" | jq '.jobs | length')" = 0 ]; }
t "removing the owner ends the task, and nothing is left of it" ends_with_it

finish
