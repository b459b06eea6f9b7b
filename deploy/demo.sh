#!/usr/bin/env bash
# A real session, shown as it happens: the docker client, the gateway, an emulated Cloud Run that runs real
# containers, and a tunnel that is cut in the middle of a transfer. `make demo`; as root; about ten seconds.
# Ends with status 0 only if everything came out as it should.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
BUILD=${BUILD:-$here/build}
IMAGES=${IMAGES:-$BUILD/test-images}
[ "$(id -u)" = 0 ] || {
	echo "the demo starts containers: run it as root" >&2
	exit 1
}

T=$(mktemp -d /tmp/sockerless-demo.XXXXXX)
export DOCKER_HOST=unix://$T/docker.sock DOCKER_CONFIG=$T/docker-config PATH=$BUILD/bin:$PATH
mkdir "$DOCKER_CONFIG"
gateway=''
end() {
	local status=$?
	[ $status -eq 0 ] || tail -n 30 "$T/gateway.log" >&2
	if [ -n "$gateway" ]; then
		docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1
		kill -TERM "$gateway" 2>/dev/null
		wait "$gateway" || status=$?
	fi
	rm -rf "$T"
	exit $status
}
trap end EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
show() { # the command as one would type it, then what it does
	printf '$ %s\n' "$*"
	eval "$*" 2>&1
}
must_be() { # expected got what
	[ "$1" = "$2" ] || {
		echo "demo: $3: expected $1, got $2" >&2
		exit 1
	}
}

say "The gateway, with an emulated Cloud Run and a registry as its children"
echo "\$ sockerless-gateway --local --addr $DOCKER_HOST &"
sockerless-gateway --local --addr "$DOCKER_HOST" --state-dir "$T/state" >"$T/gateway.log" 2>&1 &
gateway=$!
for _ in $(seq 300); do
	! curl -sf --unix-socket "$T/docker.sock" http://docker/_ping >/dev/null || break
	kill -0 $gateway
	sleep 0.1
done
"$here/tests/images/push.sh" "$(jq -r .registry "$T/state/local.json")" "$IMAGES" busybox static
show docker version --format "'client {{.Client.Version}}, server {{.Server.Version}}, API {{.Server.APIVersion}}'"

say "docker run: output, exit status, stdin"
show docker pull -q busybox
show docker pull -q static
show docker run --rm busybox echo hello from a Cloud Run execution
show "docker run --rm busybox sh -c 'exit 42' || echo exit status \$?"
show "echo through stdin | docker run --rm -i busybox tr a-z A-Z"
show docker run --rm static

say "A container that goes on, and exec into it"
show docker run -d --name box busybox sh -c "'while sleep 0.5; do date +%T; done'"
show "echo x | docker exec -i box cat"
show "docker exec box sh -c 'echo out; echo err >&2; exit 7' || echo exit status \$?"
show docker ps
sleep 1
show docker logs --tail 2 -t box

say "32 MiB through docker exec, while the tunnel's socket is cut three times"
head -c 32M /dev/urandom >"$T/data"
show "sha256sum <$T/data | tee $T/sum.in"
echo "\$ (slowly) cat data | docker exec -i box cat | sha256sum &"
# In steps, so that every cut falls into the transfer.
(for i in $(seq 0 15); do
	dd if="$T/data" bs=2M skip="$i" count=1 status=none
	sleep 0.15
done) | docker exec -i box cat | sha256sum >"$T/sum.out" &
transfer=$!
for _ in 1 2 3; do
	sleep 0.5
	until docker exec box true; do sleep 0.1; done # it is up again
	show sockerlessctl tunnel kill box
done
kill -0 $transfer || must_be running over "the transfer at the last cut"
wait $transfer
cat "$T/sum.out"
must_be "$(cat "$T/sum.in")" "$(cat "$T/sum.out")" "SHA-256 after the cuts"
show sockerlessctl agents

say "stop: SIGTERM to the process, its own exit code"
show "docker run -d --name polite busybox sh -c 'trap \"echo bye; exit 3\" TERM; while :; do sleep 0.1; done'"
sleep 0.3
show docker stop polite
show docker logs polite
show "docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' polite"
must_be 3 "$(docker inspect -f '{{.State.ExitCode}}' polite)" "exit code"
show docker rm -f box polite

say "Everything came out as it should"
