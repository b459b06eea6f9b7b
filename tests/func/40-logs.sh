#!/usr/bin/env bash
# docker logs: during and after, -f, --tail, --since, --until, -t; nothing lost, streams apart.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run --name done busybox sh -c 'for i in 1 2 3 4 5; do echo out$i; usleep 20000; echo err$i >&2; usleep 20000; done'
must docker run -d --name ticking busybox sh -c \
	'i=0; trap "echo bye; exit 0" TERM; while :; do i=$((i+1)); echo tick$i; sleep 0.2; done'

after() {
	eq "$(printf 'out%s\n' 1 2 3 4 5)" "$(docker logs done 2>/dev/null)"
	eq "$(printf 'err%s\n' 1 2 3 4 5)" "$(docker logs done 2>&1 >/dev/null)"
}
t "logs after the exit, stdout and stderr apart" after

during() {
	until_true 10 log_has ticking tick3
	eq 1 "$(docker logs ticking | grep -c '^tick1$')"
}
t "logs while it runs" during

follow_live() {
	docker logs -f --tail 0 ticking >"$T/follow" &
	local pid=$!
	until_true 10 grep -q tick "$T/follow"
	kill $pid
	! wait $pid
}
t "logs -f shows what comes" follow_live

follow_ends() {
	docker run -d --name ending busybox sh -c 'echo a; sleep 1; echo b; sleep 1; echo c' >/dev/null
	eq "$(printf 'a\nb\nc')" "$(within 15 docker logs -f ending)"
	eq "$(printf 'a\nb\nc')" "$(within 5 docker logs -f ending)" 'after the end'
	docker rm ending
}
t "logs -f ends with the container, and at once after it" follow_ends

tail_lines() {
	eq "$(printf 'out5\nerr5')" "$(docker logs --tail 2 done 2>&1 | sort -r)"
	eq '' "$(docker logs --tail 0 done 2>&1)"
	eq 10 "$(docker logs --tail 100 done 2>&1 | wc -l)"
	eq 10 "$(docker logs --tail all done 2>&1 | wc -l)"
	eq out5 "$(docker logs --tail 2 done 2>/dev/null)" 'both streams are counted'
}
t "--tail counts the last lines of both streams" tail_lines

timestamps() {
	local line
	docker logs -t done 2>/dev/null >"$T/times"
	eq 5 "$(wc -l <"$T/times")"
	while read -r line; do
		[[ $line =~ ^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z\ out[1-5]$ ]] || fail "line: $line"
	done <"$T/times"
	sort -c "$T/times"
	local started
	started=$(date -d "$(state done StartedAt)" +%s)
	local first
	first=$(date -d "$(head -n1 "$T/times" | cut -d' ' -f1)" +%s)
	[ $((first - started)) -ge -1 ] && [ $((first - started)) -le 5 ] || fail "started $started, first line $first"
}
t "-t gives the time of each line, nine digits" timestamps

since_until() {
	docker run --name spaced busybox sh -c 'echo one; sleep 1.2; echo two; sleep 1.2; echo three' >/dev/null
	local times
	mapfile -t times < <(docker logs -t spaced | cut -d' ' -f1)
	eq "$(printf 'two\nthree')" "$(docker logs --since "${times[1]}" spaced)"
	eq "one" "$(docker logs --until "$(date -u -d "${times[1]} - 0.5 seconds" +%FT%T.%NZ)" spaced)"
	eq "two" "$(docker logs --since "${times[1]}" --until "$(date -u -d "${times[2]} - 0.5 seconds" +%FT%T.%NZ)" spaced)"
	eq '' "$(docker logs --since "$(date -u -d '+1 hour' +%FT%TZ)" spaced)"
	eq 3 "$(docker logs --since 10m spaced | wc -l)"
	docker rm spaced
}
t "--since and --until cut by time" since_until

hundred_thousand() {
	docker run -d --name many busybox seq 100000 >/dev/null
	eq 0 "$(docker wait many)"
	eq "$(seq 100000 | sha256sum)" "$(docker logs many | sha256sum)"
	eq "$(seq 99991 100000)" "$(docker logs --tail 10 many)"
	docker rm many
}
t "100,000 lines and an exit at once: none is lost in logs" hundred_thousand

followed_from_start() {
	docker create --name racer busybox seq 100000 >/dev/null
	docker start racer >/dev/null
	eq "$(seq 100000 | sha256sum)" "$(docker logs -f racer | sha256sum)"
	docker rm racer
}
t "100,000 lines: none is lost in logs -f" followed_from_start

exact_bytes() {
	gateway_only # 20.10 keeps UTF-8 only
	docker run --name raw busybox sh -c 'printf "a\r\nb\0c\n\n\377end"' >/dev/null
	eq "$(printf 'a\r\nb\0c\n\n\377end' | od -An -c)" "$(docker logs -f raw | od -An -c)" followed
	eq "$(printf 'a\r\nb\0c\n\n\377end' | od -An -c)" "$(docker logs raw | od -An -c)"
	docker rm raw
}
t "bytes are kept as they were written, also a last line without newline" exact_bytes

long_line() {
	docker run --name long busybox sh -c 'head -c 100000 /dev/zero | tr "\0" x; echo' >/dev/null
	eq "$( (head -c 100000 /dev/zero | tr '\0' x; echo) | sha256sum)" "$(docker logs long | sha256sum)"
	docker rm long
}
t "a line of 100,000 bytes is one line" long_line

many_followers() {
	local i pids=()
	docker run -d --name shared busybox sh -c 'sleep 1; seq 20000' >/dev/null
	for i in 1 2 3 4; do
		docker logs -f shared >"$T/follower.$i" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in 1 2 3 4; do
		eq "$(seq 20000 | sha256sum)" "$(sha256sum <"$T/follower.$i")" "follower $i"
	done
	docker rm -f shared
}
t "four followers each get everything" many_followers

across_runs() {
	docker run --name again busybox sh -c 'echo run' >/dev/null
	docker start -a again >/dev/null
	eq "$(printf 'run\nrun')" "$(docker logs again)"
	docker rm again
}
t "logs hold every run of the container" across_runs

bye() {
	docker stop ticking
	has "$(docker logs --tail 1 ticking)" bye
}
t "the last words before a stop are there" bye

refused() {
	local text rc=0
	text=$(docker logs no-such-container 2>&1) || rc=$?
	eq 1 $rc status
	has "$text" 'No such container: no-such-container'
}
t "logs of a missing container are refused" refused

finish
