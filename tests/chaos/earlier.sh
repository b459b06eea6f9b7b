#!/usr/bin/env bash
# An earlier version of the gateway and the agent, out of this repository's history, for the fault "old agent, new
# gateway, and the reverse". Once: what is there is kept. Without a history, or when it does not build, there is none.
#
# usage: earlier.sh OUT [COMMIT]
set -uo pipefail
out=$(realpath -m "$1") commit=${2:-60c56cf}
cd "$(dirname "$0")/../.." || exit 1
[ ! -x "$out/bin/sockerless-gateway" ] || exit 0
mkdir -p "$out/src"
git archive "$commit" 2>"$out/log" | tar -x -C "$out/src" 2>>"$out/log" || {
	echo "chaos: no earlier version: $commit is not in the history here"
	exit 0
}
echo "  EARLIER $commit"
env -u MAKEFLAGS -u MAKELEVEL make -C "$out/src" O="$out" -j"$(nproc)" SAN= CC="${CC:-gcc}" "$out/bin/sockerless-gateway" \
	"$out/bin/sockerless-agent" >>"$out/log" 2>&1 || echo "chaos: the earlier version does not build: $out/log"
