#!/usr/bin/env bash
# Images as archives: load, save, import. skopeo and a real dockerd are the witnesses.
. "$(dirname "$0")/lib.sh"
engine_start busybox static
if [ "$ENGINE" = gateway ]; then
	must docker pull -q busybox
	must docker pull -q static
fi
skopeo() { command skopeo --insecure-policy "$@"; }
id() { docker image inspect -f '{{.Id}}' "$1"; }
archive() { # image name file: as docker save wrote it before version 25
	rm -f "$3"
	skopeo copy -q "oci:$IMAGES/$1:latest" "docker-archive:$3:$2"
}
api() { # method path arguments: body, then the status in a line
	curl -s -m 60 -X "$1" -w '%{http_code}' --unix-socket "$T/docker.sock" "http://docker/v1.41$2" "${@:3}"
}
tar_type='Content-Type: application/x-tar'

loads() {
	archive busybox loaded:1 "$T/a.tar"
	eq "Loaded image: loaded:1" "$(docker load -i "$T/a.tar" | tr '\r' '\n' | tail -n 1)"
	eq loaded "$(docker run --rm loaded:1 echo loaded)"
	eq "$(jq -r '.[0].Config' <(tar xOf "$T/a.tar" manifest.json) | cut -c1-64)" "$(id loaded:1 | cut -d: -f2)"
}
loads_compressed() {
	archive busybox packed:1 "$T/a.tar"
	gzip -1 -k -f "$T/a.tar"
	xz -0 -k -f "$T/a.tar"
	local file
	for file in "$T/a.tar.gz" "$T/a.tar.xz"; do
		docker rmi -f packed:1 2>/dev/null
		docker load -q -i "$file"
		id packed:1
	done
}
loads_oci() {
	gateway_only # dockerd 20.10 does not know the layout
	tar cf "$T/oci.tar" -C "$IMAGES/static" .
	local out
	out=$(docker load -q -i "$T/oci.tar")
	has "$out" "Loaded image ID: sha256:"
	has "$(docker run --rm "${out#*: }")" "hello from scratch"
}
load_errors() {
	has "$(api POST /images/load -H "$tar_type" --data-binary garbage)" "Error processing tar file"
	mkdir -p "$T/none"
	echo x >"$T/none/file"
	tar cf "$T/none.tar" -C "$T/none" .
	has "$(api POST /images/load -H "$tar_type" --data-binary "@$T/none.tar")" '"errorDetail"'
	archive busybox broken:1 "$T/a.tar"
	rm -rf "$T/broken"
	mkdir "$T/broken"
	tar xf "$T/a.tar" -C "$T/broken"
	chmod -R u+w "$T/broken"
	local layer
	layer=$(jq -r '.[0].Layers[0]' "$T/broken/manifest.json")
	printf x >>"$T/broken/$layer"
	tar cf "$T/broken.tar" -C "$T/broken" .
	[ "$ENGINE" = gateway ] || return 0 # dockerd does not look at a layer that it has
	has "$(api POST /images/load -H "$tar_type" --data-binary "@$T/broken.tar")" "invalid diffID for layer 0"
	status 1 docker image inspect broken:1
}
t "load of docker save's archive; it runs" loads
t "load of compressed archives" loads_compressed
t "load of an OCI layout; it runs" loads_oci
t "load says what is wrong with an archive" load_errors

saves() {
	docker tag busybox saved:1
	docker tag busybox saved:2
	docker save -o "$T/s.tar" saved:1 saved:2 static
	has "$(tar xOf "$T/s.tar" manifest.json | jq -c '[.[].RepoTags] | sort')" '["saved:1","saved:2"]'
	skopeo copy -q "docker-archive:$T/s.tar:saved:2" "dir:$T/witness" # checks every layer
	eq "$(id busybox | cut -d: -f2)" "$(jq -r .config.digest "$T/witness/manifest.json" | cut -d: -f2)"
}
saves_repository() {
	docker tag busybox every:a
	docker tag busybox every:b
	eq '["every:a","every:b"]' "$(docker save every | tar xO manifest.json | jq -c '[.[].RepoTags[]] | sort')"
	eq null "$(docker save "$(id busybox)" | tar xO manifest.json | jq -c '.[].RepoTags')"
}
save_errors() {
	eq '{"message":"No such image: none"}
404' "$(api GET /images/none/get)"
	eq '{"message":"No such image: none"}
404' "$(api GET "/images/get?names=busybox&names=none")"
}
round_trip() {
	docker tag busybox round:1
	local before
	before=$(id round:1)
	docker save -o "$T/r.tar" round:1 static
	docker rmi round:1
	has "$(docker load -q -i "$T/r.tar")" "Loaded image: round:1"
	eq "$before" "$(id round:1)"
	eq back "$(docker run --rm round:1 echo back)"
}
# What is not ours must read it: a dockerd of its own, with its own disk.
dockerd_loads() {
	gateway_only
	local pid host=unix://$T/reference.sock
	docker tag busybox witness:1
	docker save -o "$T/w.tar" witness:1 static
	SOCKERLESS_FUNC_MARK=$T dockerd --storage-driver=vfs --bridge=none --iptables=false --data-root "$T/reference" \
		--exec-root "$T/reference-exec" -H "$host" --pidfile "$T/reference.pid" >"$T/reference.log" 2>&1 </dev/null &
	pid=$!
	until_true 30 "$DOCKER" -H "$host" version
	has "$(docker -H "$host" load -i "$T/w.tar")" "Loaded image: witness:1"
	eq "$(id witness:1)" "$(docker -H "$host" image inspect -f '{{.Id}}' witness:1)"
	eq "$(id static)" "$(docker -H "$host" image inspect -f '{{.Id}}' static)"
	kill -TERM $pid
	until_true 20 gone $pid
}
t "save of several names, read by skopeo" saves
t "save of a repository, and of an ID" saves_repository
t "save of what is not there is 404" save_errors
t "save, rmi, load, run" round_trip
t "a real dockerd loads what save wrote" dockerd_loads

import_fixture() {
	rm -rf "$T/root"
	mkdir -p "$T/root/bin"
	cp "$(command -v busybox || echo /bin/busybox)" "$T/root/bin/busybox"
	ln -s busybox "$T/root/bin/sh"
	tar cf "$T/root.tar" -C "$T/root" .
}
imports() {
	import_fixture
	local out
	out=$(docker import -m "from afar" -c 'CMD ["/bin/busybox","echo","imported"]' -c 'ENV A=b C="d e"' \
		-c 'LABEL x=y' -c 'WORKDIR /bin' -c 'EXPOSE 80 53/udp' -c 'USER 0' "$T/root.tar" imported:1)
	eq "$(id imported:1)" "$out"
	eq imported "$(docker run --rm imported:1)"
	eq '["A=b","C=d e"]' "$(docker image inspect -f '{{json .Config.Env}}' imported:1)"
	eq '{"53/udp":{},"80/tcp":{}}' "$(docker image inspect -f '{{json .Config.ExposedPorts}}' imported:1)"
	eq "y /bin 0 from afar" "$(docker image inspect -f '{{.Config.Labels.x}} {{.Config.WorkingDir}} {{.Config.User}} {{.Comment}}' imported:1)"
	has "$(docker history imported:1)" "from afar"
}
imports_pipe() {
	import_fixture
	gzip -c "$T/root.tar" | docker import - piped:1
	eq hi "$(docker run --rm piped:1 /bin/busybox echo hi)"
}
import_errors() {
	import_fixture
	eq '{"message":"run is not a valid change command"}
400' "$(api POST "/images/create?fromSrc=-&changes=RUN%20x" -H "$tar_type" --data-binary "@$T/root.tar")"
	eq '{"message":"invalid reference format: repository name must be lowercase"}
400' "$(api POST "/images/create?fromSrc=-&repo=UP" -H "$tar_type" --data-binary "@$T/root.tar")"
}
# "\xff": a client that types Latin-1.
imports_foreign_bytes() {
	import_fixture
	has "$(api POST '/images/create?fromSrc=-&repo=latin&tag=1&message=caf%ff&changes=LABEL%20x=%ff' -H "$tar_type" \
		--data-binary "@$T/root.tar")" '"status":"sha256:'
	eq $'\ufffd caf\ufffd' "$(docker image inspect -f '{{.Config.Labels.x}} {{.Comment}}' latin:1)"
}
# An image's author does not choose the job's account, nor its price.
imports_options() {
	import_fixture
	docker import -c 'CMD ["/bin/busybox","true"]' -c 'LABEL run.sockerless.timeout=7s own=yes run.sockerless.memory=2g' \
		"$T/root.tar" greedy:1
	has "$(docker create --name greedy --label run.sockerless.memory=1g greedy:1 2>&1)" \
		'WARNING: Label run.sockerless.timeout of the image has no effect.'
	eq '{"own":"yes","run.sockerless.memory":"1g"}' "$(docker inspect greedy | jq -cS '.[0].Config.Labels')"
	eq '1024Mi 86400s' "$(docker inspect greedy | jq -r '.[0].HostConfig.Annotations |
		.["run.sockerless.memory"] + " " + .["run.sockerless.timeout"]')"
	docker rm greedy
}
t "import with changes; it runs" imports
t "an image's labels are no options" imports_options
t "import with what is not UTF-8" imports_foreign_bytes
t "import from a pipe, compressed" imports_pipe
t "import says what is wrong" import_errors

# Bounded memory: more than a gateway may hold.
big_image() {
	gateway_only
	random_file "$T/root/big" 48
	tar cf "$T/big.tar" -C "$T/root" .
	docker import "$T/big.tar" big:1
	docker save big:1 | tar xO manifest.json | grep -q big:1
	local kib
	kib=$(awk '/VmHWM/ {print $2}' "/proc/$engine_pid/status")
	case $BUILD${VALGRIND:+san-} in *san-*) return ;; esac
	[ "$kib" -lt 48000 ] || fail "the gateway has used $kib KiB"
}
client_leaves() {
	gateway_only
	local n
	for n in 0.05 0.2 0.5; do
		curl -s -m $n -o /dev/null --unix-socket "$T/docker.sock" http://docker/v1.41/images/big:1/get || true
		curl -s -m $n -o /dev/null --unix-socket "$T/docker.sock" -X POST -H "$tar_type" --data-binary "@$T/big.tar" \
			"http://docker/v1.41/images/create?fromSrc=-" || true
		curl -s -m $n -o /dev/null --unix-socket "$T/docker.sock" -X POST -H "$tar_type" --data-binary "@$T/big.tar" \
			http://docker/v1.41/images/load || true
	done
	until_true 20 no_temporary_files
}
no_temporary_files() { [ -z "$(find "$T/state/images.tmp" -mindepth 1)" ]; }
temporary_files() {
	gateway_only
	eq "" "$(find "$T/state/images.tmp" -mindepth 1)"
}
no_repository() {
	gateway_only
	engine_kill
	SOCKERLESS_GCR_IMAGE_REPOSITORY=127.0.0.1:1/nowhere gateway_run
	has "$(api POST /images/load -H "$tar_type" --data-binary "@$T/a.tar")" "store the image in 127.0.0.1:1/nowhere"
}
t "a large image passes through" big_image
t "a client that leaves takes its work with it" client_leaves
t "no file is left" temporary_files
t "a repository that does not answer is told" no_repository

finish
