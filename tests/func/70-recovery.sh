#!/usr/bin/env bash
# The gateway is killed with SIGKILL and started again on the same state: containers do not notice,
# nothing is lost.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox

# Prints 1, 2, 3 … until told to end; then its exit code is 17.
must docker run -d --name steady busybox sh -c \
	'i=0; trap "echo bye; exit 17" TERM; while :; do i=$((i+1)); echo $i; sleep 0.05; done'
must docker run -d --name idle busybox sleep 1000000
must docker create --name never busybox true
must status 5 docker run --name past busybox sh -c 'echo was here; exit 5'
must docker run -d --name ends busybox sh -c 'echo first; sleep 3; seq 5000; echo last; exit 33'
must until_true 10 log_has steady 20

started=$(state steady StartedAt)
exec_id=$("$PYTHON" "$func_dir/recovery.py" begin idle)
docker logs -f steady >"$T/cut-follow" 2>/dev/null &
follower=$!
engine_kill
wait $follower
sleep 4 # "ends" ends meanwhile
gateway_run

lists() {
	eq 'ends past never idle steady' "$(docker ps -a --format '{{.Names}}' | xargs)" 'newest first'
	is_state steady running
	is_state idle running
	is_state never created
	eq 'exited 5' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' past)"
	eq "$started" "$(state steady StartedAt)"
}
t "ps and inspect know every container and its state" lists

execs() {
	until_true 15 docker exec steady true # the agent waits a moment between its tries
	eq hi "$(docker exec steady echo hi)"
	eq x "$(echo x | docker exec -i idle cat)"
}
t "exec works once the agents have called again" execs

complete() {
	local n
	n=$(docker logs --tail 1 steady)
	[ "$n" -gt 60 ] || fail "only $n lines; the container was held up"
	docker logs steady >"$T/steady"
	eq "$(seq "$(wc -l <"$T/steady")" | sha256sum)" "$(sha256sum <"$T/steady")" 'no gap, no repetition'
}
t "logs are complete across the crash" complete

old_logs() { eq 'was here' "$(docker logs past)"; }
t "logs of a container that had ended before are there" old_logs

exit_in_between() {
	eq 33 "$(docker wait ends)"
	eq "$( (echo first; seq 5000; echo last) | sha256sum)" "$(docker logs ends | sha256sum)"
	eq 'exited 33' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' ends)"
}
t "a container that ended in between: its exit code and all of its output" exit_in_between

t "the exec that was running goes on, and its exit code is known" "$PYTHON" "$func_dir/recovery.py" end "$exec_id"

name_kept() {
	local text rc=0
	text=$(docker create --name never busybox true 2>&1) || rc=$?
	eq 1 $rc status
	has "$text" 'is already in use by container'
}
t "names are still taken" name_kept

waits() {
	local code
	docker wait steady >"$T/code" &
	local pid=$!
	sleep 0.5
	docker stop steady
	wait $pid
	code=$(cat "$T/code")
	eq 17 "$code"
	eq bye "$(docker logs --tail 1 steady)"
}
t "wait gives the true exit code, stop reaches the process" waits

restarts() {
	docker start steady
	until_true 10 eval '[ "$(docker logs --tail 1 steady)" != bye ]'
	docker rm -f steady
}
t "a recovered container can be started again" restarts

again_and_again() {
	docker run -d --name survivor busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done'
	local round
	for round in 1 2 3 4; do
		sleep 0.6
		engine_kill
		gateway_run
	done
	until_true 10 docker exec survivor true
	docker logs survivor >"$T/survivor"
	eq "$(seq "$(wc -l <"$T/survivor")" | sha256sum)" "$(sha256sum <"$T/survivor")" 'no gap, no repetition'
	docker rm -f survivor
}
t "four crashes in a row" again_and_again

# The agent was told to stay longer than the gateway of now is ready to hold its line.
stays() {
	[ "$MODE" = forward ] || skip "an agent that calls leaves by itself"
	docker run -d --name stayed busybox sh -c 'exit 3'
	until_true 10 is_state stayed exited
	engine_kill
	SOCKERLESS_GCR_EXIT_STAY=4s gateway_run
	docker cp stayed:/bin/true "$T/true"
	until_true 20 grep -q "no longer kept for its files.*container=$(docker ps -aqf name=stayed)" "$T/engine.log"
	docker start stayed
	docker rm -f stayed
}
t "an ended container's agent that is kept for its files is left in the end" stays

during_start() {
	timeout 20 "$DOCKER" run -d --name halfway busybox sleep 1000000 >/dev/null 2>&1 &
	local client=$!
	sleep 0.15
	engine_kill
	gateway_run
	wait $client || true
	local status
	status=$(state halfway Status) || status=absent
	echo "after the crash: $status"
	case $status in absent) return ;; created | running | exited) ;; *) fail "state $status" ;; esac
	[ "$status" = running ] || docker start halfway
	until_true 20 docker exec halfway true
	docker rm -f halfway
}
t "a crash in the middle of docker run leaves something that can be used or removed" during_start

finish
