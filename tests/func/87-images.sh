#!/usr/bin/env bash
# What is known of images: list and its filters, inspect, history, tag, rmi, prune.
. "$(dirname "$0")/lib.sh"
engine_start busybox static
if [ "$ENGINE" = gateway ]; then
	must docker pull -q busybox
	must docker pull -q static
fi
id() { docker image inspect -f '{{.Id}}' "$1"; }
names() { docker images --format '{{.Repository}}:{{.Tag}}' "$@" | sort | tr '\n' ' '; }
api() { # method path: body, then the status in a line
	curl -s -m 30 -X "$1" -w '\n%{http_code}' --unix-socket "$T/docker.sock" "http://docker/v1.41$2" "${@:3}" | sed '/^$/d'
}

filters() {
	docker tag busybox team/one:1
	docker tag busybox team/one:2
	docker tag static team/two:1
	eq "team/one:1 team/one:2 " "$(names -f reference=team/one)"
	eq "team/one:1 team/two:1 " "$(names -f 'reference=team/*:1')"
	eq "team/one:2 team/two:1 " "$(names -f reference=team/one:2 -f reference=team/two)"
	eq "" "$(names -f dangling=true)"
	eq "" "$(names -f label=none)"
	eq "" "$(names -f reference=none)"
	has "$(api GET '/images/json?filters=%7B%22dangling%22:%5B%22x%22%5D%7D')" "nvalid filter 'dangling=[x]'"
	has "$(api GET '/images/json?filters=%7B%22before%22:%5B%22none%22%5D%7D')" "No such image: none:latest"
	has "$(api GET '/images/json?filters=%7B%22reference%22:%5B%22%5Ba%22%5D%7D')" "syntax error in pattern"
}
t "list filters show the names that match" filters

finds() {
	local whole
	whole=$(id busybox)
	local hex=${whole#sha256:} name
	for name in busybox:latest docker.io/library/busybox library/busybox "$whole" "$hex" "${hex:0:12}" "sha256:${hex:0:9}"; do
		eq "$whole" "$(id "$name")" "$name"
	done
	status 1 docker image inspect busybox:none
	has "$(api GET /images/UPPER/json)" "repository name must be lowercase"
	eq 400 "$(api GET /images/a:b:c/json | tail -n 1)"
	eq 404 "$(api GET "/images/${hex:0:12}0/json" | tail -n 1)"
}
shape() {
	local config
	config=$(api GET /images/busybox/json | head -n 1 | jq -c '.Config | keys')
	has "$config" '"AttachStderr"'
	has "$config" '"WorkingDir"'
	eq '["sh"]' "$(docker image inspect -f '{{json .Config.Cmd}}' busybox)"
	eq "$(id busybox)" "$(docker history -q --no-trunc busybox | head -n 1)"
}
t "an image is found by name, digest and ID prefix" finds
t "inspect has the complete shape" shape

tags() {
	docker tag busybox fresh:1
	eq "$(id busybox)" "$(id fresh:1)"
	docker tag static fresh:1 # it moves
	eq "$(id static)" "$(id fresh:1)"
	eq 201 "$(api POST '/images/busybox/tag?repo=fresh:1&tag=2' | tail -n 1)"
	eq "$(id busybox)" "$(id fresh:2)"
	has "$(api POST '/images/busybox/tag?repo=fresh&tag=a%20b')" "invalid tag format"
	has "$(api POST '/images/busybox/tag?repo=sha256&tag=1')" "refusing to create an ambiguous tag using digest algorithm as name"
	has "$(api POST '/images/none/tag?repo=fresh&tag=1')" "No such image: none:latest"
}
t "tag and its refusals" tags

removes() {
	docker tag static gone:1
	docker tag static gone:2
	eq "Untagged: gone:1" "$(docker rmi gone:1)"
	local hex
	hex=$(id static)
	status 1 docker rmi "${hex:7:12}" 2>"$T/why"
	has "$(cat "$T/why")" "unable to delete ${hex:7:12} (must be forced) - image is referenced in multiple repositories"
	status 1 docker rmi none 2>"$T/why"
	has "$(cat "$T/why")" "No such image: none"
}
in_use() {
	docker tag busybox kept:1
	docker images -q --no-trunc busybox >"$T/id"
	docker create --name user kept:1 true >/dev/null
	eq "Untagged: kept:1" "$(docker rmi kept:1)" # it has other names
	local name last
	for name in $(docker images --format '{{.Repository}}:{{.Tag}}' --no-trunc | grep -v static); do
		[ "$(id "$name")" = "$(cat "$T/id")" ] || continue
		last=$name
		docker rmi "$name" 2>"$T/why" || break
	done
	has "$(cat "$T/why")" "unable to remove repository reference \"$last\" (must force) - container"
	docker rm user
	docker rmi "$last" | grep -q Deleted
	status 1 docker image inspect "$last"
}
prunes() {
	has "$(api POST /images/prune)" '"ImagesDeleted":null'
	has "$(api POST '/images/prune?filters=%7B%22until%22:%5B%22x%22%5D%7D')" 'failed to parse value as time or duration: \"x\"'
	docker image prune -af --filter until=24h
	status 1 docker image inspect static
}
t "rmi takes one name, and says why not" removes
t "rmi of an image in use" in_use
t "prune" prunes

finish
