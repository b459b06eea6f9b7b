# lib.sh - the harness of the functional tests: one engine per script, real docker client, titled cases.
#
#   . "$(dirname "$0")/lib.sh"
#   engine_start busybox static                 # images to push first
#   echoes() { eq hi "$(docker run --rm busybox echo hi)"; }
#   t "run prints what the command prints" echoes
#   finish
#
# A case is a function, run in a subshell with set -e; it passes by returning 0. Output is shown only
# when it fails. The engine, its children and all files live under $T and must be gone at the end.
#
# Settings (environment):
#   BUILD=build             where the programs are
#   DOCKER=docker           the client under test; unless said, the one of tests/clients where it is installed
#   ENGINE=gateway          or dockerd: the same cases against the reference
#   MODE=reverse            or forward: the gateway dials the agents
#   CHECKSUMS=1             or 0: without those of the streams
#   AGENT_MODE=sidecar      or overlay: the image has the agent in a layer
#   ONLY=regex              run only the cases whose title matches
#   VALGRIND=1              the gateway runs under it; a definite leak or a wrong access fails
#   KEEP=1                  leave $T behind
#   RECORDS=folder          what Google (the emulator) was asked and answered, for tests/contract/google
# shellcheck shell=bash
set -u -o pipefail

func_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=$(cd "$func_dir/../.." && pwd)
BUILD=$(realpath -m "${BUILD:-$project/build}")
ENGINE=${ENGINE:-gateway}
MODE=${MODE:-reverse}
AGENT_MODE=${AGENT_MODE:-sidecar}
PYTHON=${PYTHON:-/usr/bin/python3}
IMAGES=${IMAGES:-$BUILD/test-images}
CLIENTS=$(realpath -m "${CLIENTS:-$BUILD/clients}")
[ -n "${DOCKER:-}" ] || DOCKER=$(command -v "$CLIENTS/bin/docker" || echo docker)
export DOCKER

T=$(mktemp -d /tmp/sockerless-func.XXXXXX)
mkdir -p "$T/docker-config" "$T/tmp"
export DOCKER_HOST=unix://$T/docker.sock DOCKER_CONFIG=$T/docker-config
export T ENGINE MODE PYTHONDONTWRITEBYTECODE=1
if [ -n "${RECORDS:-}" ]; then
	CLOUDRUN_EMULATOR_RECORD=$RECORDS/$(basename "$0" .sh).$$.jsonl
	export CLOUDRUN_EMULATOR_RECORD
fi
unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_API_VERSION
engine_pid='' passed=0 failed=0 skipped=0 number=0

# ---- inside a case ----------------------------------------------------------------------------------

fail() {
	echo "failed: $*" >&2
	exit 1
}
skip() {
	echo "$*" >"$T/skip"
	exit 77
}
gateway_only() { [ "$ENGINE" = gateway ] || skip "only the gateway has this"; }
eq() { # expected got [what]
	[ "$1" = "$2" ] || fail "${3:-value}: expected $(printf %q "$1"), got $(printf %q "$2")"
}
has() { # text part
	case $1 in *"$2"*) ;; *) fail "no $(printf %q "$2") in: $1" ;; esac
}
lacks() {
	case $1 in *"$2"*) fail "unexpected $(printf %q "$2") in: $1" ;; esac
}
status() { # expected command...
	local want=$1 got=0
	shift
	"$@" || got=$?
	[ "$got" -eq "$want" ] || fail "status $got, expected $want: $*"
}
# Polls every 50 ms until the command succeeds; fails after so many seconds.
until_true() { # seconds command...
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $deadline ] || fail "never became true: $*"
		sleep 0.05
	done
}
within() { # seconds command...: it succeeds, and in time
	local limit=$1 from=$EPOCHREALTIME
	shift
	"$@"
	local us=$((${EPOCHREALTIME/./} - ${from/./}))
	[ $us -le $((limit * 1000000)) ] || fail "took $((us / 1000)) ms, limit $limit s: $*"
}
docker() { timeout --foreground -k 5 "${LIMIT:-60}" "$DOCKER" "$@"; }
state() { docker inspect -f "{{.State.$2}}" "$1"; }
is_state() { [ "$(state "$1" Status)" = "$2" ]; }
log_has() { docker logs "$1" 2>&1 | grep -q -- "$2"; }
random_file() { # path MiB
	head -c "$2M" /dev/urandom >"$1"
}
sum() { sha256sum "$@" | cut -c1-64; }

# ---- cases ------------------------------------------------------------------------------------------

containers() { curl -sf -m 20 --unix-socket "$T/docker.sock" 'http://docker/containers/json?all=1' | jq -r '.[].Id'; }

# What a case that failed has left is not the next one's fault; what preparations made stays.
standing=''
clean_up() {
	local id
	for id in $(containers); do
		[[ $standing == *"$id"* ]] || "$DOCKER" rm -f "$id"
	done
} >/dev/null 2>&1

t() { # title function [arguments]
	local title=$1 rc=0 from=$EPOCHREALTIME
	shift
	if [ -n "${ONLY:-}" ] && ! [[ $title =~ $ONLY ]]; then return; fi
	number=$((number + 1))
	rm -f "$T/skip"
	(
		set -eE
		trap 'echo "at ${BASH_SOURCE[0]##*/}:$LINENO: $BASH_COMMAND" >&2' ERR
		"$@"
	) >"$T/case.log" 2>&1 </dev/null
	rc=$?
	local ms=$(((${EPOCHREALTIME/./} - ${from/./}) / 1000))
	case $rc in
	0)
		passed=$((passed + 1))
		echo "ok $number - $title ($ms ms)"
		;;
	77)
		skipped=$((skipped + 1))
		echo "ok $number - $title # SKIP $(cat "$T/skip" 2>/dev/null)"
		;;
	*)
		failed=$((failed + 1))
		echo "not ok $number - $title ($ms ms)"
		tail -n 40 "$T/case.log" | cut -c1-400 | sed 's/^/# /'
		clean_up
		;;
	esac
	[ -z "$engine_pid" ] || [ ! -e "$T/engine.pid" ] || engine_pid=$(cat "$T/engine.pid")
	if [ -n "$engine_pid" ] && gone "$engine_pid"; then
		failed=$((failed + 1))
		echo "# the engine died during this case"
		engine_pid=''
		finish
	fi
}

# Outside a case: what everything after it stands on.
must() {
	local out
	if out=$("$@" 2>&1); then
		standing+=$(containers)
		return
	fi
	number=$((number + 1)) failed=$((failed + 1))
	echo "not ok $number - preparation: $*"
	tail -n 20 <<<"$out" | sed 's/^/# /'
	finish
}

# ---- the engine -------------------------------------------------------------------------------------

gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }
ping_engine() { curl -sf -m 2 --unix-socket "$T/docker.sock" http://docker/_ping >/dev/null; }

engine_wait() {
	local deadline=$((SECONDS + 60))
	until ping_engine; do
		if ! kill -0 "$engine_pid" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
			echo "not ok 0 - the engine starts"
			tail -n 40 "$T/engine.log" | sed 's/^/# /'
			failed=$((failed + 1))
			finish
		fi
		sleep 0.05
	done
}

# Starts, or after engine_kill starts again on the same state, the gateway.
gateway_run() { # [further arguments]
	[ "$MODE" != forward ] || export SOCKERLESS_LOCAL_FORWARD=1
	[ "$AGENT_MODE" = sidecar ] || export SOCKERLESS_AGENT_MODE=$AGENT_MODE fds_kept=8 # to the registry, too
	local under=()
	[ -z "${VALGRIND:-}" ] || under=(valgrind -q --leak-check=full --show-leak-kinds=definite
		--log-file="$T/valgrind.%p" --trace-children=no --child-silent-after-fork=yes)
	SOCKERLESS_TUNNEL_CHECKSUMS=${CHECKSUMS:-1} SOCKERLESS_FUNC_MARK=$T TMPDIR=$T/tmp \
		"${under[@]}" "$BUILD/bin/sockerless-gateway" --local --addr "$DOCKER_HOST" \
		--state-dir "$T/state" --log-level debug "$@" >>"$T/engine.log" 2>&1 </dev/null &
	engine_pid=$!
	disown # or bash reports its death by SIGKILL
	echo $engine_pid >"$T/engine.pid" # a case may start it anew, in its subshell
	engine_wait
}

local_json() { jq -re ".$1" "$T/state/local.json"; }

engine_start() { # image... [-- gateway arguments]
	local images=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		images+=("$1")
		shift
	done
	[ $# -eq 0 ] || shift
	if [ "$ENGINE" = dockerd ]; then
		SOCKERLESS_FUNC_MARK=$T dockerd --storage-driver=vfs --bridge=none --iptables=false --data-root "$T/data" \
			--exec-root "$T/exec" -H "$DOCKER_HOST" --pidfile "$T/dockerd.pid" \
			>>"$T/engine.log" 2>&1 </dev/null &
		engine_pid=$!
		engine_wait
		local image
		for image in "${images[@]}"; do
			must skopeo --insecure-policy copy -q "oci:$IMAGES/$image:latest" \
				"docker-archive:$T/tmp/$image.tar:$image:latest"
			must docker load -q -i "$T/tmp/$image.tar"
		done
	else
		gateway_run "$@"
		must "$project/tests/images/push.sh" "$(local_json registry)" "$IMAGES" "${images[@]}"
		fds_at_start=$(count_fds)
	fi
}

engine_kill() { # as a crash: nothing gets a chance to tidy up
	kill -KILL "$engine_pid"
	until_true 5 gone "$engine_pid"
	engine_pid=''
}

count_fds() { find "/proc/$engine_pid/fd" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l; }

# ---- the end ----------------------------------------------------------------------------------------

# Processes that carry the engine's mark in their environment, or whose root file system is made
# of our files (others may have copies of our mounts in their namespaces); and mounts.
left_behind() {
	local dir ours
	ours=$(readlink /proc/self/ns/mnt)
	for dir in /proc/[0-9]*; do
		if tr '\0' '\n' <"$dir/environ" 2>/dev/null | grep -qxF "SOCKERLESS_FUNC_MARK=$T" ||
			{ [ "$(readlink "$dir/ns/mnt")" != "$ours" ] && awk '$5 == "/"' "$dir/mountinfo" | grep -qF "$T/"; }; then
			echo "process ${dir#/proc/}: $(tr '\0' ' ' <"$dir/cmdline" | cut -c1-200)"
		fi
	done 2>/dev/null
	grep -F "$T/" /proc/self/mountinfo | cut -d' ' -f5 | sed 's/^/mount /'
}

nothing_left() {
	local left deadline=$((SECONDS + 5))
	while left=$(left_behind) && [ -n "$left" ] && [ $SECONDS -lt $deadline ]; do
		sleep 0.2
	done
	[ -n "$left" ] || return 0
	echo "$left"
	return 1
}

# A few more than at the start are the kept connections to the registry and to Google.
few_fds() { [ "$(count_fds)" -le $((fds_at_start + ${fds_kept:-4})) ]; }
fds_returned() {
	gateway_only
	echo "at the start $fds_at_start, now:"
	find "/proc/$engine_pid/fd" -mindepth 1 -printf '%l\n' | sed 's/[0-9]\+\]/]/' | sort | uniq -c
	until_true 10 few_fds
}

stops_cleanly() {
	kill -TERM "$1"
	until_true 30 gone "$1"
}

# A script that provokes errors names them in complaints_expected, a regex.
complaints_expected='^$'
no_complaints() {
	! grep -hE 'AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion|Z error ' \
		"$T/engine.log" "$T"/state/*.log | grep -vE "$complaints_expected" || fail "the log complains"
	cat "$T"/valgrind.* 2>/dev/null | grep . && fail "valgrind complains" || true
}

finish() {
	trap - EXIT
	local pid=$engine_pid
	[ -z "${ONLY:-}" ] || [ $number -gt 0 ] || echo "# no case matches ONLY=$ONLY"
	ONLY=
	if [ -n "$pid" ]; then
		docker ps -aq 2>/dev/null | xargs -r "$DOCKER" rm -f >/dev/null 2>&1
		t "descriptors are given back" fds_returned
		engine_pid=''
		gone "$pid" || t "the engine stops when told" stops_cleanly "$pid"
		kill -KILL "$pid" 2>/dev/null
		[ "$ENGINE" != gateway ] || t "the log holds no complaint" no_complaints
	fi
	if ! nothing_left >"$T/left"; then
		number=$((number + 1)) failed=$((failed + 1))
		echo "not ok $number - nothing is left behind"
		sed 's/^/# /' "$T/left"
		# Only what carries our mark is ours to end.
		sed -n 's/^process \([0-9]*\):.*/\1/p' "$T/left" | xargs -r kill -KILL 2>/dev/null
		sleep 0.5
		sed -n 's/^mount //p' "$T/left" | sort -r | xargs -r -n1 umount -l
	fi
	if [ $failed -gt 0 ] && [ -s "$T/engine.log" ]; then
		echo "# the engine's log, last lines:"
		grep -vE ' debug |level=debug' "$T/engine.log" | tail -n "${LOG_LINES:-40}" | cut -c1-300 | sed 's/^/# /'
	fi
	if [ -n "${KEEP:-}" ]; then echo "# kept: $T"; else rm -rf "$T"; fi
	echo "$(basename "$0" .sh): $passed passed, $failed failed, $skipped skipped"
	[ $failed -eq 0 ]
	exit
}
trap finish EXIT
