#!/usr/bin/env bash
# docker run: what is printed, exit statuses, stdin, streams, the image's defaults and their overrides.
. "$(dirname "$0")/lib.sh"
engine_start busybox configured nonroot static debian-like

echoes() { eq hi "$(docker run --rm busybox echo hi)"; }
t "run --rm prints what the command prints" echoes

removed() {
	docker run --rm --name gone busybox true
	status 1 docker inspect gone
	eq '' "$(docker ps -aq -f name=gone)"
}
t "run --rm leaves no container" removed

exit_status() { status "$1" docker run --rm busybox sh -c "exit $1"; }
for code in 0 1 42 255; do
	t "run reports exit status $code" exit_status $code
done

not_found() {
	local err rc=0
	err=$(docker run --rm busybox no-such-program 2>&1) || rc=$?
	eq 127 $rc status
	has "$err" no-such-program
}
t "a program that is not there gives 127 and its name" not_found
t "a file that is not executable gives 126" status 126 docker run --rm busybox /etc/not-executable
t "a directory gives 126" status 126 docker run --rm busybox /etc

# A process that is PID 1 of its namespace cannot kill itself; ours never is, dockerd's is.
killed() {
	gateway_only
	status "$1" docker run --rm busybox sh -c "kill -$2 \$\$"
}
t "killed by SIGKILL gives 137" killed 137 KILL
t "killed by SIGTERM gives 143" killed 143 TERM
killed_child() { status "$1" docker run --rm busybox sh -c "sh -c 'kill -$2 \$\$'; exit \$?"; }
t "a shell whose child was killed by SIGKILL gives 137" killed_child 137 KILL

stdin_through() {
	random_file "$T/in" 4
	docker run --rm -i busybox cat <"$T/in" >"$T/out"
	eq "$(sum "$T/in")" "$(sum "$T/out")" sha256
}
t "run -i passes stdin through, byte for byte" stdin_through

stdin_counts() { eq 12 "$(printf 'hello world\n' | docker run --rm -i busybox wc -c)"; }
t "run -i ends stdin where the client ends it" stdin_counts
stdin_empty() { eq 0 "$(docker run --rm -i busybox wc -c </dev/null)"; }
t "run -i with an empty stdin gives EOF" stdin_empty
no_stdin() { eq 0 "$(echo ignored | docker run --rm busybox wc -c)"; }
t "run without -i gives an empty stdin" no_stdin

apart() {
	docker run --rm busybox sh -c 'echo out; echo err >&2' >"$T/out" 2>"$T/err"
	eq out "$(cat "$T/out")"
	eq err "$(cat "$T/err")"
}
t "stdout and stderr stay apart" apart

alternates() {
	local want
	want=$(for i in 1 2 3 4 5 6; do printf 'o%s\ne%s\n' $i $i; done)
	eq "$want" "$(docker run --rm busybox sh -c '
		for i in 1 2 3 4 5 6; do echo o$i; usleep 30000; echo e$i >&2; usleep 30000; done' 2>&1)"
}
t "stdout and stderr arrive in the order they were written" alternates

large_output() {
	local got
	got=$(docker run --rm busybox sh -c 'head -c 8388608 /dev/zero; echo end' | sha256sum)
	eq "$( (head -c 8388608 /dev/zero; echo end) | sha256sum)" "$got"
}
t "8 MiB of output and a last line arrive whole" large_output

hundred_thousand() {
	eq "$(seq 100000 | sha256sum)" "$(docker run --rm busybox seq 100000 | sha256sum)"
}
t "a container that prints 100,000 lines and exits at once loses none in attach" hundred_thousand

image_defaults() {
	eq 'entry: first second word
greeting: hello there
in: /srv/data' "$(docker run --rm configured)"
}
t "ENTRYPOINT, CMD, ENV and WORKDIR come from the image" image_defaults
overrides() {
	eq 'entry: a b c
greeting: bye
in: /tmp' "$(docker run --rm -e GREETING=bye -w /tmp configured 'a b' c)"
	eq 'just this' "$(docker run --rm --entrypoint echo configured just this)"
}
t "run overrides CMD, ENV, WORKDIR and ENTRYPOINT as Docker does" overrides
new_workdir() { eq /not/yet/there "$(docker run --rm -w /not/yet/there busybox pwd)"; }
t "a workdir that is not there is made" new_workdir
environment() {
	local env
	env=$(docker run --rm -e A='b c' -e EMPTY= busybox env)
	has "$env" 'A=b c'
	has "$env" 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
	has "$env" HOSTNAME=
	lacks "$env" TOKEN
}
t "the environment is the image's and the user's, and no secret of ours" environment
users() {
	eq '0:0' "$(docker run --rm busybox sh -c 'echo $(id -u):$(id -g)')"
	eq '1000:1000' "$(docker run --rm -u app busybox sh -c 'echo $(id -u):$(id -g)')"
	eq '65534:2000' "$(docker run --rm -u nobody:extra busybox sh -c 'echo $(id -u):$(id -g)')"
	eq '4242:0' "$(docker run --rm -u 4242 busybox sh -c 'echo $(id -u):$(id -g)')"
	eq '1000 2000' "$(docker run --rm -u app busybox id -G)"
}
t "run -u takes names, numbers and groups" users

nonroot_user() {
	eq '1000:1000 /home/app kept' \
		"$(docker run --rm nonroot sh -c 'echo $(id -u):$(id -g) $(pwd) $(cat file)')"
	docker run -d --name nr nonroot sleep 1000 >/dev/null
	eq 1000 "$(docker exec nr id -u)"
	if [ "$ENGINE" = dockerd ] || [ "$AGENT_MODE" = overlay ]; then
		eq 0 "$(docker exec -u root nr id -u)"
	else # Cloud Run starts the agent, too, as the image's user
		status 126 docker exec -u root nr id -u >"$T/root"
		has "$(cat "$T/root")" 'cannot become user "root"'
	fi
	docker exec nr sh -c 'echo mine >/home/app/new'
	status 1 docker exec nr sh -c 'echo x >/etc/passwd'
	docker rm -f nr
}
t "an image with a non-root USER runs as that user, and so do its execs" nonroot_user

scratch() {
	eq 'hello from scratch' "$(docker run --rm static)"
	eq 'a
b c' "$(docker run --rm static args a 'b c')"
	status 3 docker run --rm static exit 3
	docker run -d --name st static sleep >/dev/null
	eq pipe "$(echo pipe | docker exec -i st /static cat)"
	status 7 docker exec st /static exit 7
	[ "$ENGINE" = dockerd ] || status 127 docker exec st sh
	docker rm -f st
}
t "a scratch image with one static binary runs, and execs" scratch

glibc() {
	eq "$(printf 'hello' | sha256sum)" "$(docker run --rm debian-like bash -c 'printf hello | sha256sum')"
	eq '1 2 3' "$(docker run --rm debian-like bash -c 'a=(1 2 3); echo "${a[*]}"')"
}
t "a glibc image with bash runs" glibc

no_such_image() {
	local err rc=0
	err=$(docker run --rm no-such-image-here true 2>&1) || rc=$?
	eq 125 $rc status
	has "$err" no-such-image-here
}
t "an image that is nowhere gives 125 and its name" no_such_image

pull_then_use() {
	gateway_only
	docker pull -q busybox
	has "$(docker images)" busybox
	has "$(docker image inspect -f '{{.RepoTags}}' busybox)" busybox:latest
	eq '[/entry]' "$(docker image inspect -f '{{.Config.Entrypoint}}' configured)"
}
t "pull, images and image inspect know the registry's images" pull_then_use

taken() {
	docker create --name twice busybox true
	local err rc=0
	err=$(docker create --name twice busybox true 2>&1) || rc=$?
	eq 1 $rc status
	has "$err" 'is already in use by container'
	docker rm twice
}
t "a name is used once" taken

parallel() {
	local i pids=()
	for i in 1 2 3 4; do
		docker run --rm busybox sh -c "echo $i; exit $i" >"$T/par.$i" &
		pids[i]=$!
	done
	for i in 1 2 3 4; do
		status $i wait "${pids[i]}"
		eq $i "$(cat "$T/par.$i")"
	done
}
t "four runs at once keep their output and status to themselves" parallel

finish
