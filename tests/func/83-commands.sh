#!/usr/bin/env bash
# The docker client's commands one by one, beyond what the other scripts use in passing: exec's flags, lists and
# their filters, inspect, logs, what is known of the engine, contexts, dial-stdio, and what is refused.
. "$(dirname "$0")/lib.sh"
engine_start busybox configured
[ "$ENGINE" = dockerd ] || for image in busybox configured; do must docker pull -q $image; done
must docker run -d --name box --label team=a -e FROM=run busybox sh -c 'trap "exit 7" TERM; echo out; echo err >&2; while :; do sleep 0.1; done'

# A command that fails as it should: its status, and a part of what it says.
bad() { # status text command...
	local rc=0 want=$1 text=$2 out
	shift 2
	out=$("$@" 2>&1 </dev/null) || rc=$?
	eq "$want" $rc "status of $*: $out"
	has "$out" "$text"
}
refused() { # title status text arguments of docker...
	local title=$1
	shift
	t "$title" bad "$1" "$2" docker "${@:3}"
}
names() { docker ps --format '{{.Names}}' "$@" | xargs; }

# ---- exec ---------------------------------------------------------------------------------------------

exec_flags() {
	printf 'B=two words\nC=3\n' >"$T/env"
	eq 'run|1|two words|3' "$(docker exec -e A=1 --env-file "$T/env" box sh -c 'echo "$FROM|$A|$B|$C"')"
	eq '/srv/data 1000' "$(docker exec -u app -w /srv/data box sh -c 'echo $(pwd) $(id -u)')"
	eq '' "$(docker exec -d -w /tmp -e A=here box sh -c 'echo $A >made')"
	until_true 5 docker exec box grep -q here /tmp/made
	eq in "$(echo in | docker exec -i --detach-keys ctrl-x box cat)"
	eq "$(printf 'yes\r')" "$(docker exec -t box sh -c 'test -t 1 && echo yes')"
}
t "exec with environment, files of it, user, folder, detached, terminal" exec_flags
refused "exec -it without a terminal" 1 'the input device is not a TTY' exec -it box true
refused "exec in a folder that is not there" 126 'no such file or directory' exec -w /nowhere box pwd
refused "exec as nobody known" 126 'nosuchuser' exec -u nosuchuser box id
privileged() {
	gateway_only
	bad 1 'privileged exec is not available' docker exec --privileged box true
}
t "exec --privileged is refused" privileged
refused "exec without a command" 1 'requires at least 2 arguments' exec box

# ---- start, stop, kill, restart, rename, rm, wait, port -----------------------------------------------

signals() {
	bad 1 'Invalid signal: 0' docker kill -s 0 box
	bad 1 'Invalid signal: NONE' docker kill -s NONE box
	bad 1 'No such container: nosuch' docker kill nosuch
	eq box "$(docker stop -t 5 box)"
	eq 7 "$(state box ExitCode)"
	bad 1 'is not running' docker kill box
	eq box "$(docker start box)"
	eq box "$(docker restart -t 1 box)"
	is_state box running
	bad 1 'No such container: nosuch' docker restart nosuch
}
t "kill -s, stop -t, restart -t" signals

waits() {
	docker run -d --name w1 busybox sh -c 'exit 11'
	docker run -d --name w2 busybox sh -c 'sleep 0.5; exit 12'
	eq "$(printf '11\n12')" "$(docker wait w1 w2)"
	eq w1 "$(docker rm w1)"
	bad 1 'No such container: w1' docker rm w1 w2
	bad 1 'No such container: w2' docker wait w2
}
t "wait and rm take several" waits

renames() {
	docker create --name r1 busybox true
	docker rename r1 r2
	eq /r2 "$(docker inspect -f '{{.Name}}' r2)"
	bad 1 'is already in use' docker rename r2 box
	bad 1 'same name as its current name' docker rename r2 r2
	bad 1 'Invalid container name (/a b)' docker rename r2 'a b'
	bad 1 'No such container: nosuch' docker rename nosuch r3
	docker rm r2
}
t "rename" renames

removes() {
	local out
	docker run -d --name rm1 busybox sleep 1000
	out=$(docker rm rm1 2>&1) && fail "a running one was removed"
	has "$out" 'Stop the container before attempting removal or force remove'
	bad 1 'cannot remove the default link name of the container' docker rm -l rm1
	bad 1 'No such container: rm1/alias' docker rm -l rm1/alias
	eq rm1 "$(docker rm -fv rm1)"
	bad 1 'No such container: rm1' docker rm rm1
}
t "rm, rm -f -v, rm -l" removes

ports() {
	eq '' "$(docker port box)"
	bad 1 "o public port '80" docker port box 80
	bad 1 'No such container: nosuch' docker port nosuch
}
t "port of a container without any" ports

# ---- ps -----------------------------------------------------------------------------------------------

lists() {
	docker create --name p1 --label team=b -v /data busybox true
	docker run --name p2 --label team=b --label x configured >/dev/null
	docker run -d --name p3 --health-cmd true busybox sleep 1000
	local id
	id=$(docker inspect -f '{{.Id}}' p2)
	eq 'p3 box' "$(names)"
	eq 'p3 p2 p1 box' "$(names -a)"
	eq p3 "$(names -l)"
	eq 'p3 p2' "$(names -n 2)"
	eq 'p2 p1' "$(names -af label=team=b)"
	eq 'p2' "$(names -af label=team=b -f label=x)"
	eq p1 "$(names -f status=created)"
	eq 'p2 p1' "$(names -f status=created -f status=exited)"
	eq p2 "$(names -af exited=0)"
	eq '' "$(names -af exited=1)"
	eq p2 "$(names -af id="${id:0:10}")"
	eq 'p3 p2 p1' "$(names -af name=^p)"
	eq 'p3 p2' "$(names -af since=p1)"
	eq 'p1 box' "$(names -af before=p2)"
	eq p2 "$(names -af ancestor=configured)"
	eq 'p3 p1 box' "$(names -af ancestor=busybox:latest)"
	eq p1 "$(names -af volume=/data)"
	eq box "$(names -f health=none)"
	eq 'p3 box' "$(names -f is-task=false)"
	eq '' "$(names -f is-task=true)"
	eq '' "$(names -f publish=80)"
	eq '' "$(names -f expose=80)"
	eq 'p3 box' "$(names -f network=bridge)"
	eq '' "$(names -f network=nosuch)"
	bad 1 "nvalid filter 'bogus'" docker ps -f bogus=1
	bad 1 "nvalid filter 'status=bogus'" docker ps -f status=bogus
	bad 1 'Unrecognised filter value for health: bogus' docker ps -f health=bogus
	bad 1 nosuch docker ps -f since=nosuch
	docker rm -fv p1 p2 p3
}
t "ps: every filter" lists

columns() {
	eq "$(printf 'NAMES\tSTATE\tPORTS\nbox\trunning\t')" "$(docker ps --format 'table {{.Names}}\t{{.State}}\t{{.Ports}}' |
		sed 's/  \+/\t/g; s/ $//')"
	eq 'box|busybox|bridge|team=a||a' "$(docker ps --format \
		'{{.Names}}|{{.Image}}|{{.Networks}}|{{.Labels}}|{{.Mounts}}|{{.Label "team"}}')"
	eq box "$(docker ps --format json | jq -r .Names)"
	eq "$(docker inspect -f '{{.Id}}' box)" "$(docker ps -q --no-trunc)"
	eq "$(docker ps -q)" "$(docker ps -q --no-trunc | cut -c1-12)"
	has "$(docker ps -s --format '{{.Size}}')" virtual
	has "$(docker ps --format '{{.RunningFor}} {{.CreatedAt}}')" ago
}
t "ps: formats, -q, -s, --no-trunc" columns
long_names() {
	eq "$(docker ps -aq)" "$(docker container ls -aq)"
	eq "$(docker images -q)" "$(docker image ls -q)"
	eq "$(docker info -f '{{.ID}}')" "$(docker system info -f '{{.ID}}')"
}
t "the long names of ps, images and info" long_names

# ---- inspect ------------------------------------------------------------------------------------------

kinds() {
	docker volume create kind >/dev/null
	eq kind "$(docker inspect -f '{{.Name}}' kind)"
	eq kind "$(docker inspect --type volume -f '{{.Name}}' kind)"
	eq host "$(docker inspect --type network -f '{{.Name}}' host)"
	docker volume rm kind
	bad 1 'no such volume' docker inspect --type volume nosuch
	bad 1 'network nosuch not found' docker inspect --type network nosuch
	bad 1 'plugin "nosuch" not found' docker inspect --type plugin nosuch
	bad 1 'This node is not a swarm manager' docker inspect --type service nosuch
}
inspects() {
	eq /box "$(docker inspect --type container -f '{{.Name}}' box)"
	eq '[busybox:latest]' "$(docker inspect --type image -f '{{.RepoTags}}' busybox)"
	eq '[busybox:latest]' "$(docker inspect -f '{{.RepoTags}}' busybox)"
	eq /box "$(docker inspect -f '{{.Name}}' box nosuch 2>"$T/err" || true)"
	has "$(cat "$T/err")" nosuch
	[ "$(docker inspect -s -f '{{.SizeRootFs}}' box)" -gt 0 ] || fail "no size"
	eq null "$(docker inspect box | jq '.[0].SizeRootFs')"
	bad 1 'No such container: busybox' docker inspect --type container busybox
	bad 1 'No such image: box' docker inspect --type image box
	bad 1 'nosuch' docker inspect nosuch
	bad 1 'bogus' docker inspect --type bogus box
}
t "inspect: types, sizes, formats, what is missing" inspects
t "inspect finds volumes, networks, and says what is none" kinds

# ---- logs ---------------------------------------------------------------------------------------------

log_forms() {
	docker run --name lg --log-opt labels=team --log-opt env=E --label team=a -e E=v busybox sh -c \
		'for i in 1 2 3; do echo line$i; done' >/dev/null
	eq 'line3' "$(docker logs -n 1 lg)"
	eq "$(printf 'line2\nline3')" "$(docker logs --tail=2 lg)"
	eq "$(printf 'line1\nline2\nline3')" "$(docker logs -n all lg)"
	eq 3 "$(docker logs --tail bogus lg | wc -l)"
	eq 3 "$(docker logs --tail -1 lg | wc -l)"
	eq 'E=v,team=a line1' "$(docker logs --details lg | head -n 1)"
	has "$(docker logs --details -t -n 1 lg)" 'Z E=v,team=a line3'
	eq 3 "$(docker logs --since 2020-01-01 lg | wc -l)"
	eq 3 "$(docker logs --since 1577836800.5 lg | wc -l)"
	eq 3 "$(docker logs --since 1h30m lg | wc -l)"
	eq '' "$(docker logs --until 2020-01-01T00:00:00 lg)"
	eq '' "$(docker logs --until 1h lg)"
	eq 3 "$(docker logs --until 2100-01-01T00:00:00.000000000Z lg | wc -l)"
	eq '' "$(docker logs -f --since 1h --until 10m lg)"
	bad 1 'invalid value for "since"' docker logs --since bogus lg
	docker rm lg
}
t "logs: -n, --details, --since and --until in every form" log_forms

# ---- the engine ---------------------------------------------------------------------------------------

engine_facts() {
	eq linux "$(docker version -f '{{.Server.Os}}')"
	eq linux "$(docker version --format json | jq -r .Server.Os)"
	eq "$(docker ps -aq | wc -l)" "$(docker info -f '{{.Containers}}')"
	eq "$(docker ps -q | wc -l)" "$(docker info -f '{{.ContainersRunning}}')"
	eq "$(docker images -aq | sort -u | wc -l)" "$(docker info -f '{{.Images}}')"
	eq inactive "$(docker info -f '{{.Swarm.LocalNodeState}}')"
	has "$(docker info 2>/dev/null)" 'Server Version:'
	has "$(docker system df)" 'Local Volumes'
	eq "$(docker ps -aq | wc -l)" "$(docker system df --format '{{.Type}} {{.TotalCount}}' | sed -n 's/Containers //p')"
	has "$(docker system df -v)" 'Containers space usage'
	eq "$(printf 'default\n')" "$(docker context ls -q)"
}
t "version, info, system df" engine_facts

happenings() {
	local from to
	from=$(date +%s.%N) # nothing of the cases before, which may have been in the same second
	docker run --name ev --label team=ev busybox true
	docker rename ev ev2
	docker rm ev2
	to=$(date +%s.%N)
	events() { docker events --since "$from" --until "$to" "$@"; }
	eq 'create attach start die rename destroy' \
		"$(events -f type=container -f label=team=ev --format '{{.Action}}' | xargs)"
	eq 'create start' "$(events -f type=container -f event=create -f event=start --format '{{.Action}}' | xargs)"
	eq '' "$(events -f image=configured --format '{{.Action}}')"
	eq 0 "$(events -f container=ev -f event=die --format json | jq -r '.Actor.Attributes.exitCode')"
	has "$(events -f event=create)" 'container create'
	bad 1 bogus docker events --since bogus
}
t "events: filters and formats" happenings

follows_events() {
	timeout -s KILL 20 "$DOCKER" events --since "$(date +%s.%N)" -f event=start --format '{{.Actor.Attributes.name}}' >"$T/live" &
	local pid=$!
	docker run --name live1 busybox true
	until_true 10 grep -q live1 "$T/live"
	kill -KILL $pid
	wait $pid || true
	docker rm live1
}
t "events as they happen" follows_events

prunes() {
	docker run --name pr busybox true
	docker volume create pv >/dev/null
	has "$(docker container prune -f)" "$(docker ps -aqf name=nosuch)Deleted Containers"
	status 1 docker inspect pr
	docker run --name pr2 --label keep busybox true
	lacks "$(docker system prune -f --filter label!=keep)" 'Deleted Containers'
	docker rm pr2
	has "$(docker volume prune -f --filter label=none)" 'Total reclaimed space: 0B'
	docker volume rm pv
	has "$(docker network prune -f; docker image prune -f; docker builder prune -f)" 'Total reclaimed space: 0B'
	is_state box running
}
t "prune: containers, volumes, networks, images, system" prunes

contexts() {
	local config=$T/context-config
	context() { env -u DOCKER_HOST DOCKER_CONFIG="$config" timeout -k 5 20 "$DOCKER" "$@"; }
	context context create here --docker "host=unix://$T/docker.sock" --description 'over a socket'
	eq box "$(context --context here ps --format '{{.Names}}')"
	eq here "$(context context use here 2>/dev/null)"
	eq here "$(context context show)"
	eq box "$(context ps --format '{{.Names}}')"
	eq hi "$(context run --rm busybox echo hi)"
	eq 'default here*' "$(context context ls --format '{{.Name}}{{if .Current}}*{{end}}' | xargs)"
	context context export here "$T/here.tar" 2>/dev/null
	context context import there "$T/here.tar"
	eq in "$(echo in | DOCKER_CONTEXT=there context exec -i box cat)"
	context context update there --docker 'host=tcp://127.0.0.1:1'
	bad 1 'annot connect to the Docker daemon' context --context there ps
	context context rm -f here there
	bad 1 'context "here"' context --context here ps
}
t "contexts: create, use, export, import, update, rm" contexts

# The relay that ssh:// starts on the other side.
dialled() {
	local out
	out=$(printf 'GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n' | docker system dial-stdio)
	has "$out" 'HTTP/1.1 200 OK'
	has "$out" OK
	"$PYTHON" "$func_dir/dial_stdio.py" requests
	"$PYTHON" "$func_dir/dial_stdio.py" hijack
	"$PYTHON" "$func_dir/dial_stdio.py" client
}
t "system dial-stdio: requests, a hijacked stream with half-close, and a client through it" dialled

# ---- what there is not --------------------------------------------------------------------------------

none_of() { # text, then command lines
	local text=$1 line rc out
	shift
	for line; do
		rc=0
		# shellcheck disable=SC2086  # words
		out=$(echo x | docker $line 2>&1) || rc=$?
		eq 1 $rc "status of docker $line: $out"
		has "$out" "$text"
	done
}
no_swarm() {
	printf 'version: "3"\nservices: {a: {image: busybox}}\n' >"$T/stack.yaml"
	none_of 'his node is not a swarm manager' 'node ls' 'node inspect self' 'node ps' 'node rm x' 'node update x' \
		'node demote x' 'node promote x' 'service ls' 'service ps x' 'service scale x=1' 'service rollback x' \
		'stack services x' 'stack ps x' 'stack rm x' "stack deploy -c $T/stack.yaml x" \
		'service create busybox' 'service logs x' 'service inspect x' 'service rm x' 'stack ls' 'secret ls' \
		'secret create a -' 'config ls' 'config create a -' 'swarm join-token worker' 'swarm update --autolock' \
		'swarm ca' 'swarm unlock-key' 'network create -d overlay x'
	none_of 'This node is not part of a swarm' 'swarm leave'
	gateway_only
	none_of 'is not available: containers run on Cloud Run' 'swarm init' 'swarm join --token x 127.0.0.1:1'
}
t "swarm, node, service, stack, secret, config: no manager" no_swarm
no_plugins() {
	eq '' "$(docker plugin ls -q)"
	none_of 'plugin "x" not found' 'plugin inspect x' 'plugin enable x' 'plugin disable x' 'plugin rm x' 'plugin set x a=b'
	gateway_only
	none_of 'is not available: containers run on Cloud Run' 'plugin install --grant-all-permissions x'
	none_of 'is only supported on a Docker daemon with experimental features enabled' 'checkpoint ls box' 'checkpoint create box c'
}
t "plugins: none, and none to be had; no checkpoints" no_plugins
no_builds() {
	gateway_only
	printf 'FROM busybox\n' >"$T/Dockerfile"
	DOCKER_BUILDKIT=0 bad 1 'this gateway does not build images' docker build "$T"
	bad 1 'docker export and docker import' docker commit box x
	bad 1 'this gateway does not search registries' docker search x
	local path
	for path in build/cancel grpc session; do
		has "$(curl -sS -m 10 -X POST -w '%{http_code}' --unix-socket "$T/docker.sock" "http://d/$path")" \
			'this gateway does not build images'
	done
}
t "build, commit and search say where else" no_builds
refused "login to a registry that does not answer" 1 '127.0.0.1:1' login -u a -p b 127.0.0.1:1
logout() { has "$(docker logout 127.0.0.1:1 2>&1)" '127.0.0.1:1'; }
t "logout" logout
refused "an engine that is not there" 1 'annot connect to the Docker daemon' -H tcp://127.0.0.1:1 ps

finish
