#!/usr/bin/env bash
# `make package`: what `make install` installs, as a Debian package for the Debian release it is built on. It depends on
# the packages that hold the libraries the programs are linked with. Same programs, same package, bit for bit.
#
# usage: package.sh BUILD VERSION OUT.deb
set -euo pipefail

[ $# -eq 3 ] || {
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
}
build=$1 version=$2 out=$3
here=$(dirname "$0")
export SOURCE_DATE_EPOCH=0

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
umask 022
"$here/install.sh" "$build" "$root" /usr /etc >/dev/null

# Packages of the libraries the programs name; a path of before the merge of /lib and /usr/lib is registered as shipped.
libraries() {
	local program name lib
	for program in sockerless-gateway sockerlessctl cloudrun-emulator; do
		readelf -d "$root/usr/bin/$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r name; do
			lib=$(ldd "$root/usr/bin/$program" | awk -v n="$name" '$1 == n { print $3 }')
			{ dpkg-query -S "$lib" "/usr$lib" 2>/dev/null || true; } | sed -n '1s/:.*//p'
		done
	done | sort -u
}
depends=$(libraries | paste -sd, | sed 's/,/, /g')
[ -n "$depends" ] || {
	echo "package: no package here holds the libraries" >&2
	exit 1
}

mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<END
Package: sockerless-gateway
Version: $version
Architecture: amd64
Maintainer: the authors of sockerless-gateway <root@localhost>
Section: admin
Priority: optional
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Depends: $depends, ca-certificates, libwebsockets-evlib-uv, systemd
Suggests: crun, docker-registry, skopeo, umoci
Description: Docker Engine API on Google Cloud Run
 Serves the Docker Engine API and runs every container as a Cloud Run job. What it suggests is for --local, an
 emulated Cloud Run on this machine.
END
echo /etc/sockerless/gateway.env.example >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/postinst" <<'END'
#!/bin/sh
# Makes the user and the group docker. Nothing is started: there are no settings yet.
set -e
if [ "$1" = configure ]; then
	systemd-sysusers sockerless.conf
	[ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
END
cat >"$root/DEBIAN/prerm" <<'END'
#!/bin/sh
# An upgrade leaves the gateway running until it is restarted; a removal ends it. Containers run on.
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
	systemctl disable --now sockerless-gateway || true
fi
END
chmod 755 "$root/DEBIAN/postinst" "$root/DEBIAN/prerm"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -hd @0 {} +
dpkg-deb --root-owner-group -Zxz -b "$root" "$out" >/dev/null
