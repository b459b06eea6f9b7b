#!/usr/bin/env bash
# Links that are ended for their age: agents renew theirs before, or the gateway does that has dialled, under load, and
# nobody notices.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
export SOCKERLESS_LINK_LIFETIME=1s
BULK_MIB=${BULK_MIB:-64}
engine_start busybox
must docker run -d --name box busybox sleep 1000
resumes() { "$BUILD/bin/sockerlessctl" agents --json | jq '.[0].resumes'; }
renewed() { [ "$(resumes)" -ge "$1" ]; }

both_ways() {
	local before sum
	before=$(resumes)
	head -c "${BULK_MIB}M" /dev/urandom >"$T/bytes"
	sum=$(sha256sum <"$T/bytes")
	until renewed $((before + 3)); do
		eq "$sum" "$(docker exec -i box cat <"$T/bytes" | sha256sum)"
	done
}
t "$BULK_MIB MiB go both ways, again and again, over link after link" both_ways

# One that asks and waits for the answer: what a renewal costs it is one round trip.
conversation() {
	local i=0 before to
	before=$(resumes)
	coproc EXEC { docker exec -i box cat; }
	until [ $((++i % 50)) = 0 ] && renewed $((before + 2)); do
		echo "line $i" >&"${EXEC[1]}"
		read -r -t 10 reply <&"${EXEC[0]}"
		eq "line $i" "$reply"
	done
	to=${EXEC[1]}
	exec {to}>&-
	wait "$EXEC_PID"
}
t "a conversation goes on across renewals" conversation

quiet() {
	! grep -E "agent silent|protocol error|cannot be resumed" "$T/engine.log"
}
t "none of them was a failure" quiet

finish
