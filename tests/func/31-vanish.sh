#!/usr/bin/env bash
# Clients that vanish: their processes live, what these say goes nowhere and is counted; a terminal may be hung up.
. "$(dirname "$0")/lib.sh"
export SOCKERLESS_ENV_FILE=$T/settings
: >"$SOCKERLESS_ENV_FILE"
engine_start busybox
must docker run -d --name box busybox sleep 1000000
vanish() { "$PYTHON" "$func_dir/vanish.py" "$@"; }
ctl() { timeout -k 5 20 "$BUILD/bin/sockerlessctl" "$@"; }
metric() { curl -sS -m 10 --unix-socket "$T/docker.sock" http://d/internal/v1/metrics | sed -n "s/^sockerless_$1 //p"; }
line() { grep "exec ended.*exec=${1:0:12}[0-9a-f]* .*$2" "$T/engine.log"; } # exec or "", what is in it

t "exec -i: its output is taken to the end, its stdin has one" vanish pipes box
t "run -i: the same for a container of a client that has gone" vanish main
t "exec -t goes on without its client, as long as it likes" vanish terminals box
if [ "$ENGINE" = gateway ]; then
	echo SOCKERLESS_TERMINAL_TIMEOUT=1s >"$SOCKERLESS_ENV_FILE"
	must ctl restart
fi
t "a terminal that was to have no client, exec -d -t, is left alone" vanish detached box
hung_up() {
	gateway_only
	local exec
	exec=$(vanish terminal box 'trap "echo hung up >/tmp/hup; exit 4" HUP; while :; do sleep 0.1; done')
	until_true 10 line "$exec" "code=4 "
	eq "hung up" "$(docker exec box cat /tmp/hup)"
	[ "$(metric terminals_hung_up_total)" -ge 1 ]
}
t "a terminal without a client gets SIGHUP when its time is over" hung_up
killed() {
	gateway_only
	local exec
	exec=$(vanish terminal box 'trap "" HUP; while :; do sleep 0.1; done')
	until_true 10 line "$exec" "code=137 "
}
t "and SIGKILL when that is not heard" killed
counted() {
	gateway_only
	local exec before
	before=$(metric discarded_bytes_total)
	exec=$(vanish exec box 'head -c 1000000 /dev/zero; read x </tmp/go; exit 3' -- mkfifo /tmp/go)
	until_true 10 discarded "$exec" $((before + 500000))
	ctl tunnel streams box | grep "${exec:0:12}  *- " >/dev/null
	docker exec box sh -c 'echo go >/tmp/go'
	until_true 10 line "$exec" "code=3 .* discarded=[1-9][0-9]* resumes=0"
}
discarded() { # exec, bytes altogether
	[ "$(metric discarded_bytes_total)" -ge "$2" ] &&
		ctl tunnel streams box | grep "from agent .* [1-9][0-9.]*[KM]iB  *[0-9]*ms" >/dev/null
}
t "what was thrown away is in the metrics, in the streams and in the line about its end" counted
audited() {
	gateway_only
	status 5 docker exec -i box sh -c 'cat >/dev/null; echo hello; exit 5' <<<abcd
	until_true 5 line '' "by=unix start=[0-9.]* end=[0-9.]* code=5 in=5 out=14 discarded=0 resumes=0"
}
t "a line says who ran what, for how long and how it ended" audited

finish
