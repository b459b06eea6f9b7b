#!/usr/bin/env bash
# Measures the gateway and a real dockerd on this machine, in turns, and prints the ratios.
# The same client (client.c), the same image, the same commands; each container idles in `sleep`.
#
#   BENCH_SMOKE=1      short: shows that it works, not how fast it is
#   BENCH_ROUNDS=5     each round measures both; the table shows medians
#
# The figures also go to $BUILD/bench/result.json.
. "$(dirname "$0")/../func/lib.sh"
trap - EXIT # its checks are for tests; ours is below

if [ -n "${BENCH_SMOKE:-}" ]; then
	rounds=1 execs=16 bulk_mib=32 echoes=200
else
	rounds=${BENCH_ROUNDS:-5} execs=100 bulk_mib=512 echoes=2000
fi
client=$BUILD/test/bench_client
results=$BUILD/bench
mkdir -p "$results"

declare -A home pid
clean_up() {
	local engine
	for engine in "${!pid[@]}"; do
		DOCKER_HOST=unix://${home[$engine]}/docker.sock docker rm -f box >/dev/null 2>&1
		kill -TERM "${pid[$engine]}" 2>/dev/null
		until_true 30 gone "${pid[$engine]}"
	done
	rm -rf "$T"
}
trap clean_up EXIT
finish() { # a preparation failed; lib.sh has said which
	tail -n 20 "$T/engine.log" >&2
	exit 1
}

# Each engine gets a folder of its own below $T, started by lib.sh.
base=$T
for ENGINE in dockerd gateway; do
	T=$base/$ENGINE
	mkdir -p "$T/tmp"
	DOCKER_HOST=unix://$T/docker.sock
	# 28.x would make a network for every container; 20.10 as started here has none.
	engine_start busybox
	home[$ENGINE]=$T pid[$ENGINE]=$engine_pid
	must docker run -d --name box busybox sleep 1000000
done
T=$base
head -c "${bulk_mib}M" /dev/zero >"$T/zeros"

# The docker client itself, seconds to "value": what a user waits for.
cli() { # engine: prints JSON
	local from us n=10 i DOCKER_HOST=unix://${home[$1]}/docker.sock
	[ "$rounds" -gt 1 ] || n=3
	from=${EPOCHREALTIME/./}
	for ((i = 0; i < n; i++)); do "$DOCKER" exec box true; done
	us=$((${EPOCHREALTIME/./} - from))
	printf '{"cli_exec_ms": %s, ' "$(jq -n "$us / $n / 1000")"
	from=${EPOCHREALTIME/./}
	"$DOCKER" exec box dd if=/dev/zero bs=64k count=$((bulk_mib * 16)) status=none | cat >/dev/null
	us=$((${EPOCHREALTIME/./} - from))
	printf '"cli_stdout_mb_s": %s, ' "$(jq -n "$bulk_mib * 1048576 / $us")"
	from=${EPOCHREALTIME/./}
	"$DOCKER" exec -i box dd of=/dev/null bs=64k <"$T/zeros" 2>/dev/null
	us=$((${EPOCHREALTIME/./} - from))
	printf '"cli_stdin_mb_s": %s}\n' "$(jq -n "$bulk_mib * 1048576 / $us")"
}

for ((round = 1; round <= rounds; round++)); do
	for ENGINE in dockerd gateway; do
		"$client" "${home[$ENGINE]}/docker.sock" box $execs $bulk_mib $echoes >"$T/api.json" || exit 1
		cli $ENGINE >"$T/cli.json" || exit 1
		jq -s --arg engine $ENGINE 'add + {engine: $engine}' "$T/api.json" "$T/cli.json" >>"$T/runs.json"
	done
done

jq -s '
	def median: sort | .[length / 2 | floor];
	. as $runs
	| [["exec_ms", "exec latency, p50 (create, start, exit)", "ms", "lower"],
	   ["exec_p99_ms", "exec latency, p99", "ms", "lower"],
	   ["execs_per_s", "execs per second, 8 at once", "1/s", "higher"],
	   ["stdout_mb_s", "bulk stdout", "MB/s", "higher"],
	   ["stdin_mb_s", "bulk stdin", "MB/s", "higher"],
	   ["echo_us", "echo round trip, p50", "us", "lower"],
	   ["cli_exec_ms", "docker exec, client and all", "ms", "lower"],
	   ["cli_stdout_mb_s", "docker exec | cat", "MB/s", "higher"],
	   ["cli_stdin_mb_s", "docker exec -i < file", "MB/s", "higher"]]
	| map(. as [$key, $title, $unit, $better]
		| ($runs | map(select(.engine == "dockerd")[$key]) | median) as $d
		| ($runs | map(select(.engine == "gateway")[$key]) | median) as $g
		| {key: $key, title: $title, unit: $unit, better: $better, dockerd: $d, gateway: $g,
		   ratio: (if $better == "lower" then $d / $g else $g / $d end)})
	| {rounds: ($runs | length / 2), measures: .}' "$T/runs.json" >"$results/result.json"

version=$(DOCKER_HOST=unix://${home[dockerd]}/docker.sock docker version -f '{{.Server.Version}}')
echo "sockerless-gateway against dockerd $version, same machine, medians of $rounds round(s)"
printf '%-42s %10s %10s %5s  %s\n' '' dockerd gateway '' 'times better'
jq -r '.measures[] | [.title, .dockerd, .gateway, .unit, .ratio] | @tsv' "$results/result.json" |
	while IFS=$'\t' read -r title dockerd gateway unit ratio; do
		printf '%-42s %10.1f %10.1f %-5s  %.2f\n' "$title" "$dockerd" "$gateway" "$unit" "$ratio"
	done
