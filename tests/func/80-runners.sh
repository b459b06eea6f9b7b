#!/usr/bin/env bash
# The sequences of calls that CI runners make.
. "$(dirname "$0")/lib.sh"
engine_start busybox debian-like
[ "$ENGINE" = dockerd ] || must docker pull -q busybox
runners() { "$PYTHON" "$func_dir/runners.py" "$@"; }

t "gitlab-runner: attach before start, script on stdin, half-close, wait; stage after stage" runners gitlab
t "gitlab-runner: a failing script's status; stop of a stopped container" runners gitlab_fails
t "gitlab-runner: stdin that comes before the start" runners gitlab_early
t "gitlab-runner: a whole job, two containers that share volumes" runners gitlab_job
t "gitlab-runner: a job cancelled in the middle of its script" runners gitlab_cancel
t "act: files before the start, a step per exec, results by archive, cancel by ^C" runners act
t "VS Code dev containers: run, events, inspect, the shell server of exec -i" runners devcontainer
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

# What its mounts need here is in 37-volumes; without that it must be told what to do.
actions_refused() {
	gateway_only
	local rc=0 text
	# Of several the client sends any first: it has them in a map.
	text=$(docker create -v /opt/runner/_work:/__w --entrypoint tail debian-like -f /dev/null 2>&1) || rc=$?
	eq 1 $rc
	has "$text" 'bind mount of "/opt/runner/_work" at "/__w" is not available'
	has "$text" 'run.sockerless.bind=upload'
	has "$(docker create -v /var/run/docker.sock:/var/run/docker.sock busybox 2>&1)" DOCKER_HOST
}
t "actions/runner: the refusal of its bind mounts says what helps" actions_refused

# A job with service containers: a network of its own, health looked at, all of it removed.
actions_services() {
	local net service job
	net=$(docker network create --label sha github_network_1f2e)
	service=$(docker create --name svc --label sha --network github_network_1f2e --network-alias redis \
		--health-cmd 'test -e /ready' --health-interval 200ms --health-retries 20 -e ALLOW_EMPTY=yes busybox \
		sh -c 'sleep 0.5; touch /ready; sleep 1000')
	job=$(docker create --name job2 --label sha --network github_network_1f2e --entrypoint tail debian-like -f /dev/null)
	docker start "$service"
	until_true 20 eval '[ "$(docker inspect --format "{{if .Config.Healthcheck}}{{print .State.Health.Status}}{{end}}" svc)" = healthy ]'
	docker start "$job"
	eq '' "$(docker port "$service")"
	has "$(docker logs --details "$service" 2>&1; echo end)" end
	eq ok "$(docker exec "$job" bash -c 'echo ok')"
	docker rm --force "$job" "$service"
	eq github_network_1f2e "$(docker network rm github_network_1f2e)"
	eq '' "$(docker ps -aqf label=sha)$(docker network ls -qf label=sha)"
	docker network prune --force --filter label=sha
	[ -n "$net" ]
}
t "actions/runner: a network, a service with a health check, the job" actions_services

finish
