#!/usr/bin/env bash
# docker compose v2: projects as people write them.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run --rm busybox true
export COMPOSE_PROGRESS=plain COMPOSE_ANSI=never
mkdir -p "$T/p"
compose() { (cd "$T/p" && timeout -k 5 "${LIMIT:-90}" "$CLIENTS/bin/docker-compose" "$@"); }
project() { # name; the file comes on stdin
	export COMPOSE_PROJECT_NAME=$1
	rm -rf "$T/p" && mkdir -p "$T/p"
	if [ "$ENGINE" = gateway ]; then
		cat
	else # the reference runs without a bridge
		sed -E 's/\{image: busybox,/&  network_mode: none,/; s/^( +)image: busybox$/&\n\1network_mode: none/'
	fi >"$T/p/compose.yaml"
}
nothing_of() {
	eq '' "$(docker ps -aq --filter label=com.docker.compose.project="$1")" "containers of $1"
	eq '' "$(docker network ls -q --filter label=com.docker.compose.project="$1")" "networks of $1"
}

up_down() {
	project one <<-'END'
		services:
		  web:
		    image: busybox
		    command: sh -c 'echo web is up; exec sleep 1000'
		  worker:
		    image: busybox
		    command: sh -c 'echo worker $$NAME is up; exec sleep 1000'
		    environment:
		      NAME: joe
	END
	compose up -d
	eq running "$(state one-web-1 Status)"
	has "$(compose ps --format '{{.Service}} {{.State}}')" 'worker running'
	until_true 10 log_has one-worker-1 'joe is up'
	has "$(compose logs --no-color)" 'worker joe is up'
	eq "$(printf 'a\nb')" "$(printf 'a\nb\n' | compose exec -T web cat)"
	status 5 compose exec -T web sh -c 'exit 5'
	compose down -t 1
	nothing_of one
}
t "up -d, ps, logs, exec, down" up_down

foreground() {
	project fore <<-'END'
		services:
		  job:
		    image: busybox
		    command: sh -c 'echo working; sleep 0.3; exit 4'
	END
	local out rc=0
	out=$(compose up --exit-code-from job 2>&1) || rc=$?
	eq 4 $rc status
	has "$out" working
	compose down -t 1
	nothing_of fore
}
t "up in the foreground: output and --exit-code-from" foreground

depends() {
	project dep <<-'END'
		services:
		  db:
		    image: busybox
		    command: sh -c 'sleep 1; touch /tmp/ready; exec sleep 1000'
		    healthcheck:
		      test: [CMD-SHELL, test -e /tmp/ready]
		      interval: 300ms
		      timeout: 2s
		      retries: 30
		  migrate:
		    image: busybox
		    command: "true"
		    depends_on:
		      db: {condition: service_healthy}
		  app:
		    image: busybox
		    command: sleep 1000
		    depends_on:
		      migrate: {condition: service_completed_successfully}
	END
	compose up -d
	eq healthy "$(docker inspect -f '{{.State.Health.Status}}' dep-db-1)"
	eq exited "$(state dep-migrate-1 Status)"
	eq running "$(state dep-app-1 Status)"
	compose down -t 1
	nothing_of dep
}
t "depends_on: service_healthy and service_completed_successfully" depends

unhealthy() {
	project sick <<-'END'
		services:
		  db:
		    image: busybox
		    command: sleep 1000
		    healthcheck: {test: "false", interval: 200ms, timeout: 2s, retries: 2}
		  app:
		    image: busybox
		    command: sleep 1000
		    depends_on:
		      db: {condition: service_healthy}
	END
	local out
	out=$(compose up -d 2>&1) && fail "compose went on: $out"
	has "$out" unhealthy
	compose down -t 1
	nothing_of sick
}
t "depends_on: an unhealthy service stops it" unhealthy

profiles() {
	project prof <<-'END'
		services:
		  base: {image: busybox, command: sleep 1000}
		  debug: {image: busybox, command: sleep 1000, profiles: [debug]}
	END
	compose up -d
	eq base "$(compose ps --services)"
	compose --profile debug up -d
	eq "base debug" "$(compose --profile debug ps --services | sort | xargs)"
	compose --profile debug down -t 1
	nothing_of prof
}
t "profiles" profiles

recreate() {
	project rec <<-'END'
		services:
		  a: {image: busybox, command: sleep 1000, environment: {V: "1"}}
	END
	local first
	compose up -d
	first=$(compose ps -q a)
	compose up -d
	eq "$first" "$(compose ps -q a)" "an unchanged service"
	sed -i 's/V: "1"/V: "2"/' "$T/p/compose.yaml"
	compose up -d -t 1
	[ "$first" != "$(compose ps -q a)" ] || fail "a changed service was not recreated"
	eq 2 "$(compose exec -T a sh -c 'echo $V')"
	compose up -d --scale a=3
	eq 3 "$(compose ps -q a | wc -l)"
	compose down -t 1
	nothing_of rec
}
t "a changed service is recreated, an unchanged one is not; --scale" recreate

one_off() {
	project off <<-'END'
		services:
		  tool: {image: busybox, entrypoint: [sh, -c], environment: {A: from-file}}
	END
	eq from-file "$(compose run --rm -T tool 'echo $A')"
	eq typed "$(echo typed | compose run --rm -T tool cat)"
	status 6 compose run --rm -T tool 'exit 6'
	compose down -t 1
	nothing_of off
}
t "run --rm: output, stdin, status" one_off

lifecycle() {
	project life <<-'END'
		services:
		  a: {image: busybox, command: sleep 1000, stop_grace_period: 1s}
	END
	compose up -d
	compose stop
	eq exited "$(state life-a-1 Status)"
	compose start
	eq running "$(state life-a-1 Status)"
	compose restart -t 1
	eq running "$(state life-a-1 Status)"
	compose kill -s KILL
	until_true 10 is_state life-a-1 exited
	compose rm -f
	compose create
	eq created "$(state life-a-1 Status)"
	compose down -t 1
	nothing_of life
}
t "stop, start, restart, kill, rm, create" lifecycle

paused() {
	project pau <<-'END'
		services:
		  a: {image: busybox, command: sleep 1000}
	END
	compose up -d
	compose pause
	eq paused "$(state pau-a-1 Status)"
	compose unpause
	eq running "$(state pau-a-1 Status)"
	has "$(compose top)" 'sleep 1000'
	compose down -t 1
	nothing_of pau
}
t "pause, unpause, top" paused

files() {
	project cfg <<-'END'
		services:
		  a:
		    image: busybox
		    command: sleep 1000
		    configs: [{source: inline, target: /etc/inline.conf}]
		    env_file: [vars]
		configs:
		  inline: {content: "key=value"}
	END
	echo FROM_FILE=yes >"$T/p/vars"
	compose up -d
	eq key=value "$(compose exec -T a cat /etc/inline.conf)"
	eq yes "$(compose exec -T a sh -c 'echo $FROM_FILE')"
	echo copied >"$T/p/f"
	compose cp f a:/tmp/f
	eq copied "$(compose exec -T a cat /tmp/f)"
	compose cp a:/etc/inline.conf got
	eq key=value "$(cat "$T/p/got")"
	compose down -t 1
	nothing_of cfg
}
t "env_file, inline configs, cp both ways" files

volumes() {
	project vol <<-'END'
		services:
		  a: {image: busybox, command: "sh -c 'echo kept >/data/f; sleep 1000'", volumes: ["data:/data"]}
		volumes: {data: {}}
	END
	compose up -d
	until_true 10 compose exec -T a test -s /data/f
	compose down -t 1
	compose run --rm -T --entrypoint cat a /data/f | grep -qx kept
	compose down -t 1 -v
	eq '' "$(docker volume ls -q --filter label=com.docker.compose.project=vol)" volumes
	nothing_of vol
}
t "a named volume survives down, and goes with down -v" volumes

ports() {
	gateway_only
	project web <<-'END'
		services:
		  web:
		    image: busybox
		    command: sh -c 'mkdir /www; echo served >/www/index.html; exec httpd -f -p 80 -h /www'
		    ports: ["127.0.0.1::80"]
	END
	local at
	compose up -d
	at=$(compose port web 80)
	until_true 10 curl -sf "http://$at/"
	eq served "$(curl -sf "http://$at/")"
	compose down -t 1
	nothing_of web
}
t "a published port answers" ports

told_all() {
	compose up -d && compose down -t 1 && [[ " $(jq -r .action "$T/tmp/events" | xargs) " == *" start "*" destroy "* ]]
}
watch_events() {
	project evt <<-'END'
		services:
		  a: {image: busybox, command: sleep 1000}
	END
	compose events --json >"$T/tmp/events" &
	local pid=$!
	until_true 60 told_all # the first lives may be over before it listens
	kill $pid
	nothing_of evt
}
t "events" watch_events

the_others() {
	project rest <<-'END'
		services:
		  a: {image: busybox, command: "sh -c 'trap \"exit 3\" USR1; read line; echo got $$line; while :; do sleep 0.1; done'", stdin_open: true}
		  b: {image: busybox, command: "sh -c 'exec sleep 1000'", stop_signal: SIGKILL}
	END
	has "$(compose version)" 'Docker Compose'
	eq 'a b' "$(compose config --services | sort | xargs)"
	[ "$ENGINE" = dockerd ] || compose pull -q # no registry there
	compose up -d
	has "$(compose ls --format json)" rest
	has "$(compose images)" busybox
	has "$(compose stats --no-stream)" rest-b-1
	compose scale b=2
	eq 2 "$(compose ps -q b | wc -l)"
	local pid rc pause
	mkfifo "$T/tmp/typed"
	exec 9<>"$T/tmp/typed" # it stays open
	echo word >&9
	compose attach a >"$T/tmp/attached" <&9 &
	pid=$!
	until_true 20 grep -q 'got word' "$T/tmp/attached"
	compose kill -s USR1 a
	wait $pid || true
	exec 9>&-
	for pause in 0.3 1 3 9; do # one that comes too late has nothing to wait for
		compose start a
		compose wait a >"$T/tmp/waited" 2>&1 &
		pid=$! rc=0
		sleep $pause
		compose kill -s USR1 a || true
		wait $pid || rc=$?
		[ $rc != 3 ] || break
	done
	eq 3 $rc "status of wait: $(cat "$T/tmp/waited")"
	compose down -t 1
	nothing_of rest
}
t "config, pull, ls, images, stats, scale, wait, attach" the_others

builds() {
	gateway_only
	project build <<-'END'
		services:
		  a: {build: ., image: made, develop: {watch: [{path: ., action: rebuild}]}}
	END
	echo 'FROM busybox' >"$T/p/Dockerfile"
	local what out rc
	for what in build watch; do
		rc=0
		out=$(LIMIT=20 DOCKER_BUILDKIT=0 compose $what 2>&1) || rc=$?
		lacks ' 0 124 137 ' " $rc "
		has "$out" 'this gateway does not build images'
		rc=0
		LIMIT=20 compose $what || rc=$? # BuildKit wants a container of its own first
		lacks ' 0 124 137 ' " $rc "
	done
}
t "build and watch are refused" builds

turns() {
	local i
	for i in $(seq 1 "${COMPOSE_TURNS:-20}"); do
		project "turn$i" <<-'END'
			services:
			  a: {image: busybox, command: "sh -c 'echo a; exec sleep 1000'", stop_signal: SIGKILL}
			  b: {image: busybox, command: "sh -c 'echo b; exec sleep 1000'", stop_signal: SIGKILL}
		END
		compose up -d
		eq "b" "$(compose exec -T b echo b)"
		compose down -t 1
		nothing_of "turn$i"
	done
	eq '' "$(docker ps -aq)" "containers"
}
LIMIT=60 t "twenty projects in turn leave nothing behind" turns

finish
