#!/usr/bin/env bash
# The gateway is killed and its state directory deleted: what it serves afterwards comes from Google alone.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox

lose_disk() {
	engine_kill
	sleep 1 # they go on
	find "$T/state" -mindepth 1 -maxdepth 1 ! -name local.json ! -name emulator ! -name registry ! -name '*.log' -exec rm -rf {} +
	[ ! -e "$T/state/state.db" ]
	gateway_run
}

long=$(head -c 90000 /dev/urandom | base64 -w 0)
must docker network create --label a=b --opt x=y web
must docker volume create --label c=d data
must docker volume create --label never=mounted lone
must docker volume create -o type=nfs -o o=addr=10.1.2.3 -o device=:/export share
must docker run --rm -v left:/v busybox sh -c 'echo content >/v/file'
must docker volume create gone
must docker run -d --name steady --hostname here --label 'odd.Label=Ü "q" \ ' --network web -v data:/data -p 127.0.0.1::8080 \
	-e "PLAIN=a b" -e "LONG=${long:0:30000}" --env-file <(printf 'L2=%s\nL3=%s\n' "${long:30000:30000}" "${long:60000:30000}") \
	--workdir /tmp --user 0:0 --restart on-failure:3 --memory 600m --ulimit nofile=1000:2000 --stop-signal USR1 \
	busybox sh -c 'i=0; trap "echo bye; exit 17" USR1; while :; do i=$((i+1)); echo $i; sleep 0.05; done'
must docker run -d -it --name terminal busybox sh
must status 5 docker run --name past busybox sh -c 'echo was here; echo and there >&2; exit 5'
must docker create --name never busybox true
must docker run -d --name owner busybox sleep 1000000
must docker run -d --name ends busybox sh -c 'sleep 4; exit 33'
must until_true 10 log_has steady 20

must docker run -d --name healthy --network web --network-alias other --health-cmd true --health-interval 1s busybox sleep 1000000
must docker run -d --name again busybox sleep 1000000
must docker restart -t 0 again
must docker run -d --name tries --restart on-failure busybox sh -c 'echo try; sleep 0.5; [ "$(ls /tried* | wc -l)" = 2 ] || { touch /tried.$$; exit 1; }; exec sleep 1000000'
must docker run -d --name stopped --stop-signal INT -p 127.0.0.1::81 busybox sleep 1000000
must docker stop -t 5 stopped
is_healthy() { [ "$(state healthy Health.Status)" = healthy ]; }
tried() { [ "$(docker logs tries | wc -l)" = 3 ]; }
must until_true 20 is_healthy
must until_true 20 tried

# Whole outputs. What passes (how long ago) is taken out; what Cloud Run tells in other words than the agent did
# (docs/decisions/0009) is: when one that has ended began and ended, or one ended that its policy has run again, the log
# of health checks, and since when the predefined networks are.
names='steady terminal past owner healthy again tries stopped'
same_but='.[0] | if .State.Status == "exited" then .State |= del(.StartedAt, .FinishedAt) else . end | del(.State.Health.Log) |
	if .RestartCount > 0 then del(.State.FinishedAt) else . end'
look() { # into a folder
	mkdir -p "$1"
	docker ps -a --no-trunc --format '{{json .}}' | jq -S 'select(.Names != "never" and .Names != "ends") |
		del(.RunningFor) | .Status |= sub("(Less than a|About an?|[0-9]+) (second|minute|hour)s?"; "some time")' >"$1/ps"
	local name
	for name in $names; do
		docker inspect "$name" | jq -S "$same_but" >"$1/$name"
	done
	docker network ls --no-trunc --format '{{json .}}' | jq -S 'if .Name == "web" then . else del(.CreatedAt) end' >"$1/network-list"
	docker network inspect web bridge | jq -S 'map(.Containers |= map_values(select(.Name != "ends")) | if .Name == "web" then . else del(.Created) end)' >"$1/networks"
	docker volume ls --format '{{json .}}' | jq -S . >"$1/volume-list"
	docker volume inspect data lone share left | jq -S . >"$1/volumes"
}
must until_true 20 is_state ends exited
must docker rm ends
must docker run -d --name ends busybox sh -c 'sleep 6; exit 33'
must docker volume rm gone
records() { curl -sSf -m 10 "$(local_json emulator)/storage/v1/b/sockerless-local-volumes/o?prefix=.sockerless/" | jq -r '.items[0].name | @uri'; }
recorded() { curl -sSf -m 10 "$(local_json emulator)/storage/v1/b/sockerless-local-volumes/o/$(records)?alt=media" | jq -e '[.volumes[].name] == ["data", "left", "lone", "share"]'; }
must until_true 10 recorded
must look "$T/before"
images_before=$(docker images --digests --no-trunc --format '{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}')
lines_before=$(docker logs steady | wc -l)
must lose_disk
engine_pid=$(cat "$T/engine.pid") # must has a subshell
agents_back() { local name; for name in steady terminal owner healthy again tries; do until_true 15 docker exec "$name" true || return; done; }
must agents_back
must until_true 20 is_healthy

same() {
	look "$T/after"
	diff -r "$T/before" "$T/after"
}
t "ps, inspect, networks and volumes are the same without a disk" same

listed() { docker images --digests --no-trunc --format '{{.Repository}} {{.Tag}} {{.Digest}} {{.ID}}'; }
back() { [ "$(listed)" = "$images_before" ]; }
images() {
	echo "before: $images_before"
	until_true 10 back
}
t "the images of containers are found again in their registry" images

only_here() { status 1 docker inspect never; }
t "what was never started was on the disk alone" only_here

volumes_serve() {
	eq content "$(docker run --rm -v left:/v busybox cat /v/file)"
	eq 10.1.2.3:/export "$(docker volume inspect -f '{{.Mountpoint}}' share)"
	docker volume rm lone
	must until_true 10 unrecorded
}
unrecorded() { ! recorded; }
t "volumes that nobody mounts are known, with all they have" volumes_serve

executes() {
	eq hi "$(docker exec steady echo hi)"
	eq x "$(echo x | docker exec -i owner cat)"
	eq "${long:0:30000}" "$(docker exec steady sh -c 'echo $LONG')"
}
t "exec reaches the processes, which have not noticed" executes

complete() {
	docker logs steady >"$T/steady"
	eq "$(seq "$(wc -l <"$T/steady")" | sha256sum)" "$(sha256sum <"$T/steady")" 'no gap, no repetition'
	[ "$(wc -l <"$T/steady")" -gt "$lines_before" ]
}
t "logs of one that runs are complete: from Cloud Logging, then from its agent" complete

ended_meanwhile() {
	eq 33 "$(docker wait ends)"
	is_state ends exited
}
t "a container that ended later" ended_meanwhile

exit_of_past() {
	eq 'exited 5' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' past)"
	local us
	us=$(docker inspect past | jq '.[0].State | [.StartedAt, .FinishedAt] | map(sub("\\.[0-9]+"; "") | fromdate) | .[1] - .[0]')
	[ "$us" -ge 0 ] && [ "$us" -le 20 ] || fail "it ran for $us s"
}
t "the exit code and times of one that had ended" exit_of_past

old_logs() {
	eq 'was here' "$(docker logs past 2>/dev/null)"
	eq 'and there' "$(docker logs past 2>&1 >/dev/null)"
}
t "logs of one that had ended come from Cloud Logging" old_logs

goes_on() {
	docker stop steady
	is_state steady exited
	eq 17 "$(state steady ExitCode)"
	eq bye "$(docker logs --tail 1 steady)"
	docker start steady
	docker rm -f steady
	docker rm past
}
t "stop, start and rm work as ever" goes_on

# ---- what is harder -----------------------------------------------------------------------------------

created() { is_state third created; }
shared() {
	[ "$MODE" = reverse ] || skip "agents that are dialled cannot share a task"
	docker run -d --name first busybox sleep 1000000 >/dev/null
	docker rm -f first >/dev/null
	docker create --name first busybox sleep 1000000
	docker create --name second --network container:first busybox sh -c 'echo second; exec sleep 1000000'
	docker create --name third --network container:first busybox sh -c 'echo third; exec sleep 1000000'
	docker start first second
	lose_disk
	until_true 15 docker exec first true
	until_true 15 docker exec second true
	until_true 15 created
	eq 'running running created' "$(docker inspect -f '{{.State.Status}}' first second third | xargs)"
	docker start third
	until_true 15 log_has third third
	docker rm -f third second first
}
t "containers that share a network: those that run do, one that was not started can be" shared

late_records() { # nothing is served before they are known
	docker volume create --label k=v late
	until_true 10 late_recorded
	curl -sSf -m 10 -d '{"errors": [{"method": "GET", "path": ".json", "status": 503, "count": 2}]}' "$(local_json emulator)/emulator/v1/knobs"
	lose_disk
	eq v "$(docker volume inspect -f '{{.Labels.k}}' late)"
	# What cannot be written now is written later.
	curl -sSf -m 10 -d '{"errors": [{"method": "POST", "path": "/upload/", "status": 403, "count": 1}]}' "$(local_json emulator)/emulator/v1/knobs"
	docker volume rm late
	docker volume create other
	until_true 10 grep -q 'the records of volumes are not in the bucket' "$T/engine.log"
	docker volume rm other
}
late_recorded() { curl -sSf -m 10 "$(local_json emulator)/storage/v1/b/sockerless-local-volumes/o/$(records)?alt=media" | grep -q '"late"'; }
t "records of volumes that come late, and that are refused" late_records

too_long() { # for annotations: a megabyte that does not compress
	head -c 900000 /dev/urandom | base64 -w 60000 | awk '{ print "V" NR "=" $0 }' >"$T/env"
	docker run -d --name long --label kept=yes --env-file "$T/env" busybox sleep 1000000
	docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' long | grep '^V' | sort >"$T/env.before"
	[ -s "$T/env.before" ]
	lose_disk
	until_true 15 docker exec long true
	docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' long | grep '^V' | sort >"$T/env.after"
	cmp "$T/env.before" "$T/env.after"
	eq 'yes [sleep 1000000]' "$(docker inspect -f '{{.Config.Labels.kept}} {{.Config.Cmd}}' long)"
	docker rm -f long
}
t "an environment too long for the annotations comes from the job itself" too_long

no_google() { # at first: clients wait until all is known
	docker run -d --name waits busybox sleep 1000000
	curl -sSf -m 10 -d '{"errors": [{"method": "GET", "path": "/jobs", "status": 503, "count": 3}]}' "$(local_json emulator)/emulator/v1/knobs"
	lose_disk
	is_state waits running
	eq 0 "$(curl -sSf -m 10 "$(local_json emulator)/emulator/v1/knobs" | jq '[.errors[] | select(.count > 0)] | length')"
	docker rm -f waits
}
t "when Google answers late, so do we, and with everything" no_google

finish
