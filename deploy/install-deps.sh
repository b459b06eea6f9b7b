#!/usr/bin/env bash
# Installs what building, testing and running need on Debian 12. `make deps`, the README and .ci/run
# all come here. As root, or as a user who may sudo. Asks nothing, and does nothing when all is there.
#
# usage: install-deps.sh [build] [run] [test] [lint]      default: all four groups
# shellcheck disable=SC2034  # the lists are read by name
set -euo pipefail

# The compiler and the libraries the programs are linked with. node-llhttp carries the C sources of
# the HTTP parser, which are compiled in.
build=(
	gcc
	libarchive-dev
	libbz2-dev
	libc6-dev
	libcurl4-openssl-dev
	libjansson-dev
	liblzma-dev
	libprotobuf-c-dev
	libsqlite3-dev
	libssl-dev
	libuv1-dev
	libwebsockets-dev
	libzstd-dev
	make
	node-llhttp
	protobuf-c-compiler
	uthash-dev
	zlib1g-dev
)

# What the programs load or start: libwebsockets opens its libuv plugin at run time; --local starts
# a registry and runs containers; umoci and skopeo make and move the agent's image.
run=(
	ca-certificates
	crun
	docker-registry
	libwebsockets-evlib-uv
	skopeo
	umoci
)

# The real docker client (and dockerd, for the benchmark), its Python SDK, unit tests, test images; Caddy, which ends TLS
# before a gateway; gRPC for the stand-in of Terraform's provider.
test=(
	busybox-static
	bzip2
	caddy
	curl
	docker.io
	iproute2
	jq
	libcriterion-dev
	openssl
	procps
	python3
	python3-docker
	python3-grpcio
	python3-yaml
	sqlite3
	util-linux
	valgrind
	xz-utils
	zstd
)

# dockerode and testcontainers are Node.js libraries. A Node.js from elsewhere brings its own npm.
command -v npm >/dev/null || test+=(nodejs npm)

# Formatting, static analysis, fuzzing.
lint=(
	clang
	clang-tidy
	cppcheck
	git
	libclang-rt-14-dev
	shellcheck
)

wanted=()
for group in "${@:-build run test lint}"; do
	for name in $group; do
		case $name in
		build | run | test | lint)
			declare -n list=$name
			wanted+=("${list[@]}")
			;;
		*)
			echo "install-deps: no group named '$name' (build, run, test, lint)" >&2
			exit 2
			;;
		esac
	done
done

missing=()
for package in "${wanted[@]}"; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
	[ "$status" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
	echo "install-deps: all ${#wanted[@]} packages are there"
	exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || {
		echo "install-deps: run as root, or install sudo; missing: ${missing[*]}" >&2
		exit 1
	}
	as_root=(sudo)
fi

# No daemon of these packages is wanted running: what needs one starts its own.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee $policy >/dev/null
	"${as_root[@]}" chmod 755 $policy
	trap '"${as_root[@]}" rm -f $policy' EXIT
fi

apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3 \
		-o DPkg::Lock::Timeout=300 "$@" </dev/null
}
echo "install-deps: installing ${missing[*]}"
apt update
apt install -y --no-install-recommends "${missing[@]}"
