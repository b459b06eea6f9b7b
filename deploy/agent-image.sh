#!/usr/bin/env bash
# The agent image of sidecar mode: from scratch, with the static agent and the CA bundle it verifies
# the gateway by. `make` builds it for --local; for Google, push it where Cloud Run can pull:
#
#   deploy/agent-image.sh build/share/agent-image build/bin/sockerless-agent
#   skopeo copy oci:build/share/agent-image:latest docker://REGION-docker.pkg.dev/PROJECT/REPO/agent
#
# The same agent gives the same image, bit for bit. Needs umoci; no root, no network.
#
# usage: agent-image.sh OUT_OCI_DIR AGENT_BINARY
set -euo pipefail

[ $# -eq 2 ] || {
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
}
out=$1 agent=$2
bundle=${CA_CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
install -m 755 "$agent" "$work/root/sockerless-agent"
install -m 644 "$bundle" "$work/root/ca-certificates.crt"
tar -C "$work/root" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 \
	-cf "$work/layer.tar" sockerless-agent ca-certificates.crt

image=$work/image:latest
stamp=1970-01-01T00:00:00Z
umoci init --layout "$work/image"
umoci new --image "$image"
umoci raw add-layer --image "$image" --history.created $stamp --history.created_by agent-image.sh \
	"$work/layer.tar"
umoci config --image "$image" --no-history --created $stamp --os linux --architecture amd64 \
	--config.entrypoint /sockerless-agent --config.user 0:0 \
	--config.label org.opencontainers.image.title=sockerless-agent
umoci gc --layout "$work/image"

mkdir -p "$(dirname "$out")"
rm -rf "$out"
mv "$work/image" "$out"
