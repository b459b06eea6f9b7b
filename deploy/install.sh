#!/usr/bin/env bash
# `make install`: programs, the agent's image, the systemd unit and its user, below DESTDIR. Nothing is started, no
# user is made and no setting that is there already is touched; docs/deploy.md goes on from here.
#
# usage: install.sh BUILD DESTDIR PREFIX SYSCONFDIR
set -euo pipefail

[ $# -eq 4 ] || {
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
}
build=$1 dest=$2 prefix=$3 sysconf=$4
here=$(dirname "$0")
case $prefix$sysconf in
*[!A-Za-z0-9/._-]*)
	echo "install: PREFIX and SYSCONFDIR go into a systemd unit: letters, digits and / . _ - only" >&2
	exit 2
	;;
esac

put() { # mode source path
	install -D -m "$1" "$2" "$dest$3"
	echo "  INSTALL $dest$3"
}

for program in sockerless-gateway sockerlessctl sockerless-agent cloudrun-emulator; do
	put 755 "$build/bin/$program" "$prefix/bin/$program"
done
put 644 "$here/../docs/sockerless-gateway.8" "$prefix/share/man/man8/sockerless-gateway.8"
# Found by --local beside the programs, and pushed from here to a registry.
image=$prefix/share/sockerless/agent-image
rm -rf "$dest${image:?}"
(cd "$build/share/agent-image" && find . -type f) | while read -r file; do
	put 644 "$build/share/agent-image/$file" "$image/${file#./}"
done

filled=$(mktemp)
trap 'rm -f "$filled"' EXIT
sed "s|@bindir@|$prefix/bin|; s|/etc/sockerless|$sysconf/sockerless|" "$here/sockerless-gateway.service" >"$filled"
put 644 "$filled" "$prefix/lib/systemd/system/sockerless-gateway.service"
put 644 "$here/../docs/sockerless-gateway.8" "$prefix/share/man/man8/sockerless-gateway.8"
put 644 "$here/sockerless.sysusers" "$prefix/lib/sysusers.d/sockerless.conf"
put 644 "$here/gateway.env.example" "$sysconf/sockerless/gateway.env.example"
