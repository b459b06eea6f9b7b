#!/usr/bin/env bash
# What others do to the project's jobs: delete and cancel them behind our back, leave theirs beside ours.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
export SOCKERLESS_SWEEP_INTERVAL=1s SOCKERLESS_GCR_INSTANCE=here
engine_start busybox
JOBS=$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs
REG=$(local_json registry)
api() { curl -sS -m 30 --fail-with-body -X "$1" "$JOBS$2" ${3+-d "$3"}; }
ctl() { timeout 30 "$BUILD/bin/sockerlessctl" "$@"; }
job_of() { echo "sockerless-$(docker inspect -f '{{.Id}}' "$1" | cut -c1-12)"; }

# ---- behind our back --------------------------------------------------------------------------------

job_deleted() {
	local since
	since=$(date +%s)
	docker run -d --name lost busybox sleep 1000000
	api DELETE "/$(job_of lost)"
	until_true 20 is_state lost exited
	eq 1 "$(docker events --since "$since" --until "$(($(date +%s) + 1))" --filter container=lost --filter event=die --format x | wc -l)" 'die events'
	docker rm lost
}
t "a running container whose job is deleted has ended" job_deleted

execution_cancelled() {
	docker run -d --name cancelled busybox sleep 1000000
	local execution
	execution=$(api GET "/$(job_of cancelled)" | jq -re .latestCreatedExecution.name)
	api POST "/$(job_of cancelled)/executions/${execution##*/}:cancel" '{}'
	until_true 20 is_state cancelled exited
	eq 143 "$(state cancelled ExitCode)"
	docker rm cancelled
}
t "a running container whose execution is cancelled has ended, by its agent's word" execution_cancelled

deleted_while_away() {
	docker run -d --name away busybox sleep 1000000
	local job
	job=$(job_of away)
	engine_kill
	api DELETE "/$job"
	gateway_run
	until_true 20 is_state away exited
	eq 137 "$(state away ExitCode)"
	docker rm away
}
t "the same while the gateway is away" deleted_while_away

ended_job_deleted() {
	docker run --name finished busybox true
	api DELETE "/$(job_of finished)"
	sleep 2.5 # two sweeps
	is_state finished exited
	docker start -a finished
	docker rm finished
}
t "an ended container stays when its job is deleted, and can be started" ended_job_deleted

# ---- two gateways -----------------------------------------------------------------------------------

other_run() { # name instance: on the same project, with a socket and a disk of its own
	local port
	port=$("$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
	env SOCKERLESS_FUNC_MARK="$T" TMPDIR="$T/tmp" SOCKERLESS_GCR_INSTANCE="$2" SOCKERLESS_GCR_PROJECT=sockerless-local \
		SOCKERLESS_ENDPOINT_URL="$(local_json emulator)" SOCKERLESS_HUB_MIRROR="$REG" \
		SOCKERLESS_GCR_AGENT_IMAGE="$REG/sockerless/agent:latest" \
		SOCKERLESS_CALLBACK_URL="http://$(local_json host_address):$port" SOCKERLESS_CALLBACK_ADDR="$(local_json host_address):$port" \
		"$BUILD/bin/sockerless-gateway" --addr "unix://$T/$1.sock" --state-dir "$T/$1" >>"$T/$1.log" 2>&1 </dev/null &
	other_pid=$!
	until_true 20 curl -sf --unix-socket "$T/$1.sock" http://docker/_ping
}
other_stop() {
	kill -TERM "$other_pid"
	until_true 20 gone "$other_pid"
}
there() { # name command...: on that gateway
	local socket=$T/$1.sock
	shift
	DOCKER_HOST=unix://$socket "$@"
}

other_instance() {
	docker run -d --name mine busybox sleep 1000000
	local job
	job=$(job_of mine)
	other_run other else
	eq '' "$(there other docker ps -aq)"
	there other docker run -d --name mine busybox sleep 1000000
	eq mine "$(docker ps -a --format '{{.Names}}')"
	has "$(there other ctl orphans)" "$job"
	has "$(there other ctl orphans)" 'another instance'
	has "$(there other ctl orphans --remove "$job" 2>&1 || true)" 'needs force'
	api GET "/$job" >"$T/job"
	there other docker rm -f mine
	other_stop
	is_state mine running
	docker rm -f mine
}
t "gateways with instances of their own do not see each other's containers" other_instance

same_instance() {
	docker run -d --name mine busybox sleep 1000000
	other_run twin here
	eq '' "$(there twin docker ps -aq)"
	has "$(there twin ctl orphans)" 'calls another gateway'
	there twin docker run -d --name theirs busybox sleep 1000000
	until_true 10 grep -q "another gateway uses this instance's name" "$T/engine.log"
	there twin docker rm -f theirs
	other_stop
	is_state mine running
	docker rm -f mine
}
t "two gateways with the same instance are told apart, and it is said" same_instance

# ---- jobs that nobody knows ---------------------------------------------------------------------------

# name labels annotations shell-script
job() {
	jq -cn --argjson l "$2" --argjson a "$3" --arg i "$REG/library/busybox:latest" --arg s "$4" \
		'{labels: $l, annotations: $a, template: {template: {maxRetries: 0, containers: [{name: "main", image: $i,
		command: ["sh", "-c"], args: [$s], env: [{name: "A", value: "b c"}, {name: "SOCKERLESS_AGENT_TOKEN", value: "x"}]}]}}}' >"$T/job.json"
	api POST "?jobId=$1" "@$T/job.json" >"$T/answer" || fail "$(cat "$T/answer")"
}
id_a=aaaaaaaaaaaa id_b=bbbbbbbbbbbb id_c=$(printf 'c%.0s' {1..64})
over() { api GET "/sockerless-$id_a" | jq -e .latestCreatedExecution.completionTime; }
nothing() { [ -z "$(there old docker ps -aq)" ]; }
predecessors() {
	job sockerless-$id_a '{"managed-by": "sockerless", "sockerless-container-id": "'$id_a'"}' '{}' 'echo from before; exit 3'
	job sockerless-$id_b '{"sockerless_managed": "true", "sockerless_container_id": "'$id_b'", "sockerless_backend": "cloudrun",
		"sockerless_instance": "old"}' '{}' 'sleep 1000000'
	job sockerless-cccccccccccc '{"sockerless_managed": "true", "sockerless_name": "third", "sockerless_instance": "old",
		"sockerless_tty": "true"}' "$(jq -cn --arg id "$id_c" --arg l "$(printf '{"k":"ü?>","other":"x"}' | base64 -w 0 | tr +/ -_ | tr -d =)" \
		'{sockerless_container_id: $id, sockerless_created_at: "2026-01-02T03:04:05Z", sockerless_labels_b64: $l[0:20],
		"sockerless_labels_b64-1": $l[20:]}')" 'true'
	api POST "/sockerless-$id_a:run" '{}'
	api POST "/sockerless-$id_b:run" '{}'
	until_true 20 over
	other_run old old

	eq "sockerless-$id_a exited
sockerless-$id_b running
third created" "$(there old docker ps -a --format '{{.Names}} {{.State}}' | sort)"
	eq "3 $id_a" "$(there old docker inspect -f '{{.State.ExitCode}} {{slice .Id 0 12}}' sockerless-$id_a)"
	eq '[A=b c] [sh -c] [echo from before; exit 3]' \
		"$(there old docker inspect -f '{{.Config.Env}} {{.Config.Entrypoint}} {{.Config.Cmd}}' sockerless-$id_a)"
	eq 'from before' "$(there old docker logs sockerless-$id_a)"
	eq "$id_c true ü?> 2026-01-02T03:04:05Z" \
		"$(there old docker inspect -f '{{.Id}} {{.Config.Tty}} {{.Config.Labels.k}} {{.Created}}' third)"
	has "$(there old docker start third 2>&1 || true)" 'made by another backend'
	has "$(there old docker exec sockerless-$id_b true 2>&1 || true)" 'cannot be reached'
	sleep 2.5 # two sweeps: nothing is touched
	eq 3 "$(api GET '' | jq '.jobs | length')"

	there old docker rm third sockerless-$id_a
	eq 1 "$(api GET '' | jq '.jobs | length')"
	api DELETE "/sockerless-$id_b"
	until_true 20 nothing
	other_stop
}
t "the predecessor's three generations of jobs: listed, inspected, read, removed; else left alone" predecessors

orphans() {
	job sockerless-dddddddddddd '{"sockerless_managed": "true", "sockerless_container_id": "dddddddddddd", "sockerless_instance": "here"}' \
		'{}' 'sleep 1000000'
	eq 'sockerless-dddddddddddd true not run' "$(ctl orphans --json | jq -r '.[] | "\(.job) \(.ours) \(.state)"')"
	ctl orphans --adopt sockerless-dddddddddddd
	is_state sockerless-dddddddddddd created
	eq '[]' "$(ctl orphans --json)"
	docker rm sockerless-dddddddddddd
	job sockerless-eeeeeeeeeeee '{"sockerless_managed": "true", "sockerless_container_id": "eeeeeeeeeeee", "sockerless_instance": "here"}' \
		'{}' 'sleep 1000000'
	ctl orphans --remove sockerless-eeeeeeeeeeee
	eq '[]' "$(ctl orphans --json)"
	eq 0 "$(api GET '' | jq '.jobs | length')"
	has "$(ctl orphans --remove sockerless-eeeeeeeeeeee 2>&1 || true)" 'does not exist'
	has "$(ctl orphans --remove a/b 2>&1 || true)" 'sockerlessctl:'
}
t "orphans are listed, adopted and removed" orphans

others_jobs() {
	jq -cn --arg i "$REG/library/busybox:latest" '{template: {template: {containers: [{image: $i}]}}}' >"$T/job.json"
	api POST '?jobId=not-ours' "@$T/job.json"
	eq '[]' "$(ctl orphans --json)"
	has "$(ctl orphans --remove not-ours 2>&1 || true)" 'is no orphan'
	api DELETE /not-ours
}
t "jobs that no gateway made are nobody's orphans" others_jobs

finish
