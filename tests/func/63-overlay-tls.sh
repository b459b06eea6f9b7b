#!/usr/bin/env bash
# All of it through one real registry server with TLS and a token server, as with Artifact Registry: the user's image comes
# from there, the gateway puts the one with the agent there, layers are mounted between the two, Cloud Run pulls it and runs it.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/registries.sh"
[ "$ENGINE" = gateway ] || exit 0
registry_silent=false secure_registry
trap 'secure_distrust; finish' EXIT
secure_trust
asked=$T/registries/secure/log
must skopeo --insecure-policy copy -q --dest-cert-dir "/etc/docker/certs.d/$secure" --dest-creds u:p "oci:$IMAGES/busybox:latest" "docker://$secure/secret/tool:1"
must skopeo --insecure-policy copy -q --dest-cert-dir "/etc/docker/certs.d/$secure" --dest-creds u:p "oci:$IMAGES/debian-like:latest" "docker://$secure/secret/deb:1"
# What the gateway is on its own machine, as a credential helper or gcloud would have it; clients have none.
mkdir -p "$T/own-config"
printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$secure" "$(printf u:p | base64)" >"$T/own-config/config.json"
DOCKER_CONFIG=$T/own-config SOCKERLESS_GCR_IMAGE_REPOSITORY=$secure/public/mine engine_start

before=$(wc -l <"$asked")
requests() { tail -n +"$before" "$asked" | grep -cE "$1" || true; }
whole() {
	eq hi "$(docker run --rm "$secure/secret/tool:1" echo hi)"
	eq 201 "$(tail -n +"$before" "$asked" | grep -E '"POST /v2/public/mine/overlays/blobs/uploads/\?mount=' | awk '{ print $9 }' | sort -u | head -n 1)" 'a layer is mounted, not copied'
	[ "$(requests '"PUT /v2/public/mine/overlays/manifests/')" -ge 1 ] || fail "nothing was put there"
	[ "$(requests '"GET /v2/public/mine/overlays/blobs/')" -ge 1 ] || fail "Cloud Run did not pull it"
	[ "$(requests '" 401 ')" -ge 1 ] || fail "nobody was asked for a token"
}
t "pull, overlay and run with tokens and TLS, first use to last" whole

lasting() {
	docker run -d --name box "$secure/secret/tool:1" sleep 1000000
	eq inside "$(echo inside | docker exec -i box cat)"
	docker stop -t 1 box
	docker start box
	eq again "$(docker exec box echo again)"
	docker rm -f box
}
t "exec, stop and start in such a container" lasting

pulled() {
	has "$(docker pull "$secure/secret/deb:1")" 'Status: Downloaded newer image'
	eq "$(skopeo --insecure-policy inspect --cert-dir "/etc/docker/certs.d/$secure" --creds u:p --format '{{.Digest}}' "docker://$secure/secret/deb:1")" \
		"$(docker image inspect -f '{{index .RepoDigests 0}}' "$secure/secret/deb:1" | sed 's/.*@//')"
	eq bash "$(docker run --rm "$secure/secret/deb:1" bash -c 'echo ${0##*/}')"
}
t "a second image, pulled first" pulled

pushed() {
	docker tag "$secure/secret/tool:1" "$secure/public/copy:2"
	docker push -q "$secure/public/copy:2"
	docker rmi "$secure/public/copy:2"
	eq copied "$(docker run --rm "$secure/public/copy:2" echo copied)"
}
t "tag, push, rmi and run of what was pushed" pushed

registries_stop
secure_distrust
# shellcheck disable=SC2034  # lib.sh reads it
fds_kept=8 # connections to this registry
finish
