#!/usr/bin/env bash
# sockerlessctl and the calls below /internal/v1: which agents are connected, one is cut, is the gateway well.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox
must docker run -d --name box busybox sleep 1000
must docker create --name idle busybox true
ctl() { timeout -k 5 20 "$BUILD/bin/sockerlessctl" "$@"; }
ask() { curl -sS -m 10 --unix-socket "$T/docker.sock" "$@"; } # curl's arguments
agent() { ctl agents --json | jq -er ".[] | select(.name == \"$1\") | .$2"; }

health() {
	eq ok "$(ask http://d/internal/v1/healthz | jq -r .status)"
}
t "healthz says ok" health

listed() {
	eq "$(docker inspect -f '{{.Id}}' box)" "$(agent box id)"
	eq true "$(agent box up)"
	eq 1 "$(ctl agents --json | jq length)" "agents"
	has "$(ctl agents)" "$(docker ps -qf name=box)  box"
	has "$(ctl agents)" "$(agent box execution)"
	eq "$(ctl agents --json | jq -S '.[0].id')" "$(ask http://d/internal/v1/agents | jq -S '.[0].id')"
}
t "agents: as a table and as JSON" listed

resumed() { [ "$(agent box up)" = true ] && [ "$(agent box resumes)" = "$1" ]; }
cut_off() {
	local before
	before=$(agent box resumes)
	ctl tunnel kill box
	until_true 10 resumed $((before + 1))
	eq x "$(echo x | docker exec -i box cat)"
}
t "tunnel kill cuts the link, the agent comes back" cut_off

refused() { # text status command...
	local out rc=0
	out=$(ctl "${@:3}" 2>&1) || rc=$?
	eq "$2" $rc "status of $3"
	has "$out" "$1"
}
# A process that does not read: its stdin stands still, and the tables say so.
waiting() { ctl tunnel streams box | grep -q 'to agent.* [1-9][0-9]*m\?s *[1-9][0-9]*m\?s *$'; }
stuck() {
	docker exec box mkfifo /tmp/go
	head -c 4M /dev/zero | docker exec -i box sh -c 'read -r go </tmp/go; cat | wc -c' >"$T/stuck" &
	local exec=$!
	until_true 10 waiting
	has "$(ctl tunnel streams box)" "from agent"
	[ "$(agent box oldest_unacked_ms)" -gt 0 ]
	docker exec box sh -c 'echo go >/tmp/go'
	wait $exec
	eq 4194304 "$(cat "$T/stuck")"
	[ "$(agent box paused_ms)" -gt 0 ]
}
t "tunnel streams: how far they are at both ends, and since when one waits" stuck

# Ours are HELLO, what was said, and the PING; their answers come from the agent.
traced() {
	local frames
	has "$(ctl ping box)" "box answers, round trip "
	frames=$(ctl tunnel trace box)
	echo "$frames"
	grep -qE 'to agent +PING' <<<"$frames"
	grep -qE '^ *[0-9]+ms +from agent +PONG +0 +0 +0 +[1-9][0-9]*$' <<<"$frames"
	docker exec box sh -c 'head -c 1234 /dev/zero' >/dev/null
	ctl tunnel trace box | grep -E 'from agent +DATA +[0-9]*[13579] +0 +0 +1242$' >/dev/null
}
t "ping, and tunnel trace shows the last frames" traced

metric() { ask http://d/internal/v1/metrics | sed -n "s/^sockerless_$1 //p"; }
measured() {
	local resent
	eq 1 "$(metric 'agents{state="up"}')"
	eq 1 "$(metric resumes_total)"
	eq 1 "$(metric sessions_total)"
	eq 268435456 "$(metric window_budget_bytes)"
	eq 0 "$(metric 'execs{state="started"}')"
	[ "$(metric 'execs{state="exited"}')" -ge 4 ]
	[ "$(metric descriptors)" -ge 10 ]
	[ "$(metric descriptors_max)" -gt "$(metric descriptors)" ]
	resent=$(metric 'stream_bytes_total{direction="out"}')
	[ "$resent" -ge 4194304 ]
	! ask http://d/internal/v1/metrics | grep -vE '^(# (HELP|TYPE) sockerless_[a-z_]+ |sockerless_[a-z_]+(\{[a-z]+="[a-z]+"\})? [0-9.e+-]+$)'
}
t "metrics: the tunnels in numbers" measured

wrong() {
	refused 'No such container: nosuch' 1 tunnel kill nosuch
	refused 'has no agent' 1 tunnel kill idle
	refused 'has no agent' 1 tunnel streams idle
	refused 'has no agent' 1 tunnel trace idle
	refused 'has no agent' 1 ping idle
	refused 'usage: sockerlessctl' 2 tunnel
	refused 'usage: sockerlessctl' 2 agents --nonsense
	refused 'usage: sockerlessctl' 2 nonsense
	refused "$T/nobody" 1 -H "unix://$T/nobody" agents
}
t "what is wrong is said, with status 1 or 2" wrong

finish
