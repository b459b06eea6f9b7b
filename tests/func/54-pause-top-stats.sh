#!/usr/bin/env bash
# pause and unpause, top, stats, update, and the fine points of exec -d.
. "$(dirname "$0")/lib.sh"
engine_start busybox

code() { # method path [body]: the status; the body is in $T/out
	curl -s -m 20 --unix-socket "$T/docker.sock" -o "$T/out" -w '%{http_code}' -X "$1" -H 'Content-Type: application/json' \
		${3:+-d "$3"} "http://d$2"
}
message() { jq -re .message "$T/out"; }
id_of() { docker inspect -f '{{.Id}}' "$1"; }
events_of() { docker events --since 0 --until "$(date +%s.%N)" --filter "container=$1" --filter type=container --format '{{.Action}}' | xargs; }

# ---- pause ------------------------------------------------------------------------------------------

ticking() { # name
	docker run -d --name "$1" busybox sh -c 'while :; do echo tick; sleep 0.1; done'
	until_true 10 log_has "$1" tick
}

freezes() {
	ticking ice
	docker pause ice
	eq 'paused true true false' "$(docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}}' ice)"
	has "$(docker ps --format '{{.Status}}')" '(Paused)'
	eq ice "$(docker ps --filter status=paused --format '{{.Names}}')"
	sleep 0.3
	local before
	before=$(docker logs ice | wc -l)
	sleep 0.7
	eq "$before" "$(docker logs ice | wc -l)" 'nothing runs'
	eq 409 "$(code POST /containers/ice/pause)"
	eq "Container $(id_of ice) is already paused" "$(message)"
	eq 409 "$(code POST /containers/ice/exec '{"Cmd":["true"]}')"
	eq 'Container ice is paused, unpause the container before exec' "$(message)"
	eq 409 "$(code POST /containers/ice/start)"
	eq 'cannot start a paused container, try unpause instead' "$(message)"
	eq 409 "$(code DELETE /containers/ice)"
	has "$(message)" 'You cannot remove a paused container'
	has "$(message)" 'Unpause and then stop the container before attempting removal or force remove'
	has "$(docker top ice)" 'echo tick'
	docker unpause ice
	is_state ice running
	until_true 10 eval "[ \"\$(docker logs ice | wc -l)\" -gt $before ]"
	eq 500 "$(code POST /containers/ice/unpause)"
	eq "Container $(id_of ice) is not paused" "$(message)"
	docker rm -f ice
}
t "pause stops everything, unpause lets it go on" freezes

stops_paused() {
	docker run -d --name cold busybox sh -c 'trap "exit 6" TERM; echo ready; while :; do sleep 0.1; done'
	until_true 10 log_has cold ready
	docker pause cold
	within 10 docker stop -t 5 cold
	eq 'exited false 6' "$(docker inspect -f '{{.State.Status}} {{.State.Paused}} {{.State.ExitCode}}' cold)"
	eq 'create start pause kill unpause die stop' "$(events_of cold)"
	eq 409 "$(code POST /containers/cold/pause)"
	eq "Container $(id_of cold) is not running" "$(message)"
	docker start cold
	docker pause cold
	docker kill cold
	until_true 5 is_state cold exited
	eq 137 "$(state cold ExitCode)"
	docker start cold
	docker pause cold
	docker rm -f cold
}
t "stop, kill and rm -f of a paused one" stops_paused

pause_survives() {
	gateway_only
	ticking firn
	docker pause firn
	engine_kill
	gateway_run
	is_state firn paused
	until_true 10 eval 'code GET /containers/firn/top | grep -q 200'
	local before
	before=$(docker logs firn | wc -l)
	docker unpause firn
	until_true 10 eval "[ \"\$(docker logs firn | wc -l)\" -gt $before ]"
	docker rm -f firn
}
t "a paused one and a killed gateway" pause_survives

# ---- top --------------------------------------------------------------------------------------------

tops() {
	docker run -d --name many -u 1000 busybox sh -c 'sleep 1001 & sleep 1002 & wait'
	local out
	until_true 10 eval 'docker top many | grep -q 1002'
	out=$(docker top many)
	[[ $out == UID*PID*PPID*C*STIME*TTY*TIME*CMD* ]] || fail "$out"
	eq 4 "$(wc -l <<<"$out")" 'title, shell and two children'
	has "$out" 'sleep 1001'
	eq 3 "$(docker top many -eo pid,comm | grep -cE '^[0-9]+ +(sh|sleep)')"
	[[ $(docker top many aux | head -1) == USER*PID*%CPU*%MEM*VSZ*RSS*TTY*STAT*START*TIME*COMMAND ]] || fail "$(docker top many aux)"
	eq 200 "$(code GET '/containers/many/top?ps_args=-o%20pid,user=WHO,args')"
	eq '["PID","WHO","COMMAND"]' "$(jq -c .Titles "$T/out")"
	eq 500 "$(code GET '/containers/many/top?ps_args=-o%20comm')"
	eq "Couldn't find PID field in ps output" "$(message)"
	eq 500 "$(code GET '/containers/many/top?ps_args=--bogus')"
	eq 'ps: error: unknown gnu long option' "$(message)"
	eq 500 "$(code GET '/containers/many/top?ps_args=-eo%20pid,foo')"
	eq 'ps: error: unknown user-defined format specifier "foo"' "$(message)"
	has "$(events_of many)" top
	docker kill many
	until_true 5 is_state many exited
	eq 409 "$(code GET /containers/many/top)"
	eq "Container $(id_of many) is not running" "$(message)"
	eq 404 "$(code GET /containers/nosuch/top)"
	docker rm many
}
t "top, with the arguments of ps" tops

# ---- stats ------------------------------------------------------------------------------------------

one_sample() {
	docker run -d --name busy -m 512m busybox sh -c 'while :; do :; done'
	eq 200 "$(code GET '/containers/busy/stats?stream=0')"
	eq "\"/busy\" \"$(id_of busy)\" 0" "$(jq -c '.name, .id, .num_procs' "$T/out" | xargs -d '\n')"
	jq -e '.cpu_stats.cpu_usage.total_usage > .precpu_stats.cpu_usage.total_usage and .cpu_stats.system_cpu_usage > .precpu_stats.system_cpu_usage
		and .cpu_stats.online_cpus > 0 and .memory_stats.usage > 0 and .pids_stats.current >= 1
		and .read > .preread and .preread > "2020"' "$T/out" || fail "$(cat "$T/out")"
	# A loop takes one processor, or what the others leave of it: the two ways of counting agree.
	jq -e '(.cpu_stats.cpu_usage.total_usage - .precpu_stats.cpu_usage.total_usage) as $used
		| (.cpu_stats.system_cpu_usage - .precpu_stats.system_cpu_usage) as $all
		| $used > 0 and $used <= $all * 1.1' "$T/out" || fail "$(cat "$T/out")"
	eq 200 "$(code GET '/containers/busy/stats?stream=0&one-shot=1')"
	eq '"0001-01-01T00:00:00Z" 0' "$(jq -c '.preread, .precpu_stats.cpu_usage.total_usage' "$T/out" | xargs -d '\n')"
	has "$(docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' busy)" 'busy '
	docker rm -f busy
}
t "one sample of figures" one_sample

streams() {
	docker run -d --name busy busybox sleep 1000
	curl -s -N -m 20 --unix-socket "$T/docker.sock" http://d/containers/busy/stats | head -n 2 >"$T/samples" || true
	[ "$(wc -l <"$T/samples")" -ge 2 ] || fail "$(cat "$T/samples")"
	eq '"0001-01-01T00:00:00Z"' "$(jq -c .preread <(sed -n 1p "$T/samples"))"
	eq "$(jq -c .read <(sed -n 1p "$T/samples"))" "$(jq -c .preread <(sed -n 2p "$T/samples"))"
	docker kill busy
	until_true 5 is_state busy exited
	within 5 code GET '/containers/busy/stats?stream=0'
	eq '"0001-01-01T00:00:00Z" 0 {} "/busy"' "$(jq -c '.read, .cpu_stats.cpu_usage.total_usage, .memory_stats, .name' "$T/out" | xargs -d '\n')"
	eq 400 "$(code GET '/containers/busy/stats?one-shot=1&stream=1')"
	docker rm busy
}
t "a stream of figures, and zeros of what does not run" streams

streams_open() { curl -s --unix-socket "$T/docker.sock" http://d/internal/v1/agents | jq '[.[].streams] | add'; }
no_tools_left() {
	gateway_only
	docker run -d --name left busybox sleep 1000
	local before
	before=$(streams_open)
	curl -s -N -m 20 --unix-socket "$T/docker.sock" http://d/containers/left/stats | head -n 1 >"$T/samples" || true
	[ -s "$T/samples" ] || fail 'no sample'
	until_true 10 eval '[ "$(streams_open)" = '"$before"' ]'
	docker rm -f left
}
t "a client that leaves ends its figures" no_tools_left

# ---- update -----------------------------------------------------------------------------------------

updates() {
	docker run -d --name up -m 512m busybox sleep 1000
	eq 200 "$(code POST /containers/up/update '{}')"
	eq null "$(jq -c .Warnings "$T/out")"
	eq 400 "$(code POST /containers/up/update '{"RestartPolicy":{"Name":"bogus"}}')"
	eq "invalid restart policy 'bogus'" "$(message)"
	eq 400 "$(code POST /containers/up/update '{"RestartPolicy":{"Name":"always","MaximumRetryCount":3}}')"
	eq "maximum retry count cannot be used with restart policy 'always'" "$(message)"
	eq 400 "$(code POST /containers/up/update '{"Memory":1}')"
	eq 'Minimum memory limit allowed is 6MB' "$(message)"
	eq 400 "$(code POST /containers/up/update '{"CpuPeriod":1}')"
	eq 400 "$(code POST /containers/up/update '{"NanoCpus":500000000,"CpuQuota":1000}')"
	eq 'Conflicting options: Nano CPUs and CPU Quota cannot both be set' "$(message)"
	eq 404 "$(code POST /containers/nosuch/update '{}')"
	docker update --memory 600m --memory-swap 1g up
	eq 629145600 "$(docker inspect -f '{{.HostConfig.Memory}}' up)"
	has "$(events_of up)" update
	docker rm -f up
}
t "update, good and bad" updates

later() {
	gateway_only
	docker run -d --name up -m 512m busybox sleep 1000
	eq 200 "$(code POST /containers/up/update '{"Memory":1073741824}')"
	has "$(jq -r '.Warnings[0]' "$T/out")" 'when the container is started again'
	code GET '/containers/up/stats?stream=0&one-shot=1' >/dev/null
	eq 536870912 "$(jq .memory_stats.limit "$T/out")" 'the present execution has what it had'
	docker restart -t 0 up
	code GET '/containers/up/stats?stream=0&one-shot=1' >/dev/null
	eq 1073741824 "$(jq .memory_stats.limit "$T/out")"
	eq 400 "$(code POST /containers/up/update '{"Memory":1099511627776}')"
	has "$(message)" 'Cannot update container'
	docker rm -f up
}
t "new limits count from the next start" later

auto_remove() {
	docker run -d --rm --name auto busybox sleep 1000
	eq 409 "$(code POST /containers/auto/update '{"RestartPolicy":{"Name":"always"}}')"
	eq "Cannot update container $(id_of auto): Restart policy cannot be updated because AutoRemove is enabled for the container" \
		"$(message)"
	docker update --restart no auto
	docker rm -f auto
}
t "--rm and a policy exclude each other" auto_remove

# ---- exec -d ----------------------------------------------------------------------------------------

detached() {
	docker run -d --name ex busybox sleep 1000
	local text rc=0
	text=$(docker exec -d ex nosuch 2>&1) || rc=$?
	[ $rc -ne 0 ] || fail 'no error'
	has "$text" 'executable file not found in $PATH'
	code POST /containers/ex/exec '{"Cmd":["/etc"]}'
	eq 400 "$(code POST "/exec/$(jq -r .Id "$T/out")/start" '{"Detach":true}')"
	has "$(message)" 'permission denied'
	code POST /containers/ex/exec '{"Cmd":["true"],"User":"nouser"}'
	eq 500 "$(code POST "/exec/$(jq -r .Id "$T/out")/start" '{"Detach":true}')"
	eq 'unable to find user nouser: no matching entries in passwd file' "$(message)"
	lacks "$(events_of ex)" exec_die
	docker exec -d ex touch /made
	until_true 5 docker exec ex test -e /made
	code POST /containers/ex/exec '{"Cmd":["sleep","100"]}'
	local id
	id=$(jq -r .Id "$T/out")
	eq 200 "$(code POST "/exec/$id/start" '{"Detach":true}')"
	eq '' "$(cat "$T/out")"
	code GET "/exec/$id/json" >/dev/null
	eq 'true null true' "$(jq -r '.Running, .ExitCode, (.Pid > 0)' "$T/out" | xargs)"
	has "$(docker inspect -f '{{.ExecIDs}}' ex)" "$id"
	docker rm -f ex
}
t "exec -d says why it cannot" detached

finish
