#!/usr/bin/env bash
# Create options: names, limits, what Cloud Run is asked for, warnings and refusals.
. "$(dirname "$0")/lib.sh"
engine_start busybox nonroot
[ "$ENGINE" = dockerd ] || for image in busybox nonroot; do must docker pull -q $image; done

create() { # HostConfig members [Config members]: status, then the answer
	curl -s -X POST -o "$T/body" -w '%{http_code} ' --unix-socket "$T/docker.sock" -H 'Content-Type: application/json' \
		-d "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{$1}${2:+,$2}}" http://docker/containers/create
	cat "$T/body"
}
refuses() { # sentence HostConfig [Config]
	local got
	got=$(create "$2" "${3:-}")
	has "$got" '400 '
	has "$got" "$1"
}
warns() { # sentence HostConfig [Config]
	local got
	got=$(create "$2" "${3:-}")
	has "$got" '201 '
	has "$got" "$1"
}
fine() { has "$(create "$1" "${2:-}")" '"Warnings":[]'; }

hosts() {
	has "$(docker run --rm --add-host db:10.1.2.3 --add-host six:::1 busybox cat /etc/hosts)" $'10.1.2.3\tdb'
	has "$(docker run --rm --add-host six:::1 busybox cat /etc/hosts)" $'::1\tsix'
	# This dockerd has no bridge, hence no address for the line.
	[ "$ENGINE" = dockerd ] ||
		has "$(docker run --rm --hostname box.example --add-host x:1.2.3.4 busybox cat /etc/hosts)" box.example
	eq box "$(docker run --rm --hostname box busybox cat /etc/hostname)"
	eq box "$(docker run --rm --hostname box busybox sh -c 'echo $HOSTNAME')"
}
t "--hostname and --add-host" hosts

dns() {
	has "$(docker run --rm --dns 1.2.3.4 busybox cat /etc/resolv.conf)" 'nameserver 1.2.3.4'
	has "$(docker run --rm --dns-search one.example --dns-search two.example busybox cat /etc/resolv.conf)" \
		'search one.example two.example'
	has "$(docker run --rm --dns-option ndots:3 busybox cat /etc/resolv.conf)" ndots:3
}
t "--dns, --dns-search, --dns-option" dns

tmpfs_modes() {
	eq 1777 "$(docker run --rm --tmpfs /t busybox stat -c %a /t)"
	eq 700 "$(docker run --rm --mount type=tmpfs,target=/t,tmpfs-mode=0700 busybox stat -c %a /t)"
	docker run --rm --tmpfs /t -u 1000 busybox sh -c 'echo x >/t/f'
}
t "tmpfs folders have Docker's modes" tmpfs_modes

ulimit() {
	eq '100 200' "$(docker run --rm --ulimit nofile=100:200 busybox sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)')"
	local id
	id=$(docker run -d --ulimit nofile=100:200 busybox sleep 100)
	eq 100 "$(docker exec "$id" sh -c 'ulimit -n')"
	docker rm -f "$id"
}
t "--ulimit nofile" ulimit

environment() {
	printf 'A=1\n# no\nB=two words\n' >"$T/tmp/env"
	eq '1 two words' "$(docker run --rm --env-file "$T/tmp/env" busybox sh -c 'echo $A $B')"
	# One variable of 100 KiB: three times what Cloud Run takes in one.
	head -c 102400 /dev/zero | tr '\0' x >"$T/tmp/big"
	eq 102400 "$(BIG=$(cat "$T/tmp/big") docker run --rm -e BIG busybox sh -c 'printf %s "$BIG" | wc -c')"
}
t "--env-file, and variables beyond Cloud Run's 32 KiB" environment

flags() {
	eq /not/there "$(docker run --rm --init --workdir /not/there busybox pwd)"
	eq 'a b' "$(docker run --rm --entrypoint echo busybox a b)"
	docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --shm-size 1m --log-driver local busybox true
	status 3 docker run --rm --restart no --stop-timeout 3 --stop-signal INT --platform linux/amd64 busybox sh -c 'exit 3'
}
t "common flags" flags

sentences() {
	refuses 'invalid CapAdd: unknown capability: \"CAP_FOO\"' '"CapAdd":["FOO"]'
	refuses 'Conflicting options: Nano CPUs and CPU Period cannot both be set' '"NanoCpus":1000000000,"CpuPeriod":100000'
	refuses 'Minimum memory limit allowed is 6MB' '"Memory":1000'
	refuses 'Minimum memory limit can not be less than memory reservation limit' '"Memory":10000000,"MemoryReservation":20000000'
	refuses 'bad format for add-host: \"bad\"' '"ExtraHosts":["bad"]'
	refuses 'invalid IP address in add-host: \"nope\"' '"ExtraHosts":["a:nope"]'
	refuses "unknown log opt 'bogus' for json-file log driver" '"LogConfig":{"Type":"json-file","Config":{"bogus":"1"}}'
	refuses 'plugin \"nope\" not found' '"LogConfig":{"Type":"nope"}'
	refuses "maximum retry count cannot be used with restart policy 'always'" '"RestartPolicy":{"Name":"always","MaximumRetryCount":2}'
	fine '"Memory":268435456,"NanoCpus":500000000,"SecurityOpt":["seccomp=unconfined"],"Init":true,"UsernsMode":"host"'
}
t "dockerd's sentences for bad values" sentences

cloud_sentences() {
	gateway_only
	refuses 'Privileged mode is not available' '"Privileged":true'
	refuses 'Devices are not available' '"Devices":[{"PathOnHost":"/dev/kvm"}]'
	refuses 'CapAdd NET_ADMIN is not available' '"CapAdd":["NET_ADMIN"]'
	refuses 'PidMode \"host\" is not available' '"PidMode":"host"'
	refuses 'memory limit of 40960MiB is above' '"Memory":42949672960'
	[ "$AGENT_MODE" = overlay ] || refuses 'as Cloud Run has only 6 CPUs available' '"NanoCpus":7000000000'
	refuses 'CPUs available' '"NanoCpus":9000000000'
	refuses 'one GPU at most' '"DeviceRequests":[{"Count":2,"Capabilities":[["gpu"]]}]'
	refuses 'label run.sockerless.timeout=200h: want a duration from 1s to 168h' '' '"Labels":{"run.sockerless.timeout":"200h"}'
	warns 'Label run.sockerless.typo is not known' '' '"Labels":{"run.sockerless.typo":"x"}'
	warns 'ReadonlyRootfs has no effect' '"ReadonlyRootfs":true'
	warns 'CapDrop has no effect' '"CapDrop":["ALL"]'
	warns 'MacAddress has no effect' '' '"MacAddress":"02:42:ac:11:00:02"'
}
t "what Cloud Run has not: refused with the reason, or told" cloud_sentences

effective() {
	gateway_only
	notes() { docker inspect "$1" | jq -c '.[0].HostConfig.Annotations'; }
	docker create --name small busybox true
	eq '{"run.sockerless.cpu":"1","run.sockerless.memory":"512Mi","run.sockerless.timeout":"86400s"}' "$(notes small)"
	docker create --name big --cpus 2.5 --memory 3g --tmpfs /t:size=1g --label run.sockerless.timeout=90m busybox true
	eq '{"run.sockerless.cpu":"4","run.sockerless.memory":"4096Mi","run.sockerless.timeout":"5400s"}' "$(notes big)"
	docker start -a big
	local url
	url=$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs
	eq '4 4096Mi 5400s' "$(curl -s "$url/sockerless-$(docker inspect -f '{{slice .Id 0 12}}' big)" |
		jq -r '.template.template | "\(.containers[0].resources.limits | .cpu + " " + .memory) \(.timeout)"')"
}
t "inspect tells what Cloud Run is asked for" effective

finish
