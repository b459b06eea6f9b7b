#!/usr/bin/env bash
# What a container's life costs in calls to Google: exactly what the table in docs/google-api.md says.
# executions.get is a matter of time (how long until the agent calls) and is left out, but where it is all there is.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
CLOUDRUN_EMULATOR_RECORD=${CLOUDRUN_EMULATOR_RECORD:-$T/calls.jsonl}
export CLOUDRUN_EMULATOR_RECORD
engine_start busybox
API=$(local_json emulator)
faults() { curl -sSf -m 10 -d "{\"errors\":[$1]}" "$API/emulator/v1/knobs" >/dev/null; }

n_lines() { wc -l <"$CLOUDRUN_EMULATOR_RECORD"; }
mark() { n_lines >"$T/mark"; }
calls() { # since mark, by the names of the documentation; executions.get only if asked for
	tail -n "+$(($(cat "$T/mark") + 1))" "$CLOUDRUN_EMULATOR_RECORD" | jq -r --arg all "${1:-}" '
		select(.agent | startswith("sockerless-gateway/")) | .method + " " + (.path | sub("^.*/locations/[^/]*"; "")) |
		if test("^POST /jobs$") then "CreateJob" elif test("^PATCH /jobs/[^/]*$") then "PatchJob"
		elif test("^POST /jobs/[^/]*:run$") then "RunJob" elif test("^DELETE /jobs/[^/]*$") then "DeleteJob"
		elif test("^GET /jobs/[^/]*$") then "GetJob" elif test("^GET .*/executions/[^/]*$") then "executions.get"
		elif test("^DELETE .*/executions/[^/]*$") then "executions.delete" elif test("^GET .*/tasks$") then "tasks.list"
		elif test("^POST .*entries:list$") then "entries.list" else . end |
		select($all != "" or . != "executions.get")' | xargs
}
made() { [ "$(calls)" = "$1" ]; }

# The first time Docker's client also pulls: none of Google's API, either.
life() {
	mark
	docker create --name life busybox sh -c 'echo up; sleep 1000' >/dev/null
	eq '' "$(calls all)" 'create'
	docker start life
	eq 'CreateJob RunJob' "$(calls)" 'start'
	until_true 10 log_has life up
	mark
	eq hi "$(docker exec life echo hi)"
	docker cp life:/bin/busybox "$T/busybox"
	docker top life >/dev/null
	docker stats --no-stream life >/dev/null
	docker ps >/dev/null
	docker inspect life >/dev/null
	docker stop -t 1 life
	docker logs life >/dev/null
	eq '' "$(calls all)" 'exec, cp, top, stats, ps, inspect, stop, logs'
	docker start life
	until_true 10 made 'PatchJob RunJob executions.delete'
	mark
	docker restart -t 1 life
	until_true 10 made 'PatchJob RunJob executions.delete'
	mark
	docker kill life
	docker wait life
	docker rm life
	eq DeleteJob "$(calls all)" 'kill, wait and rm'
}
t "create none, first start two, running none, later starts two and one behind, rm one" life

run_rm() {
	mark
	eq hi "$(docker run --rm busybox echo hi)"
	until_true 10 made 'CreateJob RunJob DeleteJob'
}
t "docker run --rm is three" run_rm

failing() {
	mark
	faults '{"method":"POST","path":":run","status":403}'
	status 125 docker run --name failing busybox true 2>/dev/null
	until_true 10 made 'CreateJob RunJob DeleteJob'
	mark
	docker rm failing
	eq DeleteJob "$(calls)" 'rm: the first deletion may have failed'
}
t "a start that is refused takes its job back: one more" failing

again() {
	mark
	eq hi "$(docker run --name again busybox echo hi)"
	engine_kill
	until_true 10 made 'CreateJob RunJob'
	find "$T/state/logs" -mindepth 1 -delete
	gateway_run
	until_true 10 is_state again exited
	mark
	eq hi "$(docker logs again)"
	eq entries.list "$(calls all)" 'logs'
	docker rm again
}
t "output that we have not got: one entries.list" again

token() {
	engine_kill
	SOCKERLESS_GCR_START_TOKEN=1 gateway_run
	mark
	docker run -d --name token busybox sleep 1000 >/dev/null
	eq CreateJob "$(calls)"
	docker rm -f token
	until_true 10 made 'CreateJob DeleteJob'
}
t "with a start token the start is one" token

finish
