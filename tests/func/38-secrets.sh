#!/usr/bin/env bash
# Secrets of Secret Manager as variables and as files. In the emulator they are the files of a folder.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox nonroot
for image in busybox nonroot; do must docker pull -q $image; done

mkdir -p "$T/state/secrets"
printf 'hush "quoted" $HOME ü' >"$T/state/secrets/pass-word"
printf 'line one\nline two\n' >"$T/state/secrets/certificate"
label=run.sockerless.secret.env

variable() {
	eq 'hush "quoted" $HOME ü' "$(docker run --rm --label $label.PASSWORD=pass-word busybox sh -c 'printf %s "$PASSWORD"')"
	eq $'line one\nline two' "$(docker run --rm --label $label.CERT=projects/elsewhere/secrets/certificate:3 busybox sh -c 'echo "$CERT"')"
	eq 'hush "quoted" $HOME ü|plain' "$(docker run --rm -e A=given -e B=plain --label $label.A=pass-word:latest nonroot sh -c 'echo "$A|$B"')"
}
t "a label makes a variable of a secret, over -e" variable

healthy() { [ "$(state keeps Health.Status)" = healthy ]; }
in_exec() {
	docker run -d --name keeps --label $label.A=pass-word --health-cmd 'test -n "$A"' --health-interval 1s busybox sleep 1000000
	eq 'hush "quoted" $HOME ü' "$(docker exec keeps sh -c 'printf %s "$A"')"
	eq mine "$(docker exec -e A=mine keeps sh -c 'printf %s "$A"')"
	until_true 10 healthy
	lacks "$(docker inspect keeps)" hush
	lacks "$(curl -sSf -m 10 "$(local_json emulator)/v2/projects/sockerless-local/locations/us-central1/jobs")" hush
	status 1 grep -q hush "$T"/state/state.db*
	engine_kill
	gateway_run
	until_true 10 docker exec keeps true
	eq 'hush "quoted" $HOME ü' "$(docker exec keeps sh -c 'printf %s "$A"')"
	docker restart -t 0 keeps
	eq 'hush "quoted" $HOME ü' "$(docker exec keeps sh -c 'printf %s "$A"')"
	docker rm -f keeps
}
t "exec has it, inspect, the job and the disk do not; it survives a crash and a restart" in_exec

files() {
	docker volume create -o type=secret -o device=pass-word plain
	docker volume create -o type=secret -o device=projects/p/secrets/certificate:7 -o o=path=tls/cert.pem,mode=0400 cert
	eq 'pass-word:latest' "$(docker volume inspect -f '{{.Mountpoint}}' plain)"
	eq 'hush "quoted" $HOME ü 444' "$(docker run --rm -v plain:/run/secrets busybox sh -c 'cat /run/secrets/pass-word; stat -L -c " %a" /run/secrets/pass-word')"
	eq $'line one\nline two\n400' "$(docker run --rm -v cert:/c busybox sh -c 'cat /c/tls/cert.pem; stat -L -c %a /c/tls/cert.pem')"
	status 1 docker run --rm -v plain:/run/secrets busybox sh -c 'echo x >/run/secrets/other' 2>/dev/null
	docker create --name shown -v plain:/run/secrets busybox true
	eq 'volume plain pass-word:latest /run/secrets false' "$(docker inspect shown | jq -r '.[0].Mounts[] | "\(.Type) \(.Name) \(.Source) \(.Destination) \(.RW)"')"
	docker rm shown
	eq 'line one' "$(docker run --rm --mount 'type=volume,source=once,target=/s,volume-opt=type=secret,volume-opt=device=certificate' busybox head -n 1 /s/certificate)"
	docker volume rm plain cert once
	[ -s "$T/state/secrets/pass-word" ]
}
t "a volume of type secret is a file, read-only; its removal leaves the secret" files

changed() {
	docker create --name rotates --label $label.A=certificate busybox sh -c 'echo "$A"'
	printf 'rotated' >"$T/state/secrets/certificate"
	eq rotated "$(docker start -a rotates)"
	printf 'again' >"$T/state/secrets/certificate"
	eq again "$(docker start -a rotates)"
	docker rm rotates
}
t "each start looks it up anew" changed

refused() { # MESSAGE docker arguments
	local want=$1 out rc=0
	shift
	out=$(docker "$@" 2>&1) || rc=$?
	[ $rc -ne 0 ] || fail "accepted: $*"
	has "$out" "$want"
}
bad() {
	refused "label $label.1X: \"1X\" cannot be a variable" create --label $label.1X=pass-word busybox
	refused 'neither SOCKERLESS_ nor CLOUD_RUN_' create --label $label.SOCKERLESS_AGENT_TOKEN=pass-word busybox
	refused "label $label.A=no secret: want SECRET" create --label "$label.A=no secret" busybox
	refused "label $label.A=: want SECRET" create --label "$label.A=" busybox
	refused "label $label.A=x:: want SECRET" create --label "$label.A=x:" busybox
	refused 'the device "a/b" is no secret: want SECRET' volume create -o type=secret -o device=a/b bad
	refused 'missing required option: "device"' volume create -o type=secret bad
	refused 'the path of the secret'\''s file must be relative' volume create -o type=secret -o device=x -o o=path=/etc/x bad
	refused 'invalid mode "999"' volume create -o type=secret -o device=x -o o=mode=999 bad
	docker volume create -o type=secret -o device=certificate sub >/dev/null
	refused 'volume sub has no subpath: it is of type secret' create --mount type=volume,source=sub,target=/x,volume-subpath=y busybox
	docker volume rm sub
	eq '' "$(docker ps -aq)$(docker volume ls -q)"
}
t "what makes no sense is refused when it is said" bad

missing() {
	refused 'nobody-made-this was not found' run --rm --label $label.A=nobody-made-this busybox true
	docker volume create -o type=secret -o device=nobody-made-this gone >/dev/null
	refused 'nobody-made-this was not found' run --rm -v gone:/s busybox true
	docker volume rm gone
}
t "a secret that is not there fails the start with Google's sentence" missing

nfs_options() {
	docker volume create -o type=nfs4 -o o=addr=10.1.2.3,ro,nfsvers=4,soft -o device=:/export share >/dev/null
	eq 10.1.2.3:/export "$(docker volume inspect -f '{{.Mountpoint}}' share)"
	refused 'Read-only file system' run --rm -v share:/s busybox touch /s/x
	refused 'an NFS volume needs the server: o=addr=HOST' volume create -o type=nfs -o o=ro -o device=:/export bad
	refused 'must be :/PATH' volume create -o type=nfs -o o=addr=h -o device=/export bad
	docker volume rm share
}
t "type=nfs: read-only is kept, what is missing is named" nfs_options

finish
