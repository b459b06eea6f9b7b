#!/usr/bin/env bash
# The predecessor's agent with our gateway, and our agent with the predecessor's back end: docs/predecessor.md.
# The image's agent is predecessor_agent.py.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
export SOCKERLESS_AGENT_MODE=baked SOCKERLESS_AGENT_TIMEOUT=15s
engine_start predecessor baked

start() { docker run -d --name "$@" >/dev/null; }

back_end() { $PYTHON "$func_dir/predecessor_backend.py" "$MODE" "$BUILD/bin/sockerless-agent"; }
t "our agent with the predecessor's back end" back_end

must start pre predecessor sh -c 'echo begun; echo told >&2; exec sleep 100000'

output() {
	eq 'out' "$(docker exec pre sh -c 'echo out; echo err >&2' 2>"$T/err")"
	eq err "$(cat "$T/err")"
}
t "exec: stdout and stderr" output
codes() {
	status 7 docker exec pre sh -c 'exit 7'
	status 137 docker exec pre sh -c 'kill -KILL $$'
	status 127 docker exec pre /no/such/program
}
t "exec: exit codes" codes
sentence() { has "$(docker exec pre /no/such/program 2>&1 || true)" 'no such file'; }
t "exec: what cannot be started says why" sentence
input() { eq 'through it' "$(echo 'through it' | docker exec -i pre cat)"; }
t "exec: stdin and its end" input
environment() {
	eq 'a=<b>&"c" /tmp' "$(docker exec -e 'V=a=<b>&"c"' -w /tmp pre sh -c 'echo "$V $(pwd)"')"
	eq 'naïve 漢' "$(docker exec pre echo 'naïve 漢')"
}
t "exec: variables, directory, text that JSON escapes" environment
bulk() {
	random_file "$T/bulk" 8
	docker exec -i pre cat <"$T/bulk" >"$T/back"
	eq "$(sum "$T/bulk")" "$(sum "$T/back")"
}
t "exec: 8 MiB through it and back" bulk
terminal() {
	local got
	got=$($PYTHON "$func_dir/predecessor_client.py" terminal pre)
	has "$got" '40 100'
	has "$got" '50 120'
	has "$got" 'code 5'
}
t "exec: a terminal, its size, its new size, its exit" terminal
signalled() {
	docker exec -d pre sh -c 'trap "touch /usr1; exit" USR1; echo $$ >/pid; while :; do sleep 0.05; done'
	until_true 5 docker exec pre test -s /pid
	docker exec pre sh -c 'kill -USR1 $(cat /pid)'
	until_true 5 docker exec pre test -e /usr1
}
t "exec: detached" signalled
both_logs() {
	eq 'begun told ' "$(docker logs pre 2>&1 | sort | tr '\n' ' ')"
	eq told "$(docker logs pre 2>&1 >/dev/null)"
}
t "logs: what was said before the agent was attached to" both_logs
slow() { $PYTHON "$func_dir/predecessor_client.py" slow pre 24; }
t "exec: a client that reads slowly gets every byte" slow

attached() {
	eq 'line' "$(echo line | docker run --rm -i predecessor cat)"
	status 3 docker run --rm -i predecessor sh -c 'read x; exit 3' <<<x
}
t "run: attached, stdin, its end, exit code, wait" attached
replayed() { # the connection is lost after 1.4 MB: what the replay says again is left out
	start rp predecessor sh -c 'while [ ! -e /begin ]; do sleep 0.05; done; seq 1 200000; while [ ! -e /go ]; do sleep 0.05; done; echo finished; exec sleep 1000'
	docker exec rp touch /begin # what it says before it is attached to is lost beyond 1 MiB
	until_true 20 log_has rp '^200000$'
	status 137 docker exec rp @cut
	until_true 15 docker exec rp touch /go
	until_true 10 log_has rp finished
	docker logs rp >"$T/rp"
	{ seq 1 200000; echo finished; } | cmp - "$T/rp"
	docker rm -f rp >/dev/null
}
t "logs: 1.4 MB, and the same after a connection with a replay of 1 MiB" replayed

again() { # the agent comes back, main goes on, nothing is said twice
	start again predecessor sh -c 'echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two; exec sleep 1000'
	until_true 10 log_has again one
	status 137 docker exec again @cut
	until_true 15 docker exec again touch /go
	until_true 10 log_has again two
	eq 'one two ' "$(docker logs again | tr '\n' ' ')"
	docker rm -f again >/dev/null
}
t "a connection that just ends: exec 137, main goes on, no output twice" again
nonsense() {
	start bad predecessor sh -c 'echo here; exec sleep 1000'
	local what
	for what in @garbage @oversized @binary; do
		status 137 docker exec bad $what
		until_true 15 docker exec bad true
	done
	eq here "$(docker logs bad)"
	docker rm -f bad >/dev/null
}
t "garbage, a message of 5.6 MB, a binary one: cut off, and welcome again" nonsense
unknown() {
	eq ours "$(docker exec pre @unknown || test $? = 3)"
	is_state pre running
}
t "messages of other types and for others are skipped" unknown
expired() {
	start ex predecessor sleep 1000
	docker exec ex @expire
	has "$(docker exec ex true 2>&1 || true)" 'end of its life'
	docker rm -f ex >/dev/null
}
t "lifetime_expired: further execs are refused, and say so" expired

stopped() {
	start st predecessor sleep 1000
	docker kill -s HUP st >/dev/null
	eq 129 "$(docker wait st)"
	docker rm st >/dev/null
	start st predecessor sh -c 'trap "exit 9" TERM; while :; do sleep 0.05; done'
	docker exec st true
	docker stop -t 5 st >/dev/null
	eq 9 "$(state st ExitCode)"
	docker rm st >/dev/null
}
t "kill, stop, wait" stopped
cannot() {
	local what
	has "$(docker cp pre:/etc/passwd - 2>&1 || true)" "the predecessor's"
	has "$(docker top pre 2>&1 || true)" "the predecessor's"
	has "$(docker pause pre 2>&1 || true)" "the predecessor's"
	has "$(docker exec -u 1000 pre id 2>&1 || true)" 'as its own user only'
	status 126 docker exec -u 1000 pre id
	has "$(docker kill -s WINCH pre 2>&1 || true)" 'TERM, KILL, INT, HUP, QUIT, USR1 and USR2'
	is_state pre running
}
t "what the dialect has no words for is refused with a sentence" cannot

token_in_url() {
	start tu predecessor token-in-url sleep 1000
	eq fine "$(docker exec tu echo fine)"
	docker rm -f tu >/dev/null
}
[ "$MODE" = forward ] || t "the token in the URL alone" token_in_url
doors() { $PYTHON "$func_dir/predecessor_client.py" doors "$(docker inspect -f '{{.Id}}' pre)" "ws://$(local_json callback)"; }
[ "$MODE" = forward ] || t "doors: no id, unknown id, wrong token, foreign subprotocol" doors

restarted() {
	docker exec pre sh -c 'echo kept >/kept'
	echo "$EPOCHREALTIME" >"$T/before"
	engine_kill
	gateway_run
	until_true 20 docker exec pre cat /kept
	eq 'begun told ' "$(docker logs pre 2>&1 | sort | tr '\n' ' ')"
}
t "the gateway is killed and started again: the agent is back, its replay adds nothing" restarted
# A job that the predecessor has made, whose agent calls the gateway that has taken its backend's place.
JOBS=$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs
has_told_its_address() { # 12 digits
	curl -sS "$(local_json emulator)/v2/entries:list" \
		-d '{"resourceNames": ["projects/sockerless-local"], "orderBy": "timestamp desc", "filter": "resource.labels.job_name=\"sockerless-'"$1"'\""}' |
		grep sockerless_agent >/dev/null
}
job() { # 12 digits, further environment as JSON, what comes behind the URL
	local cid url=''
	cid=$1$(printf '0%.0s' {1..52})
	[ "$MODE" = forward ] || url=http://$(local_json callback)/${3//ID/$cid}
	jq -cn --arg c "$1" --arg i "$(local_json registry)/library/predecessor:latest" --arg u "$url" --argjson e "$2" \
		'{labels: {sockerless_managed: "true", sockerless_container_id: $c, sockerless_instance: "old"}, template: {template:
		{maxRetries: 0, containers: [{name: "main", image: $i, env: ($e + [{name: "SOCKERLESS_AGENT_CALLBACK_URL", value: $u}]),
		command: ["/sockerless/bin/sockerless-agent", "run", "--", "sh", "-c", "echo from before; exec sleep 100000"]}]}}}' >"$T/job.json"
	curl -sS --fail-with-body "$JOBS?jobId=sockerless-$1" -d "@$T/job.json" >/dev/null
	curl -sS --fail-with-body "$JOBS/sockerless-$1:run" -d '{}' >/dev/null
	[ "$MODE" != forward ] || until_true 20 has_told_its_address "$1"
	"$BUILD/bin/sockerlessctl" orphans --adopt "sockerless-$1"
	until_true 20 docker exec "sockerless-$1" true
	eq hello "$(docker exec "sockerless-$1" echo hello)"
	until_true 10 log_has "sockerless-$1" 'from before'
	docker stop -t 0 "sockerless-$1"
	docker rm "sockerless-$1"
}
taken_over() {
	job abababababab '[{"name": "SOCKERLESS_CONTAINER_ID", "value": "'"abababababab$(printf '0%.0s' {1..52})"'"},
		{"name": "SOCKERLESS_AGENT_TOKEN", "value": "of the job"}]' 'internal/v1/agent/connect?id=ID'
}
t "a container that the predecessor has started: its agent calls or is called, exec, logs, stop" taken_over
finished() {
	docker stop -t 0 pre >/dev/null
	eq 137 "$(state pre ExitCode)"
}
t "the end of main" finished
bootstrap() { # the last generation's have no token: by a setting only
	engine_kill
	SOCKERLESS_ACCEPT_BOOTSTRAPS=1 gateway_run
	job cdcdcdcdcdcd "[{\"name\": \"SOCKERLESS_CONTAINER_ID\", \"value\": \"cdcdcdcdcdcd$(printf '0%.0s' {1..52})\"}]" \
		'v1/cloudrun/reverse?session_id=ID'
}
[ "$MODE" = forward ] || t "an agent without a token, where that is allowed" bootstrap

finish
