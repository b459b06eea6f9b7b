#!/usr/bin/env bash
# docker cp, export and diff: into and out of containers that have not begun, run, or have ended; nothing of
# the image is needed for it.
. "$(dirname "$0")/lib.sh"
engine_start busybox static nonroot

work() { # a fresh folder of this case's own
	rm -rf "$T/work"
	mkdir -p "$T/work"
	cd "$T/work" || exit
}
api() { # method path [curl arguments]: the status, then the body
	local method=$1 path=$2
	shift 2
	curl -s -m 60 --unix-socket "$T/docker.sock" -o "$T/api.body" -w '%{http_code}\n' -X "$method" -H 'Content-Type: application/x-tar' "$@" "http://d/v1.41$path"
	cat "$T/api.body"
}
stat_of() { # container path: X-Docker-Container-Path-Stat as it is, without mtime
	curl -s -m 60 -I --unix-socket "$T/docker.sock" "http://d/v1.41/containers/$1/archive?path=$2" | tr -d '\r' |
		sed -n 's/^X-Docker-Container-Path-Stat: //Ip' | base64 -d | jq -c '{name, size, mode, linkTarget}'
}
archive_of() { # container path: the names in what docker cp would get
	curl -s -m 60 --unix-socket "$T/docker.sock" "http://d/v1.41/containers/$1/archive?path=$2" | tar tf - 2>/dev/null
}
up() { # name [image]
	docker run -d --name "$1" "${2:-busybox}" sleep 1000
}
a_tree() { # something of everything
	mkdir -p tree/dir/empty
	echo one >tree/file
	ln tree/file tree/dir/hard
	ln -s file tree/link
	ln -s /etc/passwd tree/absolute
	ln -s nowhere tree/dangling
	printf '#!/bin/sh\necho ran\n' >tree/program
	chmod 4755 tree/program
	chmod 1777 tree/dir/empty
	chown 1234:4321 tree/dir
	touch -d '2001-02-03 04:05:06' tree/file
	printf 'umlaut' >"tree/mit Leerzeichen und ü"
	mkfifo tree/fifo
	truncate -s 8M tree/sparse
	printf end | dd of=tree/sparse bs=1 seek=1000000 conv=notrunc status=none
}
# Everything but the directories' own times, which unpacking a tar does not keep everywhere.
listing() { (cd "$1" && find . -mindepth 1 \( -type d -o -type l \) -printf "%p %y %m %U %G %l\n" -o -printf "%p %y %m %U %G %s %n %T@\n" | sed "s/\.[0-9]*$//" | sort); }

both_ways() {
	work
	a_tree
	up ways
	docker cp tree ways:/srv/
	eq ran "$(docker exec ways /srv/tree/program)"
	eq one "$(docker exec ways cat /srv/tree/link)"
	eq '4755 0 0' "$(docker exec ways stat -c '%a %u %g' /srv/tree/program)"
	docker exec ways sh -c '[ /srv/tree/file -ef /srv/tree/dir/hard ] && [ -p /srv/tree/fifo ]'
	docker cp -a tree ways:/opt
	eq 1234:4321 "$(docker exec ways stat -c %u:%g /opt/dir)"
	docker cp ways:/opt back
	eq "$(sum tree/sparse)" "$(sum back/sparse)"
	docker cp -a ways:/opt again
	chown 0:0 tree/dir # the client does not keep it
	diff <(listing tree) <(listing again)
	docker rm -f ways
}
t "a tree goes in and comes back as it was" both_ways

names() {
	work
	up names
	docker exec names sh -c 'mkdir -p /d/sub; echo a >/d/a; ln -s a /d/l; ln -s /d /dl; ln -s /nope /broken'
	docker cp names:/d - | tar tf - >list
	eq 'd/ d/a d/l d/sub/' "$(xargs <list)"
	eq './ ./a ./l ./sub/' "$(archive_of names /d/. | xargs)"
	eq 'dl' "$(archive_of names /dl)"
	eq 'dl/ dl/a dl/l dl/sub/' "$(archive_of names /dl/ | xargs)"
	eq 'a' "$(archive_of names dl/a)"
	eq '{"name":"a","size":2,"mode":420,"linkTarget":""}' "$(stat_of names /d/../d/a)"
	eq '{"name":"l","size":1,"mode":134218239,"linkTarget":"/d/a"}' "$(stat_of names /d/l)"
	eq '{"name":"broken","size":5,"mode":134218239,"linkTarget":"/nope"}' "$(stat_of names /broken)"
	eq 2147484141 "$(stat_of names /d/ | jq .mode)"
	eq '"."' "$(stat_of names /. | jq .name)"
	docker cp -L names:/d/l followed
	eq a "$(cat followed)"
	docker cp names:/d/l kept
	eq a "$(readlink kept)"
	docker rm -f names
}
t "names, links and trailing dots are understood as dockerd does" names

refusals() {
	work
	up refusals
	eq '404 {"message":"Could not find the file /nope in container refusals"}' \
		"$(api GET '/containers/refusals/archive?path=/nope' | xargs -d '\n')"
	eq '400 {"message":"bad parameter: pathcannot be empty"}' "$(api GET /containers/refusals/archive | xargs -d '\n')"
	eq '404 {"message":"No such container: no-such"}' "$(api GET '/containers/no-such/archive?path=/' | xargs -d '\n')"
	eq '404 {"message":"No such container: no-such"}' "$(api GET /containers/no-such/export | xargs -d '\n')"
	eq '404 {"message":"No such container: no-such"}' "$(api GET /containers/no-such/changes | xargs -d '\n')"
	echo x >f
	tar cf f.tar f
	eq '404 {"message":"Could not find the file /nope in container refusals"}' \
		"$(api PUT '/containers/refusals/archive?path=/nope' --data-binary @f.tar | xargs -d '\n')"
	has "$(api PUT '/containers/refusals/archive?path=/etc/passwd' --data-binary @f.tar)" \
		'extraction point is not a directory'
	eq 200 "$(api PUT '/containers/refusals/archive?path=/tmp' --data-binary @f.tar)"
	eq x "$(docker exec refusals cat /tmp/f)"
	mkdir -p d/f
	tar cf d.tar -C d f
	[ "$(api PUT '/containers/refusals/archive?path=/tmp&noOverwriteDirNonDir=1' --data-binary @d.tar | head -n 1)" != 200 ] ||
		gateway_only # the reference of 20.10 looks at the wrong side here
	docker rm -f refusals
}
t "what is not there, and what is in the way, is said" refusals

streams() {
	work
	up streams
	echo hello >f
	tar cf - f | docker cp - streams:/tmp
	eq hello "$(docker exec streams cat /tmp/f)"
	eq hello "$(docker cp streams:/tmp/f - | tar xOf -)"
	tar czf - f | docker cp - streams:/var/tmp
	eq hello "$(docker exec streams cat /var/tmp/f)"
	docker rm -f streams
}
t "archives by stdin and stdout, compressed ones too" streams

bulk() {
	work
	up bulk
	random_file big "${BULK_MIB:-256}"
	docker cp big bulk:/tmp/big
	eq "$(sum big)" "$(docker exec bulk sha256sum /tmp/big | cut -c1-64)"
	docker cp bulk:/tmp/big back
	eq "$(sum big)" "$(sum back)"
	docker rm -f bulk
}
t "a large file arrives whole, both ways" bulk

cut_in_the_middle() {
	gateway_only
	work
	up cut
	local id pid
	id=$(docker inspect -f '{{.Id}}' cut)
	random_file big "${BULK_MIB:-256}"
	for way in in out; do
		if [ $way = in ]; then docker cp big cut:/tmp/big & else docker cp cut:/tmp/big back & fi
		pid=$!
		for _ in 1 2 3; do
			sleep 0.1
			curl -s -X POST --unix-socket "$T/docker.sock" "http://d/internal/v1/agents/$id/cut"
		done
		wait $pid
	done
	eq "$(sum big)" "$(docker exec cut sha256sum /tmp/big | cut -c1-64)"
	eq "$(sum big)" "$(sum back)"
	docker rm -f cut
}
t "a tunnel that is cut during the copies costs nothing but time" cut_in_the_middle

no_tools_in_it() {
	work
	docker run -d --name bare static sleep
	echo data >f
	docker cp f bare:/f
	docker cp bare:/f back
	eq data "$(cat back)"
	docker cp bare:/static program
	cmp program "$(docker export bare | tar xOf - static >exported; echo exported)"
	docker rm -f bare
}
t "an image from scratch is no different" no_tools_in_it

before_the_start() {
	work
	a_tree
	docker create --name before -w /made/here busybox sh -c \
		'cat /srv/tree/link; /srv/tree/program; cat second; stat -c %u:%g /opt/dir; pwd'
	docker cp tree before:/srv/
	docker cp -a tree before:/opt
	echo first >second
	docker cp second before:/made/here
	echo replaced >second
	docker cp second before:/made/here/second
	eq replaced "$(docker cp before:/made/here/second - | tar xOf -)"
	eq one "$(docker cp -L before:/srv/tree/link - | tar xOf -)"
	docker cp before:/srv/tree back
	chown 0:0 tree/dir # the client does not keep it
	diff <(listing tree) <(listing back)
	docker cp before:/etc/passwd passwd
	has "$(cat passwd)" app:x:1000
	eq "$(printf 'one\nran\nreplaced\n1234:4321\n/made/here')" "$(docker start -a before)"
	eq "$(printf 'one\nran\nreplaced\n1234:4321\n/made/here')" "$(docker start -a before)" 'the second run'
	docker rm before
}
t "what is copied before the start is there, in order, in every run" before_the_start

before_refusals() {
	work
	docker create --name young busybox true
	echo x >f
	tar cf f.tar f
	eq '404 {"message":"Could not find the file /nope in container young"}' \
		"$(api PUT '/containers/young/archive?path=/nope' --data-binary @f.tar | xargs -d '\n')"
	eq '404 {"message":"Could not find the file /nope in container young"}' \
		"$(api GET '/containers/young/archive?path=/nope' | xargs -d '\n')"
	has "$(api PUT '/containers/young/archive?path=/etc/passwd' --data-binary @f.tar)" \
		'extraction point is not a directory'
	head -c 5000 /dev/urandom >noise
	[ "$(api PUT '/containers/young/archive?path=/tmp' --data-binary @noise | head -n 1)" -ge 400 ] || fail 'noise is taken'
	eq null "$(api GET /containers/young/changes | tail -n 1)"
	eq '{"name":"sh","size":7,"mode":134218239,"linkTarget":"/bin/busybox"}' "$(stat_of young /bin/sh)"
	docker rm young
}
t "before the start, too, what is wrong is said at once" before_refusals

kept_over_a_crash() {
	gateway_only
	work
	echo kept >f
	docker create --name crash busybox cat /tmp/f
	docker cp f crash:/tmp/
	engine_kill
	gateway_run
	eq kept "$(docker start -a crash)"
	docker rm crash
	eq '' "$(ls "$T/state/pending")"
}
t "files for a container to come survive the gateway" kept_over_a_crash

exports() {
	work
	up exports
	docker exec exports sh -c 'echo new >/srv/new; rm /etc/group; mkdir /home/app/sub'
	docker export exports >e.tar
	eq new "$(tar xOf e.tar srv/new)"
	tar tf e.tar >list
	grep -qx bin/busybox list
	grep -qx home/app/sub/ list
	! grep -qx etc/group list
	! grep -q '^proc/.' list
	docker rm -f exports
	docker create --name unborn busybox true
	docker cp list unborn:/srv/list
	docker export unborn >e.tar
	cmp list <(tar xOf e.tar srv/list)
	tar xOf e.tar bin/busybox | cmp - <(docker cp unborn:/bin/busybox - | tar xOf -)
	docker rm unborn
}
t "export gives the whole file system, of one that has not begun as well" exports

changes() {
	work
	docker run -d --name changes busybox sh -c 'echo y >/etc/new; rm /etc/group; rm -r /home/app; mkdir /home/app;
		chmod 700 /root; mkdir /a; touch /a/b /tmp/t /dev/shm/q; ln -s q /w; echo more >>/etc/passwd
		rm -r /srv; touch /srv; mkdir -p /var/run; sleep 1000'
	until_true 10 docker exec changes test -d /var/run
	docker diff changes | sort -k 2 >differences
	eq "$(printf '%s\n' 'A /a' 'A /a/b' 'C /etc' 'D /etc/group' 'A /etc/new' 'C /etc/passwd' 'C /home' 'C /home/app' \
		'C /root' 'C /srv' 'C /tmp' 'A /tmp/t' 'C /var' 'A /var/run' 'A /w')" "$(LC_ALL=C sort -k 2 differences)"
	docker rm -f changes
	docker create --name still busybox true
	echo x >f
	docker cp f still:/etc/f
	docker cp f still:/etc/passwd
	eq "$(printf '%s\n' 'C /etc' 'A /etc/f' 'C /etc/passwd')" "$(docker diff still | LC_ALL=C sort -k 2)"
	docker rm still
}
t "diff tells what was added, changed and deleted" changes

after_the_end() {
	work
	docker run --name over busybox sh -c 'echo result >/tmp/out; exit 3' || true
	eq 'exited 3' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' over)"
	eq result "$(docker cp over:/tmp/out - | tar xOf -)"
	has "$(docker diff over)" 'A /tmp/out'
	eq result "$(docker export over | tar xOf - tmp/out)"
	within 5 docker rm over
}
t "the files of one that has just ended can be had" after_the_end

again_without_waiting() {
	docker run --name again busybox sh -c 'echo run' || true
	within 10 docker start -a again
	within 5 docker rm again
}
t "an agent that stays for the files delays neither start nor rm" again_without_waiting

events() {
	work
	echo x >f
	local from
	from=$(date +%s.%N)
	docker create --name heard busybox sleep 1000
	docker cp f heard:/tmp/f
	docker start heard
	docker cp f heard:/tmp/f
	docker cp heard:/tmp/f back
	docker export heard >/dev/null
	docker events --since "$from" --until "$(date +%s.%N)" --filter container=heard --format '{{.Action}}' >heard
	eq 'create extract-to-dir start extract-to-dir archive-path export' "$(xargs <heard)"
	docker rm -f heard
}
t "copies and exports are events" events

another_user() {
	work
	echo x >f
	up other nonroot
	docker cp f other:/home/app/f
	eq x "$(docker exec other cat /home/app/f)"
	docker exec other sh -c 'echo mine >/home/app/g'
	eq mine "$(docker cp other:/home/app/g - | tar xOf -)"
	docker rm -f other
	docker create --name other nonroot cat f
	docker cp f other:/home/app/
	eq x "$(docker start -a other)"
	docker rm other
}
t "an image with another user takes files into its home" another_user

cut_after_the_end() {
	gateway_only
	work
	docker run --name late busybox sh -c 'echo result >/tmp/out' || true
	curl -s -X POST --unix-socket "$T/docker.sock" "http://d/internal/v1/agents/$(docker inspect -f '{{.Id}}' late)/cut"
	until_true 5 docker cp late:/tmp/out back
	eq result "$(cat back)"
	docker rm late
}
t "an agent that is cut off while it stays comes back" cut_after_the_end

left_clients() {
	gateway_only
	work
	up left
	docker exec left sh -c 'dd if=/dev/zero of=/tmp/big bs=1M count=64' 2>/dev/null
	for _ in 1 2; do
		timeout -s KILL 0.3 "$DOCKER" cp left:/tmp/big - 2>/dev/null | (sleep 0.5; cat >/dev/null) || true
		(head -c 20000000 /dev/zero; sleep 0.5) | timeout -s KILL 0.3 curl -s -X PUT -T - --unix-socket "$T/docker.sock" \
			'http://d/v1.41/containers/left/archive?path=/tmp' || true
	done
	until_true 10 eval '! docker exec left ps | grep -v grep | grep -q "sockerless-agent tool"'
	docker exec left true
	docker rm -f left
}
t "a client that leaves ends what it asked for" left_clients

finish
