#!/usr/bin/env bash
# Volumes: records, data that outlive containers, read-only, tmpfs, and what goes with docker rm -v.
. "$(dirname "$0")/lib.sh"
engine_start busybox nonroot volumes
[ "$ENGINE" = dockerd ] || for image in busybox nonroot volumes; do must docker pull -q $image; done

api() { # METHOD PATH [BODY]: the status on the first line, then the body
	curl -s -X "$1" -o "$T/body" -w '%{http_code}\n' --unix-socket "$T/docker.sock" -H 'Content-Type: application/json' \
		${3:+-d "$3"} "http://docker$2"
	cat "$T/body"
}
api_is() { # STATUS MESSAGE METHOD PATH [BODY]
	local got
	got=$(api "$3" "$4" "${5:-}")
	eq "$1" "${got%%$'\n'*}" "status of $4: $got"
	has "$got" "$2"
}
volumes() { docker volume ls -q "$@" | tr '\n' ' '; }
fresh() { docker ps -aq | xargs -r "$DOCKER" rm -f; docker volume ls -q | xargs -r "$DOCKER" volume rm -f; } >/dev/null

# ---- records ----------------------------------------------------------------------------------------

records() {
	fresh
	eq first "$(docker volume create --label a=b first)"
	eq first "$(docker volume create --label other=x first)"
	eq 'map[a:b] local local' "$(docker volume inspect -f '{{.Labels}} {{.Driver}} {{.Scope}}' first)"
	local name
	name=$(docker volume create)
	[[ $name =~ ^[0-9a-f]{64}$ ]] || fail "anonymous name $name"
	docker volume create second
	eq 'first ' "$(volumes -f name=first)"
	eq 'first ' "$(volumes -f label=a=b)"
	eq '' "$(volumes -f label=a=c)"
	eq '' "$(volumes -f driver=other)"
	eq 'first second ' "$(volumes -f dangling=true -f name=first -f name=second)"
	eq second "$(docker volume rm second)"
	status 1 docker volume inspect second
	eq '' "$(volumes -f name=second)"
}
t "create is idempotent, names are made up, ls filters, rm removes" records

refusals() {
	fresh
	api_is 404 '{"message":"get nope: no such volume"}' GET /volumes/nope
	api_is 404 '{"message":"get nope: no such volume"}' DELETE /volumes/nope
	api_is 204 '' DELETE '/volumes/nope?force=1'
	api_is 400 'create /x: \"/x\" includes invalid characters for a local volume name' POST /volumes/create '{"Name":"/x"}'
	api_is 400 'volume name is too short, names should be at least two alphanumeric' POST /volumes/create '{"Name":"a"}'
	api_is 404 'create xx: error looking up volume plugin nope: plugin \"nope\" not found' POST /volumes/create \
		'{"Name":"xx","Driver":"nope"}'
	api_is 400 'create xx: invalid option: \"bogus\"' POST /volumes/create '{"Name":"xx","DriverOpts":{"bogus":"1"}}'
	api_is 400 'create xx: missing required option: \"device\"' POST /volumes/create '{"Name":"xx","DriverOpts":{"type":"nfs"}}'
	api_is 400 'cannot unmarshal number into Go struct field VolumeCreateBody.Name of type string' POST /volumes/create '{"Name":1}'
	api_is 400 'nvalid filter '\''bogus'\''' GET '/volumes?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D'
	api_is 400 'nvalid filter '\''dangling=[x]'\''' GET '/volumes?filters=%7B%22dangling%22%3A%5B%22x%22%5D%7D'
	eq '' "$(volumes)"
}
t "wrong names, drivers, options and filters: dockerd's sentences" refusals

prune() {
	fresh
	docker volume create kept
	docker volume create >/dev/null
	docker volume create --label keep= >/dev/null
	api_is 200 '"VolumesDeleted":["' POST '/v1.42/volumes/prune?filters=%7B%22label%21%22%3A%5B%22keep%22%5D%7D'
	eq 2 "$(docker volume ls -q | wc -l)"
	api_is 200 '"VolumesDeleted":["' POST /v1.42/volumes/prune
	eq 'kept ' "$(volumes)"
	api_is 200 '"VolumesDeleted":["kept"]' POST '/v1.42/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D'
	docker volume create again
	api_is 200 '"VolumesDeleted":["again"]' POST /v1.41/volumes/prune
	eq '' "$(volumes)"
}
pruned() { [ "$ENGINE" = gateway ] || skip "this dockerd speaks no 1.42"; prune; }
t "prune takes anonymous volumes, or all" pruned

events() {
	fresh
	local since=$EPOCHSECONDS
	docker volume create seen
	docker volume rm seen
	eq $'create seen local\ndestroy seen local' "$(docker events --since $((since - 1)) --until $((EPOCHSECONDS + 1)) \
		--filter volume=seen --format '{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.driver}}')"
}
t "volume events" events

# ---- data -------------------------------------------------------------------------------------------

shared() {
	fresh
	docker run --rm -v shared:/a busybox sh -c 'mkdir /a/dir && echo hello >/a/dir/file && chmod +x /a/dir/file'
	eq hello "$(docker run --rm -v shared:/b busybox cat /b/dir/file)"
	docker run -d --name reader -v shared:/r busybox sh -c 'until [ -e /r/go ]; do sleep 0.05; done; cat /r/go'
	docker run --rm -v shared:/w busybox sh -c 'echo now >/w/.go && mv /w/.go /w/go'
	eq 0 "$(docker wait reader)"
	eq now "$(docker logs reader)"
	eq 'shared ' "$(volumes)"
}
t "two containers share a volume, and its data outlive both" shared

restarted() {
	fresh
	docker run --name again -v kept:/k busybox sh -c 'echo run >>/k/runs; wc -l </k/runs'
	docker start -a again
	eq 3 "$(docker start -a again | tr -d ' ')"
}
t "data survive a restart of the container" restarted

read_only() {
	fresh
	docker run --rm -v ro:/w busybox sh -c 'echo x >/w/file'
	eq x "$(docker run --rm -v ro:/r:ro busybox cat /r/file)"
	has "$(docker run --rm -v ro:/r:ro busybox sh -c 'echo y >/r/file' 2>&1 || true)" 'Read-only file system'
	has "$(docker run --rm --mount type=volume,source=ro,target=/r,readonly busybox sh -c 'echo y >/r/file' 2>&1 || true)" \
		'Read-only file system'
	# Both ways at once.
	eq x "$(docker run --rm -v ro:/w -v ro:/r:ro busybox sh -c 'echo z >/w/other; cat /r/file')"
}
t "a volume can be read-only in one place" read_only

as_user() {
	gateway_only
	fresh
	docker run --rm -v forall:/v nonroot sh -c 'echo mine >/v/file; cat /v/file'
}
t "every user may write to a volume" as_user

rm_in_use() {
	fresh
	local id
	id=$(docker create -v busy:/v busybox true)
	api_is 409 "remove busy: volume is in use - [$id]" DELETE /volumes/busy
	api_is 409 'volume is in use' DELETE '/volumes/busy?force=1'
	eq '' "$(volumes -f dangling=true)"
	eq "${id:0:12}" "$(docker ps -aq --filter volume=busy)"
	eq "${id:0:12}" "$(docker ps -aq --filter volume=/v)"
	eq '' "$(docker ps -aq --filter volume=other)"
	docker rm "$id"
	docker volume rm busy
}
t "a volume in use stays" rm_in_use

removed_data() {
	fresh
	docker run --rm -v gone:/v busybox sh -c 'mkdir -p /v/a/b "/v/with blank" /v/empty; for i in $(seq 1 30); do echo $i >/v/a/b/$i; done
		echo x >"/v/with blank/ü+%.txt"; ln -s a /v/link'
	docker volume rm gone
	eq 0 "$(docker run --rm -v gone:/v busybox find /v -mindepth 1 | wc -l)"
}
t "a removed volume comes back empty" removed_data

mounts_shown() {
	fresh
	docker create --name shown -v named:/n -v named2:/ro:ro --mount type=volume,source=mv,target=/mv,readonly \
		--mount type=tmpfs,target=/mt,tmpfs-size=1048576 -v /anon busybox true
	eq 'tmpfs  /mt  true volume mv /mv z false volume named /n z true volume named2 /ro ro false ' "$(docker inspect shown |
		jq -r '[.[0].Mounts[] | select(.Destination != "/anon")] | sort_by(.Destination)[] |
			"\(.Type) \(.Name // "") \(.Destination) \(.Mode) \(.RW)"' | tr '\n' ' ')"
	[[ $(docker inspect shown | jq -r '.[0].Mounts[] | select(.Destination == "/anon").Name') =~ ^[0-9a-f]{64}$ ]]
	has "$(docker ps -a --format '{{.Mounts}}')" named2
	docker rm -v shown
	eq 'mv named named2 ' "$(volumes)"
}
t "inspect shows the mounts; rm -v removes what nobody named" mounts_shown

refused_removal() {
	local name
	docker run -d --name kept -v /anon busybox sleep 1000
	name=$(docker inspect -f '{{(index .Mounts 0).Name}}' kept)
	status 1 docker rm -v kept
	docker rm -f kept
	docker volume inspect "$name"
	docker volume rm "$name"
}
t "rm -v that is refused is forgotten" refused_removal

auto_removed() {
	fresh
	docker run --rm -v /anon -v stays:/s busybox sh -c 'echo x >/anon/file'
	until_true 5 eval '[ "$(volumes)" = "stays " ]'
	docker run --name left -v /anon busybox true
	docker rm left
	eq 2 "$(docker volume ls -q | wc -l)"
}
t "--rm takes anonymous volumes along, rm alone does not" auto_removed

of_image() {
	fresh
	docker create --name img volumes cat /data/seed
	eq '/data /logs ' "$(docker inspect -f '{{range .Mounts}}{{.Destination}}{{println}}{{end}}' img | grep . | sort | tr '\n' ' ')"
	eq seed "$(docker start -a img)"
	eq 2 "$(docker volume ls -q | wc -l)"
	docker rm -v img
	eq 0 "$(docker volume ls -q | wc -l)"
	eq 'seed x' "$(docker run --rm -v named:/logs volumes sh -c 'echo x >/logs/x; echo $(cat /data/seed /logs/x)')"
}
t "an image's VOLUMEs are anonymous volumes" of_image

volumes_from() {
	fresh
	docker run --name one -v shared:/s -v /anon busybox sh -c 'echo a >/s/f; echo b >/anon/f'
	eq 'a b' "$(docker run --name two --volumes-from one busybox sh -c 'echo $(cat /s/f /anon/f)')"
	has "$(docker run --rm --volumes-from one:ro busybox sh -c 'echo c >/s/f' 2>&1 || true)" 'Read-only'
	docker rm -v one
	eq 2 "$(docker volume ls -q | wc -l)"
	docker rm -v two
	eq 'shared ' "$(volumes)"
	has "$(docker run --rm --volumes-from nobody busybox true 2>&1 || true)" 'No such container: nobody'
}
t "--volumes-from" volumes_from

temporary() {
	fresh
	eq 'x tmpfs' "$(docker run --rm --tmpfs /t:size=8m busybox sh -c 'echo x >/t/f; echo $(cat /t/f) $(awk "\$2 == \"/t\" {print \$3}" /proc/mounts)')"
	status 1 docker run --rm --tmpfs /t:size=1m busybox sh -c 'head -c 2000000 /dev/zero >/t/f' 2>/dev/null
	docker run --rm --mount type=tmpfs,target=/t,tmpfs-size=1048576 busybox sh -c 'echo x >/t/f'
	eq 0 "$(docker volume ls -q | wc -l)"
}
t "tmpfs" temporary

bad_mounts() {
	fresh
	local spec
	for spec in '"Binds":["named:/x:zz"]|invalid mode: zz' '"Binds":[":/x"]|invalid volume specification: '\'':/x'\''' \
		'"Binds":["named:rel"]|mount path must be absolute' '"Binds":["named:/"]|destination can'\''t be '\''/'\''' \
		'"Binds":["x:/a"]|volume name is too short' '"Binds":["named:/x","other:/x"]|Duplicate mount point: /x' \
		'"Binds":["named:/x"],"Tmpfs":{"/x":""}|Duplicate mount point: /x' \
		'"Mounts":[{"Type":"weird","Target":"/x"}]|invalid mount config for type \"weird\": mount type unknown' \
		'"Mounts":[{"Type":"volume","Source":"q"}]|field Target must not be empty' \
		'"Mounts":[{"Type":"volume","Target":"/x","ReadOnly":true}]|must not set ReadOnly mode when using anonymous volumes' \
		'"Mounts":[{"Type":"tmpfs","Source":"q","Target":"/x"}]|field Source must not be specified'; do
		has "$(api POST /containers/create "{\"Image\":\"busybox\",\"Cmd\":[\"true\"],\"HostConfig\":{${spec%|*}}}")" "${spec##*|}"
	done
	eq '' "$(docker ps -aq)"
}
t "mounts that make no sense" bad_mounts

# ---- what is the gateway's own ----------------------------------------------------------------------

refused() {
	gateway_only
	fresh
	api_is 400 'a container on Cloud Run cannot see this machine' POST /containers/create \
		'{"Image":"busybox","HostConfig":{"Binds":["/etc:/etc2:ro"]}}'
	api_is 400 'cannot reach a socket of this machine' POST /containers/create \
		'{"Image":"busybox","HostConfig":{"Binds":["/var/run/docker.sock:/var/run/docker.sock"]}}'
	api_is 400 'has no nested volumes' POST /containers/create '{"Image":"busybox","HostConfig":{"Binds":["aa:/x","bb:/x/y"]}}'
	api_is 400 'Cloud Run allows no volumes in /dev, /proc and /sys' POST /containers/create \
		'{"Image":"busybox","HostConfig":{"Binds":["aa:/dev/x"]}}'
	api_is 400 'volumes of type \"ext4\" are not available' POST /volumes/create \
		'{"Name":"xx","DriverOpts":{"type":"ext4","device":"/dev/sda"}}'
	eq '' "$(docker ps -aq)"
}
t "what Cloud Run cannot mount is refused at create" refused

nfs() {
	gateway_only
	fresh
	docker volume create -o type=nfs -o o=addr=10.9.8.7,rw -o device=:/export/a files
	eq 10.9.8.7:/export/a "$(docker volume inspect -f '{{.Mountpoint}}' files)"
	docker run --rm -v files:/f busybox sh -c 'echo net >/f/x'
	eq net "$(cat "$T/state/emulator/nfs/10.9.8.7/export/a/x")"
	eq net "$(docker run --rm -v files:/f:ro busybox cat /f/x)"
}
t "driver options type=nfs mount a server" nfs

in_bucket() {
	gateway_only
	fresh
	docker run --rm -v cloudy:/v busybox sh -c 'echo x >/v/object'
	eq gs://sockerless-local-volumes/cloudy "$(docker volume inspect -f '{{.Mountpoint}}' cloudy)"
	local url
	url=$(local_json emulator)/storage/v1/b/sockerless-local-volumes
	eq true "$(curl -s "$url" | jq -r .labels.sockerless_managed)"
	eq cloudy/object "$(curl -s "$url/o?prefix=cloudy/" | jq -r '.items[].name')"
	docker run --rm --mount type=volume,source=cloudy,target=/v,volume-subpath=sub/dir busybox sh -c 'echo y >/v/deep' ||
		docker version
	eq cloudy/sub/dir/deep "$(curl -s "$url/o?prefix=cloudy/sub" | jq -r '.items[].name')"
	docker volume rm cloudy
	eq null "$(curl -s "$url/o?prefix=cloudy/" | jq -r .items)"
}
t "a named volume is a folder of the bucket" in_bucket

uploaded() {
	gateway_only
	fresh
	local dir=$T/tmp/bind id
	mkdir -p "$dir/sub/empty"
	echo hello >"$dir/file"
	printf '#!/bin/sh\necho ran\n' >"$dir/sub/run.sh"
	chmod 750 "$dir/sub/run.sh"
	ln -s sub/run.sh "$dir/link"
	chown -R 1000:1000 "$dir/sub"
	truncate -s 5M "$dir/sparse"
	id=$(docker create --label run.sockerless.bind=upload -v "$dir":/in/side:ro -v "$dir/file":/etc/one busybox \
		sh -c 'cat /in/side/file /etc/one && /in/side/link && stat -c "%a %u" /in/side/sub/run.sh && ls -d /in/side/sub/empty && wc -c </in/side/sparse')
	local want=$'hello\nhello\nran\n750 1000\n/in/side/sub/empty\n5242880'
	eq "$want" "$(docker start -a "$id")"
	# What changes later does not come along; every start begins with the same files.
	echo changed >"$dir/file"
	eq "$want" "$(docker start -a "$id")"
	eq "bind $dir /in/side false rprivate" "$(docker inspect "$id" |
		jq -r '.[0].Mounts[] | select(.Destination == "/in/side") | "\(.Type) \(.Source) \(.Destination) \(.RW) \(.Propagation)"')"
	docker rm "$id"
	eq '' "$(ls "$T/state/pending")"
	api_is 400 'bind source path does not exist: /not/there' POST /containers/create '{"Image":"busybox","Labels":{"run.sockerless.bind":"upload"},
		"HostConfig":{"Mounts":[{"Type":"bind","Source":"/not/there","Target":"/x"}]}}'
	eq '' "$(docker ps -aq)"
}
t "host paths are copied for a container that asks for it by label" uploaded

actions_runner() {
	gateway_only
	fresh
	local work=$T/tmp/runner id
	mkdir -p "$work/_work/_temp/_github_home" "$work/externals/node20" "$work/_work/r/r"
	echo node >"$work/externals/node20/node"
	id=$(docker create --name job --label run.sockerless.bind=upload --workdir /__w/r/r --entrypoint tail \
		-v /var/run/docker.sock:/var/run/docker.sock -v "$work/_work":/__w -v "$work/externals":/__e:ro \
		-v "$work/_work/_temp":/__w/_temp -v "$work/_work/_actions":/__w/_actions -v "$work/_work/_tool":/__w/_tool \
		-v "$work/_work/_temp/_github_home":/github/home -v "$work/_work/_temp/_github_workflow":/github/workflow \
		busybox -f /dev/null 2>"$T/tmp/told")
	has "$(cat "$T/tmp/told")" 'Bind mount of /var/run/docker.sock has no effect'
	docker start "$id"
	eq $'/__w/r/r\nnode' "$(docker exec "$id" sh -c 'pwd; cat /__e/node20/node; test -d /github/home; test -d /__w/_temp/_github_home')"
	docker rm -f "$id"
}
t "actions/runner's mounts" actions_runner

gitlab_runner() {
	gateway_only
	fresh
	local cache=runner-abc-project-1-concurrent-0-cache-3c3f060a0374fc8bc39395164f415a70
	docker volume create "$cache"
	docker run --rm -v "$cache":/cache busybox chmod -R 0777 /cache
	docker run --rm -v "$cache":/cache -v builds:/builds busybox sh -c 'mkdir -p /builds/group/project && echo src >/builds/group/project/main.c'
	eq src "$(docker run --rm -v "$cache":/cache -v builds:/builds --workdir /builds/group/project busybox cat main.c)"
	docker run --rm -v "$cache":/cache -v builds:/builds busybox sh -c 'cp /builds/group/project/main.c /cache/cache.zip'
	docker volume rm builds
	eq src "$(docker run --rm -v "$cache":/cache busybox cat /cache/cache.zip)"
}
t "gitlab-runner's volumes: sources and cache go from container to container" gitlab_runner

usage() {
	fresh
	docker volume create used
	docker create -v used:/u busybox true
	eq 1 "$(api GET /v1.41/system/df | tail -n +2 | jq -r '.Volumes[] | select(.Name == "used").UsageData.RefCount')"
}
t "system df counts who uses a volume" usage

kept_records() {
	gateway_only
	fresh
	docker volume create --label x=y stays
	docker run --name user -v stays:/v busybox sh -c 'echo kept >/v/f'
	engine_kill
	gateway_run
	eq y "$(docker volume inspect -f '{{.Labels.x}}' stays)"
	eq stays "$(docker inspect -f '{{range .Mounts}}{{.Name}}{{end}}' user)"
	eq kept "$(docker run --rm -v stays:/v busybox cat /v/f)"
}
t "volumes survive a crash of the gateway" kept_records

finish
