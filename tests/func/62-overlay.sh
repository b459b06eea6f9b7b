#!/usr/bin/env bash
# Agent mode overlay: images run with one layer more, which has the agent, from a repository of the gateway's own.
# It is the default where there is such a repository. What it is asked for is in its access log.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/registries.sh"
[ "$ENGINE" = gateway ] || exit 0
registry_silent=false plain_registry own
own=$plain
asked=$T/registries/own/log
export SOCKERLESS_GCR_IMAGE_REPOSITORY=$own/mine
engine_start busybox static nonroot configured debian-like
witness() { skopeo --insecure-policy "$@"; }

echoes() {
	eq hi "$(docker run --rm busybox echo hi)"
	grep -q "the agent's layer is made" "$T/engine.log" || fail "this is another agent mode"
}
t "run in an image that has been given the agent" echoes
exit_status() { status "$1" docker run --rm busybox "${@:2}"; }
t "its exit status" exit_status 42 sh -c 'exit 42'
t "no such program" exit_status 127 no-such-program
t "not executable" exit_status 126 /etc/not-executable
input() { eq 'through stdin' "$(echo through stdin | docker run --rm -i busybox cat)"; }
t "its stdin" input
execs() {
	docker run -d --name bk busybox sleep 1000
	eq hello "$(echo hello | docker exec -i bk cat)"
	status 7 docker exec bk sh -c 'exit 7'
	docker stop -t 1 bk
	docker start bk
	eq again "$(docker exec bk echo again)"
	docker rm -f bk
}
t "exec, stop and start" execs
scratch() {
	eq $'a\nb' "$(docker run --rm static args a b)"
	docker run -d --name sc static sleep
	status 3 docker exec sc /static exit 3
	docker rm -f sc
}
t "an image from scratch" scratch
configured() {
	local out
	out=$(docker run --rm configured)
	has "$out" 'entry: first second word'
	has "$out" 'in: /srv/data'
}
t "the image's entry point, command and directory" configured

# The agent is root whatever the image says: it can become anybody, and only it can read its token.
users() {
	eq 1000:1000:/home/app "$(docker run --rm nonroot sh -c 'echo $(id -u):$(id -g):$(pwd)')"
	eq 0 "$(docker run --rm -u 0 nonroot id -u)"
	docker run -d --name nr --hostname elsewhere --add-host there:192.0.2.7 nonroot sleep 1000
	eq 1000 "$(docker exec nr id -u)"
	eq 0 "$(docker exec -u root nr id -u)"
	eq elsewhere "$(docker exec nr cat /etc/hostname)"
	has "$(docker exec nr cat /etc/hosts)" there
	eq '' "$(docker exec nr sh -c 'cat /proc/*/environ 2>/dev/null' | tr '\0' '\n' | grep SOCKERLESS || true)"
	docker rm -f nr
}
t "an image with a user, and root in it" users
all_cpus() { eq 8 "$(docker run --rm --cpus 8 --memory 32g busybox echo 8)"; }
t "all of a task's CPUs and memory are the container's" all_cpus

hidden() {
	docker run -d --name hd busybox sh -c 'echo x >/made; sleep 1000'
	until_true 10 docker exec hd test -e /made
	has "$(docker diff hd)" 'A /made'
	lacks "$(docker diff hd)" sockerless
	lacks "$(docker export hd | tar t)" sockerless
	status 1 docker cp hd:/sockerless - 2>"$T/why"
	has "$(cat "$T/why")" 'Could not find the file /sockerless in container hd'
	docker rm -f hd
}
t "diff, export and cp do not see the agent" hidden

requests() { grep -c "\"$1 /v2/mine/overlays/$2" "$asked" || true; }
writes() { grep -cE '"(POST|PATCH|PUT) ' "$asked" || true; }
second_start() {
	local before after looks
	docker run --rm busybox true
	before=$(writes) looks=$(requests HEAD manifests)
	docker run --rm busybox true
	eq "$looks" "$(requests HEAD manifests)" "looks by the gateway that knows"
	kill -TERM "$engine_pid"
	until_true 20 gone "$engine_pid"
	gateway_run
	"$project/tests/images/push.sh" "$(local_json registry)" "$IMAGES" busybox
	docker run --rm busybox true
	after=$(requests HEAD manifests)
	[ "$after" -gt "$looks" ] || fail "nobody has looked"
	eq "$before" "$(writes)" "writes"
}
t "a second start sends nothing; another gateway's looks once" second_start
at_once() {
	local before pids=() i
	docker pull -q debian-like
	before=$(requests PUT manifests)
	for i in 1 2 3; do
		docker run --rm debian-like echo hi >"$T/at-once.$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	eq $'hi\nhi\nhi' "$(cat "$T"/at-once.*)"
	eq $((before + 1)) "$(requests PUT manifests)" "manifests"
}
t "three starts at once share one injection" at_once

shape() { # as skopeo reads it, which checks every digest
	local tag n
	tag=$(curl -s "http://$own/v2/mine/overlays/tags/list" | jq -r '.tags[0]')
	witness copy -q --src-tls-verify=false "docker://$own/mine/overlays:$tag" "dir:$T/over"
	n=$(jq '.layers | length' "$T/over/manifest.json")
	[ "$n" -ge 2 ] || fail "$n layers"
	eq "$n" "$(jq '.rootfs.diff_ids | length' "$T/over/$(jq -r '.config.digest[7:]' "$T/over/manifest.json")")"
}
t "what is in the repository is a whole image" shape

secure_registry
trap 'secure_distrust; finish' EXIT
secure_trust
must witness copy -q --dest-cert-dir "/etc/docker/certs.d/$secure" --dest-creds u:p "oci:$IMAGES/busybox:latest" \
	"docker://$secure/secret/tool:1"
must witness copy -q --dest-cert-dir "/etc/docker/certs.d/$secure" --dest-creds u:p "oci:$IMAGES/configured:latest" \
	"docker://$secure/public/tool:1"
secure_source() {
	status 125 docker run --rm "$secure/secret/tool:1" echo hi 2>"$T/why"
	has "$(cat "$T/why")" 'pull access denied'
	docker login -u u -p p "$secure"
	docker pull "$secure/secret/tool:1"
	docker logout "$secure"
	# Nobody knows the password any more; the image with the agent is there.
	eq hi "$(docker run --rm "$secure/secret/tool:1" echo hi)"
	has "$(docker run --rm "$secure/public/tool:1")" 'entry: first second word'
}
t "an image of a registry with TLS and tokens is pulled, overlaid and run" secure_source

failure() {
	plain_registry other
	witness copy -q --dest-tls-verify=false "oci:$IMAGES/volumes:latest" "docker://$plain/gone:1"
	docker pull -q "$plain/gone:1"
	kill -TERM "${registry_pids[-1]}"
	until_true 10 gone "${registry_pids[-1]}"
	status 125 docker run --name fl "$plain/gone:1" true 2>"$T/why"
	has "$(cat "$T/why")" "put the agent into the image $plain/gone: registry $plain: "
	has "$(docker inspect -f '{{.State.Status}} {{.State.Error}}' fl)" "created put the agent into"
	docker rm fl
}
t "a start that cannot be given its agent says why, and leaves nothing" failure

registries_stop
secure_distrust
fds_kept=8 # connections to all these registries
finish
