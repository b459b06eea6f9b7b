#!/usr/bin/env bash
# deploy/live-check.sh, which is for Google's own Cloud Run, against the emulated one: so its questions are well put,
# its verdicts fall both ways, and it leaves nothing behind.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox

emulator=$(local_json emulator)
jobs=$emulator/v2/projects/sockerless-local/locations/us-central1/jobs
check() { # [options] [item...]
	LIVE_CHECK_TOKEN=a-token-nobody-may-see timeout -k 5 120 "$project/deploy/live-check.sh" --endpoint "$emulator" \
		--project sockerless-local --image "$(local_json registry)/library/busybox" "$@"
}
knobs() { curl -sSf -m 10 -d "$1" "$emulator/emulator/v1/knobs" >/dev/null; }
nothing_there() {
	eq '{}' "$(curl -sSf -m 10 "$jobs")" jobs
	eq null "$(curl -sSf -m 10 "$emulator/storage/v1/b?project=sockerless-local" | jq -c '[.items[]?.name | select(startswith("sockerless-local-sockerless-check"))] | if . == [] then null else . end')"
}
verdict_of() { awk -v item="$1" '$2 == item { print $3 }' "$T/out"; }

everything() {
	mkdir -p "$T/state/secrets"
	echo -n 'what nobody may see' >"$T/state/secrets/given"
	check --callback-url "http://$(local_json callback)" --docker-host "$DOCKER_HOST" --secret given \
		--repository "$(local_json registry)/mine" --remote "$(local_json registry)/library/busybox" >"$T/out" || true
	cat "$T/out"
	eq '' "$(awk '$3 == "FAIL"' "$T/out")"
	eq 'log-tail service-websocket service-upgrade quotas migration' "$(awk '$3 == "skipped" { print $2 }' "$T/out" | xargs)"
	eq 25 "$(awk '$3 == "pass"' "$T/out" | wc -l)"
	lacks "$(cat "$T/out")" 'nobody'
	nothing_there
}
t "all but what an emulator cannot have passes, and nothing is left" everything

listed() {
	local names
	names=$(check --list | awk '{ print $1 " " $2 }')
	eq "$names" "$(sed -n 's/^\([0-9]*\)\. \*\*\([a-z-]*\)\*\*.*/\1 \2/p' "$project/docs/live-checks.md")" 'items in docs/live-checks.md'
	status 2 check nonsense
	status 2 check --watch soon
}
t "the documentation has the items, in this order" listed

# What is wrong is told as wrong.
wrong() { # ITEM KNOBS PART
	knobs "$2"
	status 1 check "$1" >"$T/out"
	knobs '{"errors": []}'
	cat "$T/out"
	eq FAIL "$(verdict_of "$1")"
	has "$(cat "$T/out")" "$3"
}
failures() {
	wrong access '{"errors": [{"method": "GET", "path": "/jobs", "status": 403, "count": 1}]}' 'jobs.list: 403'
	wrong texts '{"errors": [{"method": "DELETE", "path": "-none", "status": 400, "count": 1}]}' 'deletion of a job that is not there: 400'
	wrong run-operation '{"errors": [{"method": "POST", "path": ":run", "status": 429, "count": -1}]}' 'RunJob: 429'
	nothing_there
}
t "an answer that is not as hoped fails the item, with Google's words" failures

refused_token() {
	knobs '{"requireToken": "another"}'
	status 1 check access >"$T/out" 2>&1
	knobs '{"requireToken": ""}'
	has "$(cat "$T/out")" 'FAIL'
	has "$(cat "$T/out")" '401'
	lacks "$(cat "$T/out")" 'a-token-nobody-may-see'
}
t "a token that is refused is not shown" refused_token

one_task() { [ "$(curl -sSf -m 10 "$emulator/emulator/v1/tasks" | jq ".tasks | length")" = 1 ]; }
interrupted() {
	local pid
	LIVE_CHECK_TOKEN=x "$project/deploy/live-check.sh" --endpoint "$emulator" --project sockerless-local \
		--image "$(local_json registry)/library/busybox" --watch 1h migration >"$T/out" 2>&1 &
	pid=$!
	until_true 20 one_task
	kill -TERM $pid
	until_true 20 gone $pid
	cat "$T/out"
	has "$(cat "$T/out")" 'cleaned up: 1 of 1'
	nothing_there
}
t "it cleans up when it is interrupted" interrupted

finish
