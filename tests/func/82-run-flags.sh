#!/usr/bin/env bash
# docker run, create, start and attach with every mix of flags that decides who gets which stream, piped;
# 83-terminal.sh has the same in a terminal.
. "$(dirname "$0")/lib.sh"
engine_start busybox configured
[ "$ENGINE" = dockerd ] || for image in busybox configured; do must docker pull -q $image; done

# What a program that reads stdin, writes to both streams and ends with 3 shows by a set of flags.
mix() { # stdin-comes stdout-shown stderr-shown flags...
	local in=$1 out=$2 err=$3 rc=0 want=''
	shift 3
	echo in | docker run "$@" --name mix busybox sh -c 'cat; echo out; echo err >&2; exit 3' >"$T/out" 2>"$T/err" || rc=$?
	eq 3 $rc status
	[ "$in" = 0 ] || want=in$'\n'
	if [ "$out" = 1 ]; then eq "${want}out" "$(cat "$T/out")" stdout; else eq '' "$(cat "$T/out")" stdout; fi
	eq "$([ "$err" = 0 ] || echo err)" "$(cat "$T/err")" stderr
	[[ " $* " == *" --rm "* ]] || docker rm mix
	until_true 10 eval '! docker inspect mix'
}
for more in '' '--rm' '--rm --sig-proxy=false' '--sig-proxy=true --init --detach-keys ctrl-x,x'; do
	# shellcheck disable=SC2086  # several words
	{
		t "run $more" mix 0 1 1 $more
		t "run -i $more" mix 1 1 1 -i $more
		t "run -a stdout $more" mix 0 1 0 -a stdout $more
		t "run -a stderr $more" mix 0 0 1 -a STDERR $more
		t "run -a stdout -a stderr $more" mix 0 1 1 -a STDOUT -a STDERR $more
		t "run -i -a stdin -a stdout -a stderr $more" mix 1 1 1 -i -a stdin -a stdout -a stderr $more
		t "run -i -a stdin -a stderr $more" mix 1 0 1 -i -a stdin -a stderr $more
	}
done

only_stdin() {
	local id shown
	shown=$(echo in | docker run -i -a stdin busybox sh -c 'cat; echo out; exit 3') || eq 3 $?
	id=$(docker ps -lq --no-trunc)
	[ -z "$shown" ] || eq "$id" "$shown" 'what clients before 27 print'
	eq 3 "$(docker wait "$id")"
	eq "$(printf 'in\nout')" "$(docker logs "$id")"
	docker rm "$id"
}
t "run -i -a stdin: the input goes in, nothing comes out, logs have it" only_stdin

nobody_attached() {
	status 1 docker run -d -a stdout busybox true 2>"$T/err"
	grep -qi 'cannot specify both --attach and --detach\|conflicting options' "$T/err"
	status 125 docker run --rm --restart always busybox true 2>"$T/err"
	grep -qi 'cannot specify both --restart and --rm\|conflicting options' "$T/err"
	status 1 docker run -it --rm busybox true </dev/null 2>"$T/err"
	has "$(cat "$T/err")" 'the input device is not a TTY'
}
t "mixes that contradict each other are refused" nobody_attached

terminal_without_input() {
	eq "$(printf 'out\r\nerr\r\n3\r\n')" "$(docker run --rm -t busybox sh -c 'echo out; echo err >&2; test -t 0 && echo 3')"
}
t "run -t without -i: one stream, as a terminal writes it" terminal_without_input

detached() { # OpenStdin Tty flags...
	local open=$1 terminal=$2 id
	shift 2
	id=$(docker run -d "$@" busybox sh -c 'echo here; test -t 1 && echo terminal; sleep 1000')
	eq 64 ${#id}
	eq "false $open false $terminal false" "$(docker inspect -f \
		'{{with .Config}}{{.AttachStdin}} {{.OpenStdin}} {{.StdinOnce}} {{.Tty}} {{.AttachStdout}}{{end}}' "$id")"
	until_true 10 log_has "$id" here
	[ "$terminal" = false ] || until_true 10 log_has "$id" terminal
	docker rm -f "$id"
}
t "run -d" detached false false
t "run -di: stdin stays open" detached true false -i
t "run -dt: a terminal" detached false true -t
t "run -dit --rm" detached true true -it --rm

detached_removed() {
	local id
	id=$(docker run -d --rm busybox sh -c 'exit 4')
	until_true 10 eval "! docker inspect $id"
}
t "run -d --rm removes itself" detached_removed

everything_said() {
	printf 'A=1\n# no\nB=two words\nC_FROM_HERE\n' >"$T/env"
	C_FROM_HERE=mine docker run -d --name all --entrypoint /bin/sh --env-file "$T/env" -e D=4 -w /srv/data -u app:extra \
		--label one=1 --label two --label-file <(echo three=3) --hostname box --stop-signal USR2 --stop-timeout 7 \
		--init --pull missing --cidfile "$T/cid" configured -c 'trap "exit 5" USR2
			echo "$A|$B|$C_FROM_HERE|$D|$(pwd)|$(id -u):$(id -g)|$HOSTNAME"; while :; do sleep 0.1; done'
	until_true 10 log_has all '|'
	eq '1|two words|mine|4|/srv/data|1000:2000|box' "$(docker logs all)"
	eq "$(cat "$T/cid")" "$(docker inspect -f '{{.Id}}' all)"
	eq 'map[one:1 test.label:from image three:3 two:]' "$(docker inspect -f '{{.Config.Labels}}' all)"
	eq 'box SIGUSR2 7 true' "$(docker inspect -f \
		'{{.Config.Hostname}} {{.Config.StopSignal}} {{.Config.StopTimeout}} {{.HostConfig.Init}}' all | sed 's/ USR2/ SIGUSR2/')"
	docker stop all
	eq 5 "$(state all ExitCode)"
	docker rm all
}
t "run with all that says how: environment, user, folder, labels, names, signals" everything_said

pulls() {
	status 125 docker run --rm --pull never no/such/image true 2>"$T/err"
	has "$(cat "$T/err")" 'No such image: no/such/image:latest'
	eq a "$(docker run --rm --pull never busybox echo a)"
	eq b "$(docker run --rm --pull missing busybox echo b)"
	gateway_only # the other has no registry
	eq c "$(docker run --rm --pull always --quiet busybox echo c)"
	docker rmi -f static 2>/dev/null
	status 125 docker run --rm --pull always no/such/image true 2>"$T/err"
	has "$(cat "$T/err")" 'not found'
}
t "run --pull never, missing and always" pulls

one_complaint() {
	status 127 docker run --rm busybox no-such-program 2>"$T/err"
	eq 1 "$(grep -c no-such-program "$T/err")" "$(cat "$T/err")"
}
t "what cannot start is told once, also with --rm" one_complaint

bad() { # status text command...
	local rc=0 want=$1 text=$2 out
	shift 2
	out=$("$@" 2>&1 </dev/null) || rc=$?
	eq "$want" $rc "status of $*"
	has "$out" "$text"
}
t "run: a bad name" bad 125 'Invalid container name (a b)' docker run --name 'a b' busybox true
t "run: a bad stop signal" bad 125 'Invalid signal: NONE' docker run --name sig --stop-signal NONE busybox true
docker rm -f sig >/dev/null 2>&1
t "run: bad detach keys" bad 1 'unable to upgrade' docker run --name dk --detach-keys nonsense busybox true
docker rm -f dk >/dev/null 2>&1
t "run: a mount of a relative path" bad 125 'mount path must be absolute' docker run --rm -v /x:relative busybox true
t "run: too little memory" bad 125 'Minimum memory limit allowed' docker run --rm --memory 1k busybox true
t "run: no such network" bad 125 'network nosuch not found' docker run --rm --network nosuch busybox true
t "run: the volumes of nobody" bad 125 'No such container: nosuch' docker run --rm --volumes-from nosuch busybox true

# ---- create, then start -------------------------------------------------------------------------------

attached_start() {
	docker create -i --name st busybox sh -c 'cat; echo out; echo err >&2; exit 3'
	local rc=0
	echo in | docker start -ai st >"$T/out" 2>"$T/err" || rc=$?
	eq 3 $rc
	eq "$(printf 'in\nout')" "$(cat "$T/out")"
	eq err "$(cat "$T/err")"
	rc=0
	echo again | docker start --attach --interactive --detach-keys ctrl-a st >"$T/out" 2>/dev/null || rc=$?
	eq 3 $rc 'the second time'
	eq "$(printf 'again\nout')" "$(cat "$T/out")"
	docker rm st
}
t "create -i, start -ai: input, output, status; and again" attached_start

start_several() {
	docker create --name s1 busybox sleep 1000
	docker create --name s2 busybox sleep 1000
	eq "$(printf 's1\ns2')" "$(docker start s1 s2)"
	bad 1 'cannot start and attach multiple containers at once' docker start -a s1 s2
	local rc=0
	eq s2 "$(docker start nosuch s2 2>"$T/err")" || rc=$?
	has "$(cat "$T/err")" 'No such container: nosuch'
	docker rm -f s1 s2
}
t "start takes several, and says which it could not" start_several

starts_what_exits() {
	docker create --name se busybox sh -c 'echo out; exit 6'
	eq out "$(status 6 docker start -a se)"
	eq se "$(docker start se)"
	eq 6 "$(docker wait se)"
	docker rm se
}
t "start -a: output and status; without -a: the name" starts_what_exits

# ---- attach -------------------------------------------------------------------------------------------

attach_flags() {
	docker run -d -i --name at busybox sh -c 'while read x; do echo "got $x"; echo "err $x" >&2; done; sleep 1000'
	rm -f "$T/out" "$T/err" # of cases before
	mkfifo "$T/typed"
	exec 9<>"$T/typed" # it stays open
	timeout -s KILL 30 "$DOCKER" attach --sig-proxy=false at <&9 >"$T/out" 2>"$T/err" &
	echo one >&9
	until_true 20 test -s "$T/out" -a -s "$T/err"
	eq 'got one' "$(cat "$T/out")"
	eq 'err one' "$(cat "$T/err")"
	kill $!
	exec 9>&-
	is_state at running
	docker rm -f at
}
t "attach to a running one: input goes in, the streams stay apart" attach_flags

attach_no_stdin() {
	docker run -d -i --name an busybox sh -c \
		'echo one; while sleep 0.1; do echo tick; done & read x; kill $!; echo "got $x"; exit 7'
	until_true 10 log_has an one
	rm -f "$T/out" "$T/rc"
	(echo unread | timeout -k 1 20 "$DOCKER" attach --no-stdin an >"$T/out" || echo $? >"$T/rc") &
	until_true 10 grep -q tick "$T/out"
	lacks "$(cat "$T/out")" one # that was before the attach
	echo typed | timeout -s KILL 20 "$DOCKER" attach --sig-proxy=false an >/dev/null || true
	until_true 10 test -s "$T/rc"
	eq 7 "$(cat "$T/rc")"
	eq 'got typed' "$(tail -n 1 "$T/out")"
	docker rm an
}
t "attach --no-stdin reads, and writes nothing" attach_no_stdin

attach_refused() {
	bad 1 'No such container: nosuch' docker attach nosuch
	docker create --name idle busybox true
	bad 1 'cannot attach to a stopped container' docker attach idle
	docker rm idle
	docker run -d --name one busybox sleep 1000
	bad 1 'unable to upgrade' docker attach --detach-keys a,,b one
	docker rm -f one
}
t "attach to nobody, to a stopped one, with bad keys" attach_refused

signalled() { # whether the program gets what the client is sent: yes or no, then the verb
	local pid rc=0 program='trap "echo got; exit 6" TERM; while :; do echo ready; sleep 0.1; done'
	rm -f "$T/out"
	if [ "$2" = run ]; then
		exec "$DOCKER" run --sig-proxy="$1" --name sp busybox sh -c "$program" >"$T/out" 2>/dev/null &
	else
		docker run -d --name sp busybox sh -c "$program"
		exec "$DOCKER" attach --sig-proxy="$1" sp >"$T/out" 2>/dev/null &
	fi
	pid=$!
	until_true 10 grep -q ready "$T/out" # the client is attached
	kill -TERM $pid
	if [ "$1" = true ]; then
		wait $pid || rc=$?
		eq 6 $rc
		has "$(cat "$T/out")" got
		eq 6 "$(state sp ExitCode)"
	else
		sleep 0.5
		is_state sp running
		lacks "$(docker logs sp)" got
		kill -KILL $pid || true # some clients have ended, some stay until the third signal
		wait $pid || true
		is_state sp running
	fi
	docker rm -f sp
}
for verb in run attach; do
	t "$verb --sig-proxy=true: a signal to the client ends the program" signalled true $verb
	t "$verb --sig-proxy=false: a signal is the client's alone" signalled false $verb
done

finish
