#!/usr/bin/env bash
# docker exec: exit codes, stdin and half-close, bulk transfers, cuts of the tunnel, many at once.
. "$(dirname "$0")/lib.sh"
BULK_MIB=${BULK_MIB:-256} SLOW_MIB=${SLOW_MIB:-4} CUTS=${CUTS:-10}
engine_start busybox
must docker run -d --name box busybox sleep 1000000
dexec() { docker exec "$@"; }
stream() { "$PYTHON" "$func_dir/streams.py" "$@"; }

echoes() { eq hi "$(dexec box echo hi)"; }
t "exec prints what the command prints" echoes

for code in 0 1 42 255; do
	t "exec reports exit status $code" status $code docker exec box sh -c "exit $code"
done
t "an exec killed by SIGKILL gives 137" status 137 docker exec box sh -c 'kill -9 $$'
t "an exec killed by SIGTERM gives 143" status 143 docker exec box sh -c 'kill -15 $$'

not_found() {
	local text rc=0
	text=$(dexec box no-such-program 2>&1) || rc=$?
	has "$text" no-such-program
	[ "$ENGINE" = dockerd ] || eq 127 $rc status
}
t "exec of a program that is not there gives 127 and its name" not_found
t "exec of a file that is not executable gives 126" status 126 docker exec box /etc/not-executable

at_once() { eq x "$(echo x | docker exec -i box cat)"; }
t "echo x | exec -i cat returns at once" within 10 at_once
no_stdin() { eq 0 "$(echo ignored | dexec box wc -c)"; }
t "exec without -i gives an empty stdin" no_stdin
half_close() { eq 'before
after' "$( (echo before; sleep 0.3) | docker exec -i box sh -c 'cat; sleep 0.3; echo after')"; }
t "output goes on after stdin has ended" half_close
apart() {
	dexec box sh -c 'echo out; echo err >&2' >"$T/out" 2>"$T/err"
	eq out "$(cat "$T/out")"
	eq err "$(cat "$T/err")"
}
t "stdout and stderr of an exec stay apart" apart
t "alternating stdout and stderr arrive in order, apart" stream alternate box

options() {
	eq 'b c' "$(dexec -e A='b c' box sh -c 'echo $A')"
	eq /tmp "$(dexec -w /tmp box pwd)"
	eq '1000:1000' "$(dexec -u app box sh -c 'echo $(id -u):$(id -g)')"
	eq '65534:2000' "$(dexec -u nobody:extra box sh -c 'echo $(id -u):$(id -g)')"
}
t "exec takes -e, -w and -u" options
environment() {
	local env
	env=$(dexec box env)
	has "$env" PATH=
	lacks "$env" TOKEN
}
t "an exec sees no secret of ours" environment

detached() {
	eq '' "$(dexec -d box sh -c 'sleep 0.2; echo done >/tmp/detached')"
	until_true 5 docker exec box cat /tmp/detached
}
t "exec -d returns at once and the command runs" detached

refused() {
	local text rc=0
	text=$(dexec no-such-container true 2>&1) || rc=$?
	eq 1 $rc status
	has "$text" 'No such container: no-such-container'
	docker create --name idle busybox true
	rc=0
	text=$(dexec idle true 2>&1) || rc=$?
	eq 1 $rc status
	has "$text" 'is not running'
	docker rm idle
}
t "exec in a missing or a stopped container is refused" refused

background() { eq hi "$(dexec box sh -c 'sleep 30 >/dev/null 2>&1 & echo hi')"; }
t "an exec that leaves a background process behind ends" within 5 background
held() {
	gateway_only # 20.10 waits for the last writer of the pipe
	eq hi "$(dexec box sh -c 'sleep 30 & echo hi')"
}
t "an exec whose background process holds the pipes ends soon" within 8 held

random_file "$T/bulk" "$BULK_MIB"
bulk_sum=$(sum "$T/bulk")
both_ways() {
	LIMIT=300 docker exec -i box cat <"$T/bulk" | sum >"$T/sum"
	eq "$bulk_sum" "$(cat "$T/sum")" sha256
}
t "$BULK_MIB MiB of random bytes through exec -i cat come back equal" both_ways

one_way() {
	LIMIT=300 docker exec -i box sha256sum <"$T/bulk" >"$T/sum"
	eq "$bulk_sum" "$(cut -c1-64 "$T/sum")" 'sha256 seen inside'
}
t "$BULK_MIB MiB into an exec arrive equal" one_way

t "a client that reads 1 MiB/s gets all $SLOW_MIB MiB" stream slow box "$SLOW_MIB"
t "a client that does not read holds up nobody else" stream unread box
t "a client that leaves in the middle does not hurt the container" stream leaves box

# Cuts the tunnel's socket again and again while the transfer of the case runs.
cut_repeatedly() { # file that says how many were made
	local i
	for i in $(seq "$CUTS"); do
		sleep 0.25
		until_true 10 docker exec box true
		"$BUILD/bin/sockerlessctl" tunnel kill box >>"$T/cuts.log" || return 1
		echo "$i" >"$1"
	done
}
with_cuts() { # slower than the wire, so that every cut falls into the transfer
	gateway_only
	local transfer cut
	"$PYTHON" "$func_dir/streams.py" paced "$T/bulk" $((BULK_MIB * 1048576 / (CUTS + 4))) |
		LIMIT=300 docker exec -i box cat | sum >"$T/cut.sum" &
	transfer=$!
	cut_repeatedly "$T/cuts" &
	cut=$!
	wait $cut || fail "cutting failed: $(cat "$T/cuts.log")"
	eq "$CUTS" "$(cat "$T/cuts")" 'cuts made'
	kill -0 $transfer || fail "the transfer was over before the last cut"
	wait $transfer
	eq "$bulk_sum" "$(cat "$T/cut.sum")" sha256
	local resumes
	resumes=$("$BUILD/bin/sockerlessctl" agents --json | jq '.[] | select(.name == "box").resumes')
	[ "$resumes" -ge "$CUTS" ] || fail "$resumes resumes after $CUTS cuts"
}
t "with the tunnel cut $CUTS times during the transfer, the bytes are still equal" with_cuts

responsive() {
	gateway_only
	LIMIT=300 docker exec -i box cat <"$T/bulk" >/dev/null &
	local bulk=$! i from us worst=0
	for i in 1 2 3 4 5; do
		from=${EPOCHREALTIME/./}
		docker exec box true
		us=$((${EPOCHREALTIME/./} - from))
		[ $us -le $worst ] || worst=$us
	done
	wait $bulk
	echo "worst exec beside the bulk transfer: $((worst / 1000)) ms"
	[ $worst -lt 2000000 ] || fail "an exec took $((worst / 1000)) ms beside a bulk transfer"
}
t "another exec stays responsive during a bulk transfer" responsive

many() {
	local i pids=()
	for i in $(seq 30); do
		docker exec -i box sh -c "cat; exit $i" <<<"input $i" >"$T/many.$i" &
		pids[i]=$!
	done
	for i in $(seq 30); do
		status "$i" wait "${pids[i]}"
		eq "input $i" "$(cat "$T/many.$i")"
	done
}
t "thirty execs at once keep their input, output and status to themselves" many

exec_inspect() { stream inspect box; }
t "exec inspect tells running, then the exit code" exec_inspect

large_arguments() {
	local long
	long=$(head -c 100000 /dev/zero | tr '\0' a)
	eq 100000 "$(dexec box sh -c 'printf %s "$1" | wc -c' sh "$long")"
}
t "an argument of 100,000 bytes arrives whole" large_arguments

finish
