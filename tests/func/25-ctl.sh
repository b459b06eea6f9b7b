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
wrong() {
	refused 'No such container: nosuch' 1 tunnel kill nosuch
	refused 'has no agent' 1 tunnel kill idle
	refused 'usage: sockerlessctl' 2 tunnel
	refused 'usage: sockerlessctl' 2 agents --nonsense
	refused 'usage: sockerlessctl' 2 nonsense
	refused "$T/nobody" 1 -H "unix://$T/nobody" agents
}
t "what is wrong is said, with status 1 or 2" wrong

finish
