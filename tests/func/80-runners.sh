#!/usr/bin/env bash
# The sequences of calls that CI runners make.
. "$(dirname "$0")/lib.sh"
engine_start busybox debian-like
[ "$ENGINE" = dockerd ] || must docker pull -q busybox
runners() { "$PYTHON" "$func_dir/runners.py" "$@"; }

t "gitlab-runner: attach before start, script on stdin, half-close, wait; stage after stage" runners gitlab
t "gitlab-runner: a failing script's status; stop of a stopped container" runners gitlab_fails
t "gitlab-runner: stdin that comes before the start" runners gitlab_early
t "attach before start: the first output is there" runners attach_first
t "attach: two clients both get everything" runners attach_two

actions() {
	local id i
	id=$(docker create --name job --label sha=abc --workdir /__w/r/r -e HOME=/github/home \
		-e GITHUB_ACTIONS=true -e CI=true --entrypoint tail debian-like -f /dev/null)
	docker start "$id"
	eq "${id:0:12}" "$(docker ps --filter id="$id" --filter status=running --no-trunc --format '{{.ID}}' | cut -c1-12)"
	has "$(docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$id")" PATH=
	docker exec -i "$id" bash -c 'mkdir -p /__w/_temp && cat >/__w/_temp/step.sh' <<-'END'
		set -eo pipefail
		echo "step $STEP in $(pwd), CI=$CI"
		test "$STEP" != 7 || exit 3
	END
	for i in $(seq 1 40); do
		local out rc=0
		out=$(docker exec -i --workdir /__w/r/r -e STEP="$i" "$id" bash -e /__w/_temp/step.sh) || rc=$?
		eq "step $i in /__w/r/r, CI=true" "$out"
		eq "$([ "$i" = 7 ] && echo 3 || echo 0)" $rc "status of step $i"
	done
	docker rm --force "$id"
}
t "actions/runner: tail -f /dev/null and forty steps by exec" actions

finish
