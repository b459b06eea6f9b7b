#!/usr/bin/env bash
# The other docker clients of this machine - Debian's 20.10, the newer one of tests/clients/install.sh - through
# what each does differently: versions, upgrades, streams, terminals, lists, archives.
. "$(dirname "$0")/lib.sh"
engine_start busybox
[ "$ENGINE" = dockerd ] || must docker pull -q busybox
must docker run -d --name box busybox sleep 1000000
python() { DOCKER=$DOCKER timeout -k 5 90 "$PYTHON" "$func_dir/$1.py" "${@:2}"; }

streams() {
	local rc=0
	echo in | docker run --rm -i --name old busybox sh -c 'cat; echo out; echo err >&2; exit 3' >"$T/out" 2>"$T/err" || rc=$?
	eq '3 in out err' "$rc $(xargs <"$T/out") $(tail -n 1 "$T/err")"
	rc=0
	docker run -a stdout --name old busybox sh -c 'echo out; echo err >&2; exit 4' >"$T/out" 2>"$T/err" || rc=$?
	eq '4 out ' "$rc $(cat "$T/out") $(grep err "$T/err" || true)"
	eq 'err out ' "$(docker logs old 2>&1 | sort | tr '\n' ' ')"
	eq err "$(docker start -a old 2>&1 >/dev/null || true)"
	eq old "$(docker rm old)"
	rc=0
	eq "$(printf 'x\ny')" "$(printf 'x\ny\n' | docker exec -i -e A=b -w /tmp -u app box cat)"
	docker exec box sh -c 'exit 9' || rc=$?
	eq 9 $rc
	rc=0
	docker run --rm busybox no-such-program >/dev/null 2>&1 || rc=$?
	eq 127 $rc
	head -c 3000000 /dev/urandom >"$T/in"
	eq "$(sum "$T/in")" "$(docker exec -i box cat <"$T/in" | sum)"
}
lists() {
	eq box "$(docker ps --format '{{.Names}}')"
	eq "busybox|\"sleep 1000000\"|running" "$(docker ps --no-trunc --format '{{.Image}}|{{.Command}}|{{.State}}')"
	eq '/box true' "$(docker inspect -f '{{.Name}} {{.State.Running}}' box)"
	has "$(docker images)" busybox
	has "$(docker version 2>&1)" Server
	has "$(docker info 2>&1)" 'Containers: 1'
	has "$(docker history busybox)" IMAGE
	has "$(docker system df)" Containers
	has "$(docker top box)" 'sleep 1000000'
	has "$(docker stats --no-stream box)" box
	has "$(docker network ls)" host
	has "$(docker events --since 1h --until "$(date +%s)" --filter event=start)" 'container start'
	status 1 docker node ls
}
files() {
	echo content >"$T/tmp/f"
	docker cp "$T/tmp/f" box:/tmp/f
	eq content "$(docker exec box cat /tmp/f)"
	docker cp box:/tmp/f "$T/tmp/g"
	eq content "$(cat "$T/tmp/g")"
	has "$(docker diff box)" 'A /tmp/f'
	eq content "$(docker export box | tar xOf - tmp/f)"
	docker volume create ov >/dev/null
	eq ov "$(docker volume rm ov)"
	docker save busybox | docker load -q
}
lives() {
	docker create --name lf busybox sh -c 'trap "exit 5" TERM; while :; do sleep 0.1; done'
	eq lf "$(docker start lf)"
	docker rename lf lg
	eq lg "$(docker pause lg)"
	eq lg "$(docker unpause lg)"
	eq lg "$(docker restart -t 1 lg)"
	eq lg "$(docker stop -t 5 lg)"
	[ "$(docker wait lg)" = 5 ] || eq 143 "$(docker wait lg)" # stopped before the trap was set
	eq lg "$(docker rm lg)"
}
refused() {
	has "$(docker exec nosuch true 2>&1)" 'No such container: nosuch'
	has "$(docker run --rm --name box busybox true 2>&1)" 'is already in use'
	has "$(docker inspect nosuch 2>&1)" nosuch
	has "$(docker pull UPPER 2>&1)" 'must be lowercase'
}

# Debian's packages can be the one that all other scripts run; it is tried again only if it is another.
used=$("$DOCKER" --version)
for DOCKER in "$CLIENTS/bin/docker" /usr/bin/docker; do
	[ -x "$DOCKER" ] && version=$("$DOCKER" --version) && [ "$version" != "$used" ] || continue
	version=${version#Docker version } version=${version%%,*}
	t "$version: streams and statuses" streams
	t "$version: lists and facts" lists
	t "$version: files" files
	t "$version: a container's life" lives
	t "$version: refusals" refused
	t "$version: run -it" python terminal interrupt run
	t "$version: exec -it" python terminal interrupt exec
	t "$version: detach, attach" python terminal detach
	t "$version: start -ai" python terminal create_start
	[ "$version" = "${version#20}" ] && t "$version: dial-stdio" python dial_stdio client
done

finish
