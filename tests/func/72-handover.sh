#!/usr/bin/env bash
# A planned restart: the gateway replaces its own program while clients are connected, and none of them notices.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
# A program of its own, which an upgrade may replace.
mkdir -p "$T/build/bin"
cp "$BUILD"/bin/{sockerless-gateway,sockerlessctl,cloudrun-emulator} "$T/build/bin"
ln -s "$(realpath "$BUILD/share")" "$T/build/share"
BUILD=$T/build
settings=$T/settings
echo 'SOCKERLESS_POLL_INTERVAL = "1s"' >"$settings"
export SOCKERLESS_ENV_FILE=$settings
engine_start busybox

must docker run -d --name box busybox sleep 1000000
must docker exec box sh -c 'dd if=/dev/urandom of=/tmp/big bs=1M count=64 2>/dev/null'
big=$(docker exec box sha256sum /tmp/big | cut -c1-64)
ctl() { timeout -k 5 90 "$BUILD/bin/sockerlessctl" "$@"; }
restart() { has "$(ctl restart)" 'has taken over'; }
times_restarted() { grep -c 'the restart is done' "$T/engine.log"; }
restarted_since() { [ "$(times_restarted)" -gt "$1" ]; }

same_process() {
	local before
	before=$(times_restarted) || true
	restart
	until_true 10 restarted_since "$before"
	eq $((before + 1)) "$(times_restarted)"
	eq hi "$(docker exec box echo hi)"
	ping_engine
	eq "$engine_pid" "$(cat "$T/engine.pid")"
	is_state box running
}
t "a restart keeps the process and serves on" same_process

output() {
	eq "$big" "$(docker exec box cat /tmp/big | { head -c 1000000; restart >&2; cat; } | sum)"
}
t "64 MiB of an exec's output across a restart" output

exit_code() {
	local script='head -c 9000000 /tmp/big; echo aside >&2; exit 7'
	{ "$DOCKER" exec box sh -c "$script" 2>"$T/err" || echo $? >"$T/code"; } | { head -c 1000; restart >&2; cat; } >"$T/out"
	eq 7 "$(cat "$T/code")"
	eq "$(docker exec box head -c 9000000 /tmp/big | sum)" "$(sum "$T/out")"
	eq aside "$(cat "$T/err")"
}
t "exit code and stderr behind 9 MB of output across a restart" exit_code

both_ways() {
	random_file "$T/in" 16
	eq "$(sum "$T/in")" "$({ head -c 9000001 "$T/in"; restart >&2; tail -c +9000002 "$T/in"; } | docker exec -i box cat | sum)"
}
t "exec -i: 16 MiB there and back across a restart" both_ways

in_terminal() { timeout -k 5 60 "$PYTHON" "$func_dir/terminal.py" through_restart "$BUILD/bin/sockerlessctl"; }
t "exec -it in a terminal that is typed into meanwhile" in_terminal

# One container, everybody who may look at it, a restart, its end.
watched() {
	docker run -d --name seen busybox sh -c \
		'i=0; while [ ! -e /tmp/end ]; do i=$((i+1)); echo $i; echo e$i >&2; usleep 2000; done; exit 23' >/dev/null
	local from
	from=$(date +%s.%N)
	(trap - ERR; exec "$DOCKER" attach seen) >"$T/attached" 2>"$T/attached2" & local attach=$!
	docker logs -f seen >"$T/logged" 2>"$T/logged2" & local logs=$!
	docker logs -f --tail 0 -t seen >"$T/stamped" 2>/dev/null & local stamped=$!
	docker wait seen >"$T/waited" & local waiting=$!
	docker events --since "$from" --filter container=seen --format '{{.Action}}' >"$T/events" & local events=$!
	docker stats --format '{{.Name}}' seen >"$T/stats" & local stats=$!
	until_true 10 grep -q '^50$' "$T/logged"
	until_true 10 test -s "$T/attached" -a -s "$T/attached2" -a -s "$T/stamped"
	restart
	docker exec seen true
	restart
	docker exec seen touch /tmp/end || true # it may be ended with its container
	until_true 10 is_state seen exited
	status 23 wait $attach
	wait $logs $stamped $waiting
	eq 23 "$(cat "$T/waited")"
	until_true 5 grep -q '^die$' "$T/events"
	kill $events $stats
	local last
	last=$(tail -n 1 "$T/logged")
	[ "$last" -gt 50 ] || fail "only $last lines"
	eq "$(seq "$last" | sum)" "$(sum "$T/logged")" "logs -f: stdout"
	eq "$(seq -f e%g "$last" | sum)" "$(sum "$T/logged2")" "logs -f: stderr"
	eq "$(seq "$(head -n 1 "$T/attached")" "$last" | sum)" "$(sum "$T/attached")" "attach: stdout"
	eq "$(seq -f e%g "$(head -n 1 "$T/attached2" | tr -d e)" "$last" | sum)" "$(sum "$T/attached2")" "attach: stderr"
	eq "$last" "$(tail -n 1 "$T/stamped" | cut -d' ' -f2)" "logs -t"
	eq "exec_create: exec_start: exec_die exec_create: exec_start: die" \
		"$(grep -v attach "$T/events" | cut -d' ' -f1 | sed '6{/exec_die/d}' | xargs)" "events"
}
t "attach, logs -f, wait, events and stats across two restarts" watched

# A start and a stop that are under way: their clients are answered by the next image.
operations() {
	docker run -d --name slow --stop-timeout 2 busybox sh -c 'trap "echo asked" TERM; while :; do sleep 0.1; done' >/dev/null
	until_true 5 docker exec slow true
	docker stop slow >"$T/stopped" & local stop=$!
	until_true 5 log_has slow asked
	restart
	wait $stop
	eq slow "$(cat "$T/stopped")"
	eq 137 "$(state slow ExitCode)"
	local runs=() i
	for i in 1 2 3; do
		"$DOCKER" run --rm busybox sh -c "echo $i; exit $i" >"$T/run.$i" & runs+=($!)
	done
	restart
	for i in 1 2 3; do
		status "$i" wait "${runs[i - 1]}"
		eq "$i" "$(cat "$T/run.$i")"
	done
}
t "docker stop and docker run that are under way" operations

# A copy is no stream that could go on elsewhere: it is waited for.
waited_for() {
	local sum
	sum=$(docker cp box:/tmp/big - | { head -c 100000; (sleep 0.5; touch "$T/copy.may.end") & ctl restart >"$T/restarted" & until [ -e "$T/copy.may.end" ]; do sleep 0.05; done
		[ ! -s "$T/restarted" ] || touch "$T/early"
		cat; wait; } | tar -xO | sum)
	eq "$big" "$sum"
	[ ! -e "$T/early" ] || fail "it was not waited for"
	has "$(cat "$T/restarted")" 'has taken over'
}
t "a copy that is under way is waited for" waited_for

# Clients come all the time, one after the other in five rows; none is refused or fails.
stream_of_clients() { # row
	local n=0
	while [ ! -e "$T/enough" ]; do
		n=$((n + 1))
		[ "$(docker exec -i box cat <<<"$1 $n" 2>>"$T/refused")" = "$1 $n" ] || echo "row $1: client $n failed" >>"$T/refused"
	done
	echo "$n" >>"$T/clients"
}
under_load() {
	local rows=() i
	docker exec box head -c 200000000 /dev/zero | sum >"$T/zeros" & local zeros=$!
	for i in 1 2 3 4 5; do
		stream_of_clients "$i" & rows+=($!)
	done
	for i in $(seq "${RESTARTS:-6}"); do
		restart
		sleep 0.2
	done
	touch "$T/enough"
	wait "${rows[@]}"
	[ ! -s "$T/refused" ] || fail "$(head -n 5 "$T/refused")"
	echo "clients in each row: $(xargs <"$T/clients")"
	[ "$(awk '{ n += $1 } END { print n }' "$T/clients")" -ge 20 ] || fail "hardly any load"
	wait $zeros
	eq "$(head -c 200000000 /dev/zero | sum)" "$(cat "$T/zeros")"
}
t "restarts under load: no client is refused, none fails" under_load

at_once() {
	ctl restart >"$T/one" 2>&1 & local first=$!
	ctl restart >"$T/other" 2>&1 || true
	wait $first || true
	has "$(cat "$T/one" "$T/other")" 'has taken over'
	eq 2 "$(grep -cE 'has taken over|a restart is under way' <(cat "$T/one" "$T/other"))"
	kill -HUP "$engine_pid"
	kill -HUP "$engine_pid"
	local before
	before=$(times_restarted)
	until_true 10 restarted_since "$before"
	restart
}
t "two at once, and two signals at once" at_once

# A published port is listened on all the time, and settings are read anew.
new_settings() {
	docker run -d --name web -p 127.0.0.1::80 busybox sh -c 'mkdir /w; head -c 6000000 /dev/urandom >/w/big; echo page >/w/index.html; exec httpd -f -h /w' >/dev/null
	local port
	port=$(docker port web 80/tcp | cut -d: -f2)
	until_true 10 curl -sf -m 2 "http://127.0.0.1:$port/"
	# A connection that is in the middle of a download.
	curl -s -m 30 --limit-rate 4M "http://127.0.0.1:$port/big" >"$T/page" & local page=$!
	until_true 5 test -s "$T/page"
	restart
	wait $page
	eq "$(docker exec web cat /w/big | sum)" "$(sum "$T/page")" 'through a published port'
	echo 'SOCKERLESS_POLL_INTERVAL=often' >"$settings"
	refused "SOCKERLESS_POLL_INTERVAL"
	echo 'nonsense' >>"$settings"
	refused 'line 2: want NAME=value'
	printf '# what is published\nSOCKERLESS_PUBLISH_ADDRESS=127.0.0.9\n' >"$settings"
	restart
	eq page "$(curl -sf -m 5 "http://127.0.0.1:$port/")"
	docker run -d --name web9 -p 80 busybox sleep 1000 >/dev/null
	has "$(docker port web9)" '127.0.0.9:'
	: >"$settings"
	restart
	eq page "$(curl -sf -m 5 "http://127.0.0.1:$port/")"
	docker run -d --name web0 -p 80 busybox sleep 1000 >/dev/null
	has "$(docker port web0)" '0.0.0.0:'
	docker rm -f web web9 web0 >/dev/null
}

# The program that is there then: one that breaks, one that does not answer in our way, none at all.
refused() { # text
	local out rc=0
	out=$(ctl restart 2>&1) || rc=$?
	eq 1 $rc "status of restart"
	has "$out" "$1"
	grep -q 'no restart: this one goes on' "$T/engine.log"
}
broken() {
	docker exec box sh -c 'for i in $(seq 40); do echo $i; usleep 50000; done' >"$T/meanwhile" & local meanwhile=$!
	mv "$BUILD/bin/sockerless-gateway" "$T/good"
	printf '#!/bin/sh\necho first words >&2\necho a part is missing >&2\nexit 3\n' >"$BUILD/bin/sockerless-gateway"
	chmod +x "$BUILD/bin/sockerless-gateway"
	refused 'would not start: a part is missing'
	printf '#!/bin/sh\nkill -SEGV $$\n' >"$BUILD/bin/sockerless-gateway"
	refused 'killed by signal 11'
	rm "$BUILD/bin/sockerless-gateway"
	refused 'No such file'
	mv "$T/good" "$BUILD/bin/sockerless-gateway"
	restart
	wait $meanwhile
	eq "$(seq 40)" "$(cat "$T/meanwhile")"
}
t "a program that would not start: this one goes on and says why" broken

t "new settings, and published ports" new_settings

nothing_stays() {
	eq "$(printf '%s\n' cloudrun-emulator docker-registry)" "$(ps -o comm= --ppid "$engine_pid" | sed 's/cloudrun-emulat$/&or/' | sort)"
}
t "no process is left of those before" nothing_stays

finish
