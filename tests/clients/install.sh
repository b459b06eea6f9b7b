#!/usr/bin/env bash
# Puts the clients that Debian 12 lacks under DIR, without installing anything on the machine: from Debian 13
# docker-compose (v2), a newer docker and dockerd (bin/), and the Node.js libraries of package.json
# (node_modules/). Fetches only what is missing. As root or not.
#
# usage: install.sh DIR
set -euo pipefail
dir=$(realpath -m "${1:?usage: install.sh DIR}")
cd "$(dirname "$0")"
suite=trixie
# Node.js trusts a list of its own; a company's proxy is in the machine's.
export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}
packages=(docker-compose docker-cli docker.io)
mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/apt/sources" "$dir/bin"

# The mirror this machine gets Debian from; its main archive also has the next release.
mirror() {
	apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)' 'Created-By: Packages' |
		sed -n 's/^Debian|bookworm|//p' | head -n 1
}

apt() {
	apt-get -q -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/apt/sources" \
		-o Dir::State::lists="$dir/apt/lists" -o Dir::Cache="$dir/apt/cache" \
		-o Acquire::Retries=3 -o APT::Sandbox::User=root "$@"
}

debian() {
	local uri deb
	uri=$(mirror)
	[ -n "$uri" ] || {
		echo "install: no Debian mirror is configured on this machine" >&2
		return 1
	}
	cat >"$dir/apt/sources/$suite.sources" <<-END
		Types: deb
		URIs: $uri
		Suites: $suite
		Components: main
		Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
	END
	apt update
	(cd "$dir/apt" && rm -f ./*.deb && apt download "${packages[@]}")
	for deb in "$dir"/apt/*.deb; do
		dpkg-deb -x "$deb" "$dir/root"
	done
	rm -f "$dir"/apt/*.deb
	ln -sf ../root/usr/bin/docker "$dir/bin/docker"
	ln -sf ../root/usr/sbin/dockerd "$dir/bin/dockerd"
	ln -sf ../root/usr/libexec/docker/cli-plugins/docker-compose "$dir/bin/docker-compose"
}

[ -x "$dir/bin/docker-compose" ] || debian
if ! cmp -s package-lock.json "$dir/node_modules/.installed"; then
	cp package.json package-lock.json .npmrc "$dir/"
	(cd "$dir" && npm ci --no-audit --no-fund --ignore-scripts)
	cp package-lock.json "$dir/node_modules/.installed"
fi
