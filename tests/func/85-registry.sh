#!/usr/bin/env bash
# Registries of every kind: login, a name's descriptor, push, pull with credentials. skopeo is the witness.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/registries.sh"
engine_start busybox static
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

registries_stop
rm -rf "/etc/docker/certs.d/$basic"
finish
