#!/usr/bin/env bash
# Copies the test images (build.sh) into a plain-HTTP registry as library/NAME:latest, where
# `docker run NAME` finds them once Docker Hub is mirrored by that registry.
#
# usage: push.sh HOST:PORT IMAGES_DIR [NAME...]      default: all of IMAGES_DIR
set -euo pipefail

[ $# -ge 2 ] || {
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
}
registry=$1 dir=$2
shift 2
[ $# -gt 0 ] || mapfile -t all < <(ls "$dir")
for name in "$@" "${all[@]}"; do
	skopeo --insecure-policy copy -q --dest-tls-verify=false \
		"oci:$dir/$name:latest" "docker://$registry/library/$name:latest"
done
