#!/usr/bin/env bash
# Many at once: each exact, and nothing of them left in the gateway, its store or the cloud.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run --rm busybox true
must docker run -d --name box busybox sleep 1000000
many() { "$PYTHON" "$func_dir/many.py" "$@"; }
rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$engine_pid/status"; }
jobs_in_cloud() {
	curl -sf "$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs" | jq '.jobs | length'
}

t "200 execs at once, each with its own output, input and status" many execs box 200
t "and twice more" many execs box 200 2
t "50 docker run --rm at once, each with its own output and status" many runs 50
t "50 more" many runs 50
t "30 clients that vanish in the middle of an exec, a run, a pull, logs and events" many vanish box 30
t "every container but one is gone" eq box "$(docker ps -a --format '{{.Names}}' | xargs)"
only_one_job() {
	gateway_only
	until_true 20 eval '[ "$(jobs_in_cloud)" = 1 ]'
}
t "their jobs are gone too" only_one_job
rows() {
	gateway_only
	docker rm -f box >/dev/null
	# Containers and execs; images, networks and volumes have rows of their own.
	eq 0 "$(sqlite3 "$T/state/state.db" "select count(*) from documents where kind in ('container', 'exec')")" rows
	eq '' "$(find "$T/state/logs" "$T/state/pending" -type f 2>/dev/null)" files
}
t "no rows and no files are left" rows
flat() {
	gateway_only
	case $BUILD in *san-*) skip "a sanitizer keeps what is freed" ;; esac
	local before after
	docker run -d --name box busybox sleep 1000000 >/dev/null
	many execs box 200
	many runs 20
	before=$(rss_kib)
	for _ in 1 2 3 4 5; do
		many execs box 200
		many runs 20
	done
	after=$(rss_kib)
	echo "resident: $before KiB, then $after KiB"
	[ $((after - before)) -lt 4096 ] || fail "1,100 processes later the gateway is $((after - before)) KiB larger"
}
t "memory stays where it was" flat

finish
