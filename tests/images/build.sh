#!/usr/bin/env bash
# The images the tests run, made offline from this machine's own files; one OCI layout each.
#
#   busybox      every applet, /etc/passwd with root, nobody and app; CMD sh
#   static       from scratch, one static binary (static.c); ENTRYPOINT /static
#   nonroot      busybox with USER 1000:1000 and a home directory that belongs to it
#   debian-like  bash, coreutils and the C library they are linked with; CMD bash
#   configured   busybox with ENTRYPOINT, CMD, ENV, WORKDIR, LABEL and STOPSIGNAL set
#   volumes      busybox with VOLUME /data (a file in it) and /logs
#   baked        busybox with the agent inside, for SOCKERLESS_AGENT_MODE=baked
#   predecessor  busybox with tests/func/predecessor_agent.py and the Python it needs in the agent's place
#
# usage: build.sh OUT_DIR AGENT_BINARY
set -euo pipefail

[ $# -eq 2 ] || {
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
}
out=$1 agent=$2
here=$(cd "$(dirname "$0")" && pwd)
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
stamp=1970-01-01T00:00:00Z

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# image NAME [umoci config options]: packs $work/NAME. Files belong to root, but for what lies under
# home/app, which is the user app's.
image() {
	local name=$1 root=$work/$1 layout=$work/oci-$1
	shift
	local common=(--format=ustar --sort=name --numeric-owner --mtime=@0 -C "$root")
	tar "${common[@]}" --owner=0 --group=0 --exclude=./home/app -cf "$work/$name.tar" .
	if [ -d "$root/home/app" ]; then
		tar "${common[@]}" --owner=1000 --group=1000 -rf "$work/$name.tar" ./home/app
	fi
	umoci init --layout "$layout"
	umoci new --image "$layout:latest"
	umoci raw add-layer --image "$layout:latest" --history.created $stamp "$work/$name.tar"
	umoci config --image "$layout:latest" --no-history --created $stamp --os linux \
		--architecture amd64 "$@"
	umoci gc --layout "$layout"
	rm -rf "${out:?}/$name"
	mv "$layout" "$out/$name"
}

# A root file system with the directories and accounts a small distribution has.
skeleton() {
	local root=$work/$1
	mkdir -p "$root"/{bin,dev,etc,home/app,proc,root,sys,usr/bin,usr/sbin,var/tmp,srv/data}
	mkdir -m 1777 "$root/tmp"
	cat >"$root/etc/passwd" <<-END
		root:x:0:0:root:/root:/bin/sh
		app:x:1000:1000:app:/home/app:/bin/sh
		nobody:x:65534:65534:nobody:/:/bin/false
	END
	cat >"$root/etc/group" <<-END
		root:x:0:
		app:x:1000:
		extra:x:2000:app
		nogroup:x:65534:
	END
}

busybox() {
	local root=$work/$1 applet
	skeleton "$1"
	cp /bin/busybox "$root/bin/busybox"
	for applet in $(/bin/busybox --list); do
		case $applet in busybox | '[' | '[[') continue ;; esac
		ln -s busybox "$root/bin/$applet"
	done
	ln -s busybox "$root/bin/["
	ln -s /bin/env "$root/usr/bin/env"
	# What exit status 126 is about: it is there, but may not be executed.
	echo '#!/bin/sh' >"$root/etc/not-executable"
}

busybox busybox
image busybox --config.cmd sh --config.env PATH=$path

mkdir -p "$work/static"
gcc -static -O2 -Wall -o "$work/static/static" "$here/static.c"
strip "$work/static/static"
image static --config.entrypoint /static

busybox nonroot
echo 'kept' >"$work/nonroot/home/app/file"
image nonroot --config.cmd sh --config.env PATH=$path --config.user 1000:1000 \
	--config.workingdir /home/app

skeleton debian-like
root=$work/debian-like
for program in bash cat date dd echo env head id ls mkdir printf pwd rm seq sha256sum sleep sort stty \
	tail tee test touch tr true uname wc; do
	file=$(type -P "$program")
	install -m 755 "$file" "$root/bin/$program"
	# "name => /path (address)" and "/lib64/ld-linux… (address)"
	ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// {print $1}'
done | sort -u | while read -r library; do
	mkdir -p "$root$(dirname "$library")"
	[ -e "$root$library" ] || cp -L "$library" "$root$library"
done
ln -s bash "$root/bin/sh"
image debian-like --config.cmd bash --config.env PATH=$path

busybox configured
cat >"$work/configured/entry" <<-'END'
	#!/bin/sh
	echo "entry: $*"
	echo "greeting: $GREETING"
	echo "in: $(pwd)"
END
chmod 755 "$work/configured/entry"
image configured --config.entrypoint /entry --config.cmd first --config.cmd 'second word' \
	--config.env PATH=$path --config.env 'GREETING=hello there' --config.workingdir /srv/data \
	--config.label 'test.label=from image' --config.stopsignal SIGUSR1

busybox volumes
mkdir -p "$work/volumes"/{data,logs}
echo seed >"$work/volumes/data/seed"
image volumes --config.cmd sh --config.env PATH=$path --config.volume /data --config.volume /logs

busybox baked
mkdir -p "$work/baked/sockerless/bin"
install -m 755 "$agent" "$work/baked/sockerless/bin/sockerless-agent"
install -m 644 /etc/ssl/certs/ca-certificates.crt "$work/baked/sockerless/ca-certificates.crt"
image baked --config.cmd sh --config.env PATH=$path

# The agent is run as `sockerless-agent run -- COMMAND`; the predecessor's wants its own flags.
busybox predecessor
root=$work/predecessor
mkdir -p "$root/sockerless/bin"
install -m 644 "$here"/../func/predecessor{,_agent}.py "$root/sockerless"
install -m 755 /usr/bin/python3 "$root/usr/bin/python3"
/usr/bin/python3 -S -I -B -c '
import sys
sys.path.insert(0, sys.argv[1])
import encodings.idna, encodings.utf_8, encodings.ascii, encodings.latin_1, predecessor_agent
for m in list(sys.modules.values()):
    if getattr(m, "__file__", None):
        print(m.__file__)' "$here/../func" | while read -r file; do
	case $file in /usr/lib/*) ;; *) continue ;; esac
	mkdir -p "$root$(dirname "$file")"
	cp -L "$file" "$root$file"
	case $file in *.so) ldd "$file" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' ;; esac
done >"$work/libraries"
ldd /usr/bin/python3 | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// {print $1}' >>"$work/libraries"
sort -u "$work/libraries" | while read -r library; do
	mkdir -p "$root$(dirname "$library")"
	[ -e "$root$library" ] || cp -L "$library" "$root$library"
done
cat >"$root/sockerless/bin/sockerless-agent" <<-'END'
	#!/bin/sh
	shift 2
	flags="-callback $SOCKERLESS_AGENT_CALLBACK_URL"
	if [ -z "$SOCKERLESS_AGENT_CALLBACK_URL" ]; then
		flags="-addr 0.0.0.0:9111"
		ip=$(ip -4 -o addr | awk '$2 != "lo" {sub("/.*", "", $4); print $4; exit}')
		echo "{\"sockerless_agent\":{\"listen\":[\"$ip:9111\"]}}" # or nobody would find it
	fi
	case $1 in keep-alive) shift && flags="$flags -keep-alive" ;; esac
	case $1 in token-in-url) shift && flags="$flags&token=$SOCKERLESS_AGENT_TOKEN" && unset SOCKERLESS_AGENT_TOKEN ;; esac
	exec /usr/bin/python3 -S -s -E /sockerless/predecessor_agent.py $flags -- "$@"
END
chmod 755 "$root/sockerless/bin/sockerless-agent"
image predecessor --config.cmd sh --config.env PATH=$path
