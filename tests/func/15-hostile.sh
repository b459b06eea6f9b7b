#!/usr/bin/env bash
# Google on a bad day: refusals, stalls, half-written and lost answers, operations that fail, times that are wrong.
# Nothing is lost, nothing is left behind, and the client gets a sentence. (Expired tokens: 66-credentials.sh.)
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
export SOCKERLESS_CALL_TIMEOUT=4s SOCKERLESS_LOG_TIMEOUT=6s SOCKERLESS_POLL_INTERVAL=300ms
complaints_expected="job is left behind .*Injected by the emulator" # lib.sh reads it
engine_start busybox static
API=$(local_json emulator)
JOBS=$API/v2/projects/sockerless-local/locations/us-central1/jobs

knobs() { curl -sSf -m 10 -d "$1" "$API/emulator/v1/knobs" >/dev/null; }
faults() { knobs "$(jq -cn '{errors: $ARGS.positional}' --jsonargs "$@")"; }
calm() { knobs '{"errors":[],"notFoundMs":0,"clockSkewMs":0,"logDisorder":false,"logDelayMs":0,"operationLatencyMs":0,
	"operationError":{"count":0},"quota":{"run":0,"logRead":0}}'; }
n_jobs() { curl -sSf -m 10 "$JOBS?pageSize=100" | jq '.jobs // [] | length'; }
no_jobs() { [ "$(n_jobs)" = 0 ]; }
used_up() { # all that was to go wrong has
	[ "$(curl -sSf -m 10 "$API/emulator/v1/knobs" | jq '[.errors[] | select(.count > 0)] | length')" = 0 ]
}
nothing_left_at_google() {
	calm
	until_true 10 no_jobs
	eq '' "$(docker ps -aq)" 'containers'
}

# What a case that failed has left is not the next one's fault.
fresh() {
	calm
	docker ps -aq | xargs -r "$DOCKER" rm -f
	until_true 10 no_jobs
} >/dev/null 2>&1

# A whole life of a container: its output, its exec, its end, its removal.
life() {
	eq 'one two' "$(docker run --name once busybox sh -c 'echo one; echo two; exit 7' 2>"$T/err" | xargs; exit "${PIPESTATUS[0]}")" ||
		fail "$(cat "$T/err")"
	eq 7 "$(state once ExitCode)"
	eq 'one two' "$(docker logs once | xargs)"
	docker start -a once >"$T/again" 2>&1 || true
	eq 'one two one two' "$(docker logs once | xargs)"
	docker rm once
	docker run -d --name long busybox sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.05; done'
	until_true 10 log_has long up
	eq hi "$(docker exec long echo hi)"
	docker stop long
	eq 3 "$(state long ExitCode)"
	eq 'up bye' "$(docker logs long | xargs)"
	docker rm long
	docker run --rm busybox true
	nothing_left_at_google
}

under() { # fault...
	fresh
	faults "$@"
	life
}
t "a quiet day" life

t "429 with Retry-After on every kind of call, once" under \
	'{"method":"POST","path":"/jobs","status":429,"retryAfter":1}' '{"method":"POST","path":":run","status":429,"retryAfter":1}' \
	'{"method":"DELETE","status":429,"retryAfter":1}' '{"method":"PATCH","status":429,"retryAfter":1}'
t "503 on every kind of call" under '{"method":"POST","path":"/jobs","status":503,"count":2}' \
	'{"method":"GET","status":503,"count":5}' '{"method":"DELETE","status":503,"count":3}' '{"method":"PATCH","status":503}'
t "connections are cut before the request has an effect" under '{"path":"/jobs","status":0,"count":1}' \
	'{"method":"DELETE","status":0,"count":2}' '{"method":"PATCH","status":0}' '{"method":"POST","path":":run","status":0}'
t "connections are cut after the request had its effect" under '{"method":"POST","path":"/jobs","status":0,"after":true}' \
	'{"method":"POST","path":":run","status":0,"after":true,"count":2}' '{"method":"PATCH","status":0,"after":true}' \
	'{"method":"DELETE","status":0,"after":true,"count":3}'
t "503 after the request had its effect" under '{"method":"POST","path":"/jobs","status":503,"after":true}' \
	'{"method":"POST","path":":run","status":503,"after":true,"count":2}' '{"method":"DELETE","status":503,"after":true,"count":2}'
t "answers stop in the middle" under '{"method":"POST","path":"/jobs","half":true}' '{"method":"POST","path":":run","half":true,"count":2}' \
	'{"method":"PATCH","half":true}' '{"method":"DELETE","half":true,"count":2}' '{"method":"GET","half":true,"count":4}'
t "answers stall for longer than a try lasts" under '{"method":"POST","path":":run","stallMs":30000,"status":0}' \
	'{"method":"POST","path":"/jobs","stallMs":30000,"status":0}' '{"method":"DELETE","stallMs":30000,"status":0}' '{"method":"GET","stallMs":30000,"status":0}'

# A request that was given up takes effect when its container is long gone: the job never runs, and is found.
one_job() { [ "$(n_jobs)" = 1 ]; }
too_late() {
	fresh
	faults '{"method":"POST","path":"/jobs","stallMs":5000}'
	docker run --rm busybox true
	until_true 10 one_job
	eq '[{"ours":true,"state":"not run"}]' "$(timeout 30 "$BUILD/bin/sockerlessctl" orphans --json | jq -c '[.[] | {ours, state}]')"
	timeout 30 "$BUILD/bin/sockerlessctl" orphans --remove "$(curl -sSf -m 10 "$JOBS" | jq -r '.jobs[0].name | sub(".*/"; "")')"
	nothing_left_at_google
}
t "a request that takes effect after it was given up leaves an orphan that is listed" too_late

not_found() {
	fresh
	knobs '{"notFoundMs":700}'
	life
}
t "404 for what was just made" not_found

slow_operations() {
	fresh
	knobs '{"operationLatencyMs":1500}'
	life
}
t "operations that take their time" slow_operations

skewed() {
	fresh
	knobs "{\"clockSkewMs\":$1}"
	life
}
t "Google's clock is 20 minutes ahead" skewed 1200000
t "Google's clock is 20 minutes behind" skewed -1200000

leftover() {
	fresh
	docker create --name left busybox echo hi >/dev/null
	local id
	id=$(docker inspect -f '{{.Id}}' left)
	curl -sSf -m 10 -d "{\"annotations\":{\"sockerless_container_id\":\"$id\"},\"template\":{\"template\":{\"containers\":[{\"image\":\"x\"}]}}}" \
		"$JOBS?jobId=sockerless-${id:0:12}" >/dev/null
	eq hi "$(docker start -a left)"
	docker rm left
	nothing_left_at_google
}
t "409: the job that a start left which was cut short" leftover

# ---- what cannot succeed ----------------------------------------------------------------------------

refused_with() { # sentence fault...
	local text rc=0 sentence=$1
	shift
	fresh
	faults "$@"
	text=$(docker run --name refused busybox true 2>&1) || rc=$?
	eq 125 $rc "status; $text"
	has "$text" "$sentence"
	lacks "$text" rewind # curl's own words
	is_state refused created
	calm
	until_true 10 no_jobs
	docker start refused # another day
	docker rm -f refused
	nothing_left_at_google
}
t "denied: Google's sentence, nothing is left" refused_with 'create the Cloud Run job: Injected by the emulator.' \
	'{"method":"POST","path":"/jobs","status":403}'
t "a run that is refused: Google's sentence, the job is gone" refused_with 'run the Cloud Run job: Injected by the emulator.' \
	'{"method":"POST","path":":run","status":403}'
t "a quota that stays used up: Google's sentence" refused_with 'Injected by the emulator.' '{"method":"POST","path":":run","status":429,"count":-1}'
t "Google is down for creation: its sentence" refused_with 'create the Cloud Run job: ' '{"method":"POST","path":"/jobs","status":503,"count":-1}'
t "every answer to a run is lost, and it has no effect" refused_with 'run the Cloud Run job: ' '{"method":"POST","path":":run","status":0,"count":-1}'

bad_image() {
	fresh
	local text rc=0
	docker create --name bad busybox true >/dev/null
	docker image inspect busybox >/dev/null
	knobs '{"operationError":{"code":5},"operationLatencyMs":300}'
	faults '{"method":"POST","path":":run","status":400}'
	text=$(docker start bad 2>&1) || rc=$?
	eq 1 $rc "status; $text"
	has "$text" 'create the Cloud Run job: Injected by the emulator.'
	docker rm bad
	nothing_left_at_google
}
t "a job's operation that fails: its sentence" bad_image

# Cloud Run accepts the job and the run; the execution fails before an agent can call.
gone_image() {
	fresh
	local text rc=0
	docker create --name gone static >/dev/null 2>&1
	find "$T/state/registry" -path '*/repositories/*/static' -prune -exec rm -rf {} +
	text=$(docker start gone 2>&1) || rc=$?
	eq 1 $rc "status; $text"
	has "$text" "Image '"
	has "$text" 'not found'
	is_state gone created
	docker rm gone
	nothing_left_at_google
}
t "an image that is gone when the execution starts: Google's sentence" gone_image

failed_delete() {
	fresh
	docker run -d --name doomed busybox sleep 1000 >/dev/null
	faults '{"method":"DELETE","status":403,"count":1}'
	docker rm -f doomed
	eq '' "$(docker ps -aq)"
	calm
	grep -q 'job is left behind' "$T/engine.log"
	eq 1 "$(n_jobs)"
	curl -sSf -m 10 -X DELETE "$(curl -sSf "$JOBS" | jq -r --arg a "$API/v2/" '$a + .jobs[0].name')" >/dev/null
	nothing_left_at_google
}
t "a job that may not be deleted is named in the log, the container is gone" failed_delete

lost_agent() {
	fresh
	docker run -d --name lost busybox sh -c 'echo up; sleep 1; exit 9' >/dev/null
	faults '{"method":"GET","status":503,"count":3}' '{"method":"GET","half":true}'
	eq 9 "$(docker wait lost)"
	docker rm lost
	nothing_left_at_google
}
t "wait gets the exit code while Google cannot be asked" lost_agent

# ---- Cloud Logging ----------------------------------------------------------------------------------

printer='for i in 1 2 3 4 5 6 7 8; do echo out$i; echo err$i >&2; done; echo "{\"b\":1,\"a\":[0.1,\"x\"]}"'
want_out=$(printf 'out%s\n' 1 2 3 4 5 6 7 8; echo '{"b":1,"a":[0.1,"x"]}')
want_err=$(printf 'err%s\n' 1 2 3 4 5 6 7 8)

lose_disk() {
	engine_kill
	find "$T/state" -mindepth 1 -maxdepth 1 ! -name local.json ! -name emulator ! -name registry ! -name '*.log' -exec rm -rf {} +
	gateway_run
}
cloud_logs() { # knobs
	fresh
	docker run --name printed busybox sh -c "$printer" >/dev/null 2>&1
	knobs "$1"
	lose_disk
	until_true 20 is_state printed exited
	eq "$want_out" "$(docker logs printed 2>/dev/null)"
	eq "$want_err" "$(docker logs printed 2>&1 >/dev/null)"
	docker rm printed
	nothing_left_at_google
}
t "logs from Cloud Logging" cloud_logs '{}'
t "logs from Cloud Logging: pages in disorder, entries twice" cloud_logs '{"logDisorder":true}'
t "logs from Cloud Logging: refused, cut short and cut off" cloud_logs '{"errors":[
	{"path":"entries:list","status":429,"retryAfter":1},{"path":"entries:list","half":true},{"path":"entries:list","status":0}]}'

cloud_bounds() {
	fresh
	docker run --name bounded busybox sh -c 'echo one; sleep 1.2; echo two; sleep 1.2; echo three' >/dev/null
	local times
	mapfile -t times < <(docker logs -t bounded | cut -d' ' -f1)
	lose_disk
	until_true 20 is_state bounded exited
	eq three "$(docker logs --tail 1 bounded)"
	eq "$(printf 'two\nthree')" "$(docker logs --since "$(date -u -d "${times[1]} - 0.5 seconds" +%FT%T.%NZ)" bounded)"
	eq one "$(docker logs --until "$(date -u -d "${times[1]} - 0.5 seconds" +%FT%T.%NZ)" bounded)"
	eq "$(printf 'one\ntwo\nthree')" "$(docker logs bounded)"
	docker rm bounded
	nothing_left_at_google
}
t "logs from Cloud Logging: --tail, --since, --until" cloud_bounds

# A gateway that no agent finds.
deaf_gateway() {
	engine_kill
	jq '.callback |= sub(":[0-9]+$"; ":7")' "$T/state/local.json" >"$T/local.json"
	cp "$T/local.json" "$T/state/local.json"
	gateway_run
}
cloud_follow() {
	fresh
	docker run -d --name alone busybox sh -c 'for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done; exec sleep 1000' >/dev/null
	docker inspect -f '{{.Id}}' alone >"$T/alone"
	find "$T/state/logs" -name "$(cat "$T/alone").log*" -exec rm {} +
	deaf_gateway
	knobs '{"logDisorder":true}'
	until_true 20 is_state alone running
	docker logs -f alone >"$T/followed" 2>&1 &
	local pid=$!
	until_true 20 grep -qx 6 "$T/followed"
	docker kill alone
	wait $pid
	is_state alone exited
	eq "$(seq 6)" "$(cat "$T/followed")"
	eq 6 "$(docker logs --tail 1 alone)"
	docker rm alone
	nothing_left_at_google
}
t "logs -f by polling when no agent calls, pages in disorder, entries twice: it ends with the run" cloud_follow

# A task's result is its main container's: only varlog/system knows of the others.
cloud_codes() {
	fresh
	docker create --name own busybox sh -c 'trap "exit 3" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
	docker create --name mem --network container:own busybox sh -c 'trap "exit 4" TERM; echo up; while :; do sleep 0.1; done' >/dev/null
	docker start own mem
	until_true 10 log_has own up
	until_true 10 log_has mem up
	deaf_gateway
	curl -sSf -m 10 -d '{}' "$API/v2/$(curl -sSf -m 10 "$JOBS/-/executions" | jq -r '.executions[0].name'):cancel" >/dev/null
	until_true 20 is_state own exited
	until_true 20 is_state mem exited
	eq '3 4' "$(state own ExitCode) $(state mem ExitCode)"
	docker rm mem own
	nothing_left_at_google
}

t "exit codes of a task's containers from Cloud Run's log when no agent calls" cloud_codes

bucket_on_a_bad_day() {
	fresh
	faults '{"method":"GET","path":"/storage/v1/b/","status":503,"count":2}' '{"method":"GET","path":"/storage/v1/b/","half":true}' \
		'{"method":"POST","path":"/storage/v1/b","status":429,"retryAfter":1}'
	docker run --rm -v bad-day:/d busybox sh -c 'echo kept >/d/a; echo kept >/d/b'
	eq kept "$(docker run --rm -v bad-day:/d busybox cat /d/a)"
	faults '{"method":"GET","path":"/storage/v1/b/","half":true}' '{"method":"DELETE","path":"/storage/v1/b/","status":503,"count":3}' \
		'{"method":"DELETE","path":"/storage/v1/b/","status":0,"after":true}'
	docker volume rm bad-day
	until_true 10 used_up
	eq '' "$(curl -sSf -m 10 "$API/storage/v1/b/sockerless-local-volumes/o?prefix=bad-day" | jq -r '.items // [] | .[].name')"
	nothing_left_at_google
}
t "a volume's bucket: refused, cut short, cut off" bucket_on_a_bad_day

mixed() {
	local i pids=()
	fresh
	knobs '{"notFoundMs":150,"operationLatencyMs":200,"clockSkewMs":-90000}'
	faults '{"method":"POST","path":"/jobs","status":503,"count":4}' '{"method":"POST","path":":run","status":0,"after":true,"count":4}' \
		'{"method":"GET","path":"/executions","status":429,"count":6,"retryAfter":1}' '{"method":"POST","path":"/jobs","half":true,"count":3}' \
		'{"method":"DELETE","status":0,"after":true,"count":4}' '{"method":"POST","path":"/jobs","stallMs":30000,"status":0,"count":1}'
	for i in 1 2 3 4; do
		docker run --name mix$i busybox sh -c "seq 2000; exit $i" >"$T/mix$i" 2>"$T/mix$i.err" &
		pids+=($!)
	done
	for i in 1 2 3 4; do
		local rc=0
		wait "${pids[i - 1]}" || rc=$?
		eq $i $rc "exit code; $(cat "$T/mix$i.err")"
		eq "$(seq 2000 | sha256sum)" "$(sha256sum <"$T/mix$i")" "output $i; $(wc -l <"$T/mix$i") lines; $(cat "$T/mix$i.err")"
	done
	docker rm -f mix1 mix2 mix3 mix4 >/dev/null
	nothing_left_at_google
}
t "all of it at once, four containers" mixed

finish
