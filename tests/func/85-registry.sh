#!/usr/bin/env bash
# Registries of every kind: login, a name's descriptor, push, pull with credentials. skopeo is the witness.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/registries.sh"
mkdir -p "$T/bin"
PATH=$T/bin:$PATH # for a credential helper of ours
engine_start static
plain_registry
basic_registry
token_registry
mkdir -p "/etc/docker/certs.d/$basic"
cp "$T/registries/basic/cert.pem" "/etc/docker/certs.d/$basic/ca.crt"
witness() { skopeo --insecure-policy "$@"; }
fill() { # image name: into the plain and the token registry
	witness copy -q --dest-tls-verify=false "oci:$IMAGES/$1:latest" "docker://$plain/library/$1:latest"
	witness copy -q --dest-tls-verify=false --dest-creds u:p "oci:$IMAGES/$1:latest" "docker://$token/public/$1:latest"
	witness copy -q --dest-tls-verify=false --dest-creds u:p "oci:$IMAGES/$1:latest" "docker://$token/secret/$1:latest"
	witness copy -q --dest-cert-dir "/etc/docker/certs.d/$basic" --dest-creds u:p "oci:$IMAGES/$1:latest" \
		"docker://$basic/secret/$1:latest"
}
must fill busybox
api() { # method path arguments: body, then the status in a line
	curl -s -m 30 -X "$1" -w '\n%{http_code}' --unix-socket "$T/docker.sock" "http://docker/v1.41$2" "${@:3}"
}

login_works() {
	local host
	for host in "$basic" "$token" "$plain"; do
		has "$(docker login -u u -p p "$host" 2>&1)" "Login Succeeded"
		docker logout "$host"
	done
}
login_is_checked() {
	local host
	for host in "$basic" "$token"; do
		status 1 docker login -u u -p wrong "$host"
	done
}
login_keeps_no_password() {
	docker login -u u -p p "$token"
	has "$(cat "$DOCKER_CONFIG/config.json")" identitytoken
	docker logout "$token"
}
t "login checks a password, at a token server too" login_works
t "a wrong password is refused" login_is_checked
t "a token server's identity token is kept by the client" login_keeps_no_password

describes() {
	local digest
	digest=$(witness inspect --tls-verify=false --format '{{.Digest}}' "docker://$plain/library/busybox")
	has "$(api GET "/distribution/$plain/library/busybox/json")" "$digest"
	eq '{"message":"manifest unknown: manifest unknown"}
404' "$(api GET "/distribution/$plain/library/busybox:none/json" | sed '/^$/d')"
	has "$(api GET "/distribution/$token/secret/busybox/json")" 403
}
t "distribution tells the descriptor, or why not" describes
searches() {
	gateway_only
	has "$(docker search x 2>&1 || true)" "does not search registries"
}
t "search is refused with a sentence" searches

known() { # reference: pulled from the plain registry and named so
	docker pull -q "$plain/library/busybox"
	docker tag "$plain/library/busybox" "$1"
}
is_there() { # reference witness-arguments: the same image, whole
	local want got
	want=$(docker image inspect -f '{{.Id}}' "$plain/library/busybox")
	rm -rf "$T/witness"
	witness copy -q "${@:2}" "docker://$1" "dir:$T/witness" # checks every digest
	got=$(jq -r .config.digest "$T/witness/manifest.json")
	eq "$want" "$got"
}
pushes_within() {
	known "$plain/mine/busybox:1"
	local out
	out=$(docker push "$plain/mine/busybox:1")
	has "$out" "The push refers to repository [$plain/mine/busybox]"
	has "$out" "Mounted from library/busybox"
	has "$out" "1: digest: sha256:"
	is_there "$plain/mine/busybox:1" --src-tls-verify=false
	has "$(docker push "$plain/mine/busybox:1")" "Layer already exists"
}
pushes_to_token() {
	known "$token/mine/busybox:1"
	status 1 docker push "$token/mine/busybox:1" 2>"$T/why"
	has "$(cat "$T/why")" "denied: requested access to the resource is denied"
	docker login -u u -p p "$token"
	has "$(docker push "$token/mine/busybox:1")" Pushed
	docker logout "$token"
	is_there "$token/mine/busybox:1" --src-tls-verify=false --src-creds u:p
}
pushes_to_basic() {
	known "$basic/mine/busybox:1"
	status 1 docker push "$basic/mine/busybox:1" 2>"$T/why"
	has "$(cat "$T/why")" "no basic auth credentials"
	docker login -u u -p p "$basic"
	has "$(docker push "$basic/mine/busybox:1")" Pushed
	docker logout "$basic"
	is_there "$basic/mine/busybox:1" --src-cert-dir "/etc/docker/certs.d/$basic" --src-creds u:p
}
pushes_all_tags() {
	known "$plain/every/busybox:a"
	known "$plain/every/busybox:b"
	docker push -a "$plain/every/busybox"
	is_there "$plain/every/busybox:a" --src-tls-verify=false
	is_there "$plain/every/busybox:b" --src-tls-verify=false
}
push_errors() {
	status 1 docker push "$plain/never/heard:1" 2>"$T/why"
	has "$(cat "$T/why")" "An image does not exist locally with the tag: $plain/never/heard"
	known "$plain/every/busybox:a"
	status 1 docker push "$plain/every/busybox:none" 2>"$T/why"
	has "$(cat "$T/why")" "tag does not exist: $plain/every/busybox:none"
	has "$(api POST "/images/UPPER/push" -H "X-Registry-Auth: e30=")" "repository name must be lowercase"
}
push_has_digest() {
	known "$plain/digest/busybox:1"
	local digest
	digest=$(docker push "$plain/digest/busybox:1" | sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p')
	has "$(docker image inspect -f '{{.RepoDigests}}' "$plain/digest/busybox:1")" "$plain/digest/busybox@$digest"
}
t "push mounts layers of the same registry" pushes_within
t "push to a registry with a token server" pushes_to_token
t "push to a registry with TLS and a password" pushes_to_basic
t "push -a pushes every tag" pushes_all_tags
t "push errors are in the stream, in dockerd's words" push_errors
t "what was pushed is known by its digest" push_has_digest

forget() { # reference...: so that a pull has news
	docker rmi -f "$@" >/dev/null 2>&1 || true
}
pulls_all_tags() {
	known "$plain/many/busybox:a"
	known "$plain/many/busybox:b"
	docker push -a "$plain/many/busybox"
	forget "$plain/many/busybox:a" "$plain/many/busybox:b"
	local out
	out=$(docker pull -a "$plain/many/busybox")
	has "$out" "a: Pulling from many/busybox"
	has "$out" "b: Pulling from many/busybox"
	has "$out" "Status: Downloaded newer image for $plain/many/busybox"
	docker image inspect "$plain/many/busybox:a" "$plain/many/busybox:b"
	status 1 docker pull -a "$plain/no/where" 2>"$T/why"
	has "$(cat "$T/why")" "repository $plain/no/where not found: name unknown"
}
pulls_digest() {
	local digest
	digest=$(witness inspect --tls-verify=false --format '{{.Digest}}' "docker://$plain/library/busybox")
	docker rmi -f "$(docker image inspect -f '{{.Id}}' "$plain/library/busybox")"
	has "$(docker pull "$plain/library/busybox@$digest")" "Downloaded newer image for $plain/library/busybox@$digest"
	has "$(docker pull "$plain/library/busybox@$digest")" "Image is up to date for $plain/library/busybox@$digest"
	eq "[]" "$(docker image inspect -f '{{.RepoTags}}' "$plain/library/busybox@$digest")"
}
pulls_with_credentials() {
	forget "$token/secret/busybox" "$basic/secret/busybox"
	status 1 docker pull "$token/secret/busybox" 2>"$T/why"
	has "$(cat "$T/why")" "pull access denied for $token/secret/busybox, repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
	docker login -u u -p p "$token"
	docker login -u u -p p "$basic"
	docker pull "$token/secret/busybox"
	docker pull "$basic/secret/busybox"
	docker logout "$token"
	docker logout "$basic"
}
auth() { base64 -w0 <<<"$1"; }
pull_statuses() {
	local path="/images/create?fromImage=$basic/secret/busybox&tag=latest"
	eq '{"message":"unauthorized: authentication required"}
500' "$(api POST "$path" -H "X-Registry-Auth: $(auth '{"username":"u","password":"x"}')" | sed '/^$/d')"
	has "$(api POST "$path" -H "X-Registry-Auth: $(auth '{"username":"u","password":"p"}')")" '"status":"Status: '
	has "$(api POST "$path" -H "X-Registry-Auth: $(auth '{"username":"u","password":"p"}' | tr '+/' '-_')")" '"status":"Status: '
	eq '{"message":"invalid tag format"}
400' "$(api POST "/images/create?fromImage=x&tag=a@b" | sed '/^$/d')"
	has "$(api POST "/images/create?fromImage=x&tag=a&platform=bogus")" 'unknown operating system or architecture'
}
# The gateway's own credentials: for requests that bring none. It reads $DOCKER_CONFIG, as the client does; so
# the client is a plain HTTP one here.
pulls_with_file() {
	gateway_only
	local path="/images/create?fromImage=$basic/secret/busybox&tag=latest"
	has "$(api POST "$path")" "no basic auth credentials"
	printf '{"auths":{"%s":{"auth":"%s"}}}' "$basic" "$(printf u:p | base64)" >"$DOCKER_CONFIG/config.json"
	has "$(api POST "$path")" '"status":"Status: '
	rm "$DOCKER_CONFIG/config.json"
}
pulls_with_helper() {
	gateway_only
	local path="/images/create?fromImage=$basic/secret/busybox&tag=latest"
	cat >"$T/bin/docker-credential-test" <<-EOF
		#!/bin/sh
		[ "\$1" = get ] && [ "\$(cat)" = "$basic" ] || { echo "credentials not found in native keychain"; exit 1; }
		echo '{"ServerURL":"$basic","Username":"u","Secret":"p"}'
	EOF
	chmod +x "$T/bin/docker-credential-test"
	printf '{"credHelpers":{"%s":"test"}}' "$basic" >"$DOCKER_CONFIG/config.json"
	has "$(api POST "$path")" '"status":"Status: '
	printf '{"credsStore":"test"}' >"$DOCKER_CONFIG/config.json"
	has "$(api POST "$path")" '"status":"Status: '
	printf '{"credsStore":"missing"}' >"$DOCKER_CONFIG/config.json"
	has "$(api POST "$path")" "no basic auth credentials"
	rm "$DOCKER_CONFIG/config.json"
}
t "pull -a pulls every tag" pulls_all_tags
t "pull by digest" pulls_digest
t "pull with a login, at a token server and with a password" pulls_with_credentials
t "pull errors have dockerd's statuses and sentences" pull_statuses
t "pull with the gateway's own config.json" pulls_with_file
t "pull with a credential helper" pulls_with_helper

fds_kept=9 # connections to four registries, two each where layers were sent
registries_stop
rm -rf "/etc/docker/certs.d/$basic"
finish
