#!/usr/bin/env bash
# A planned restart: the gateway replaces its own program while clients are connected, and none of them notices.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
# A program of its own, which an upgrade may replace.
mkdir -p "$T/build/bin"
cp "$BUILD"/bin/{sockerless-gateway,sockerlessctl,cloudrun-emulator} "$T/build/bin"
ln -s "$(realpath "$BUILD/share")" "$T/build/share"
BUILD=$T/build
engine_start busybox

must docker run -d --name box busybox sleep 1000000
must docker exec box sh -c 'dd if=/dev/urandom of=/tmp/big bs=1M count=64 2>/dev/null'
big=$(docker exec box sha256sum /tmp/big | cut -c1-64)
ctl() { timeout -k 5 90 "$BUILD/bin/sockerlessctl" "$@"; }
restart() { has "$(ctl restart)" 'has taken over'; }
times_restarted() { grep -c 'the restart is done' "$T/engine.log"; }

same_process() {
	local before
	before=$(times_restarted) || true
	restart
	eq $((before + 1)) "$(times_restarted)"
	eq hi "$(docker exec box echo hi)"
	ping_engine
	eq "$engine_pid" "$(cat "$T/engine.pid")"
	is_state box running
}
t "a restart keeps the process and serves on" same_process

output() {
	eq "$big" "$(docker exec box cat /tmp/big | { head -c 1000000; restart >&2; cat; } | sum)"
	eq 7 "$(docker exec box sh -c 'cat /tmp/big; exit 7' | { head -c 1000000; restart >&2; cat; } | sum >"$T/sum"; echo "${PIPESTATUS[0]}")"
	eq "$big" "$(cat "$T/sum")"
}
t "64 MiB of an exec's output and its exit code across a restart" output

both_ways() {
	random_file "$T/in" 32
	eq "$(sum "$T/in")" "$({ head -c 9000001 "$T/in"; restart >&2; tail -c +9000002 "$T/in"; } | docker exec -i box cat | sum)"
}
t "exec -i: 32 MiB there and back across a restart" both_ways

finish
