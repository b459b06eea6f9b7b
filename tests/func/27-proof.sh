#!/usr/bin/env bash
# A token that was read by somebody who may look at jobs: it has served. It lets nobody in beside the agent, and nobody to the agent.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox
must docker run -d --name box busybox sleep 1000000
must docker exec box touch /first

job_env() { # as a viewer of jobs reads it
	curl -sSf -m 10 "$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs" |
		jq -r '.jobs[0].template.template.containers[] | select(.name == "main").env | map("\(.name)=\(.value)")[]'
}
must eval 'job_env | grep -q ^SOCKERLESS_AGENT_TOKEN='
mapfile -t environment < <(job_env | grep -v ^SOCKERLESS_AGENT_SPEC)
known() { printf '%s\n' "${environment[@]}" | sed -n "s/^$1=//p"; }
id=$(known SOCKERLESS_CONTAINER_ID) token=$(known SOCKERLESS_AGENT_TOKEN)
ctl() { "$BUILD/bin/sockerlessctl" "$@"; }
enrolments() { grep -c 'agent enrolled; its token has served' "$T/engine.log"; }
first_serves() { docker exec box test -e /first; } # the other is not in that container

doors() {
	if [ "$MODE" = forward ]; then
		eq '401, 401, 401' "$("$PYTHON" "$func_dir/proof_calls.py" "$(ctl agents --json | jq -r '.[0].peer')" gateway "$id" "$token")"
	else
		eq '401, 101 enrol, 401' "$("$PYTHON" "$func_dir/proof_calls.py" "$(local_json callback)" agent "$id" "$token")"
		grep -q 'agent refused.*has served already' "$T/engine.log"
	fi
	eq 0 "$(ctl agents --json | jq '.[0].resumes')" 'and the tunnel has not noticed:'
}
t "with the token of its job nobody gets in" doors

thief() {
	local second
	env -i "${environment[@]}" SOCKERLESS_AGENT_SPEC="$(printf '{"proofs":true}' | base64)" SOCKERLESS_SIDECAR_PORT=0 \
		CLOUD_RUN_TASK_ATTEMPT=5 SOCKERLESS_FUNC_MARK="$T" "$BUILD/bin/sockerless-agent" run -- sleep 60 >"$T/thief.log" 2>&1 &
	second=$!
	until_true 10 grep -q 'another agent holds this container' "$T/thief.log"
	first_serves
	ctl tunnel kill box
	first_serves
	kill -KILL "$second"
	grep -q 'a token that has served is used by another agent' "$T/engine.log"
	grep -q 'second agent refused: the first lives' "$T/engine.log"
	eq 1 "$(enrolments)" enrolments
}
[ "$MODE" = forward ] || t "a second agent with all that the job tells is refused, and the log says so" thief

resumed() {
	for _ in 1 2 3; do
		ctl tunnel kill box
		eq hi "$(docker exec box echo hi)"
	done
	eq 1 "$(enrolments)" enrolments
}
t "links that are cut are resumed by the key" resumed

crashed() {
	engine_kill
	gateway_run
	eq hi "$(docker exec box echo hi)"
	eq 1 "$(enrolments)" enrolments
	doors_still
}
doors_still() {
	[ "$MODE" = forward ] || has "$("$PYTHON" "$func_dir/proof_calls.py" "$(local_json callback)" agent "$id" "$token")" '401, '
}
t "a gateway that was killed knows the key again" crashed

secrets() {
	local key secret
	key=$(cat "$T"/state/state.db* | grep -aoE '"agentKey": ?"[0-9a-f]{64}"' | grep -oE '[0-9a-f]{64}' | head -n 1)
	[ -n "$key" ]
	eq 600 "$(stat -c %a "$T/state/state.db")"
	for secret in "$key" "$token"; do
		! grep -rqF "$secret" "$T/engine.log" "$T/state/emulator/logs" 2>/dev/null
		lacks "$(docker inspect box; docker info; ctl agents --json; docker exec box env)" "$secret"
		lacks "$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')" "$secret"
	done
	lacks "$(job_env)" "$key"
}
t "neither is in logs, arguments, answers or the environment of processes" secrets

finish
