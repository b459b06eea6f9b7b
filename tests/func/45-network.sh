#!/usr/bin/env bash
# Networks: records that containers share. create, ls, inspect, rm, prune, connect, disconnect, events.
. "$(dirname "$0")/lib.sh"
engine_start busybox

api() { # method path [body]: the status, then the body
	curl -s -m 20 -X "$1" --unix-socket "$T/docker.sock" -H 'Content-Type: application/json' ${3:+-d "$3"} \
		-w '\n%{http_code}' "http://docker/v1.41$2" | sed '$!{H;d};G'
}
refused() { # status text method path [body]
	local got
	got=$(api "$3" "$4" "${5:-}")
	eq "$1" "${got%%$'\n'*}" "status of $3 $4"
	has "$got" "$2"
}

life_of_a_network() {
	local id
	id=$(docker network create --label a=b --subnet 10.99.0.0/16 -o some.option=x --attachable first)
	eq "$id" "$(docker network inspect -f '{{.Id}}' first)"
	eq 'first bridge local b x true 10.99.0.0/16' "$(docker network inspect -f \
		'{{.Name}} {{.Driver}} {{.Scope}} {{.Labels.a}} {{index .Options "some.option"}} {{.Attachable}} {{(index .IPAM.Config 0).Subnet}}' "${id:0:10}")"
	eq first "$(docker network ls --filter label=a=b --format '{{.Name}}')"
	eq first "$(docker network ls --filter type=custom --format '{{.Name}}')"
	eq first "$(docker network ls --filter name=^fir --format '{{.Name}}')"
	eq first "$(docker network ls --filter "id=$id" --format '{{.Name}}')"
	eq '' "$(docker network ls -q --filter driver=nothing)"
	lacks "$(docker network ls --filter type=builtin --format '{{.Name}}')" first
	eq first "$(docker network rm first)"
	status 1 docker network inspect first
}
t "a network is made, shown, found by filters and removed" life_of_a_network

sentences() {
	docker network create twice
	refused 409 'network with name twice already exists' POST /networks/create '{"Name":"twice","CheckDuplicate":true}'
	refused 403 'operation is not permitted on predefined host network' POST /networks/create '{"Name":"host"}'
	refused 403 'only one instance of \"host\" network is allowed' POST /networks/create '{"Name":"x","Driver":"host"}'
	refused 403 'host is a pre-defined network and cannot be removed' DELETE /networks/host
	refused 404 'network nowhere not found' DELETE /networks/nowhere
	refused 404 'network nowhere not found' GET /networks/nowhere
	refused 404 'network twice not found' GET '/networks/twice?scope=swarm'
	refused 400 'invalid value for verbose: zz' GET '/networks/twice?verbose=zz'
	refused 404 'No such container: nobody' POST /networks/twice/connect '{"Container":"nobody"}'
	refused 400 'invalid name or ID supplied' POST /networks/twice/connect '{}'
	refused 400 "invalid value for filter 'dangling'" GET '/networks?filters=%7B%22dangling%22%3A%5B%22x%22%5D%7D'
	refused 400 'cannot unmarshal number' POST /networks/create '{"Name":"x","Labels":{"a":1}}'
	docker network rm twice
}
t "errors have dockerd's status and words" sentences

used() {
	local c n
	n=$(docker network create used)
	docker network create other
	c=$(docker run -d --name member --network used --network-alias friend busybox sleep 1000)
	eq "$n" "$(docker inspect -f '{{.NetworkSettings.Networks.used.NetworkID}}' member)"
	has "$(docker inspect -f '{{.NetworkSettings.Networks.used.Aliases}}' member)" friend
	eq 64 "$(docker inspect -f '{{len .NetworkSettings.Networks.used.EndpointID}}' member)"
	eq member "$(docker network inspect -f "{{(index .Containers \"$c\").Name}}" used)"
	refused 403 'has active endpoints' DELETE /networks/used
	refused 403 'endpoint with name member already exists in network used' POST /networks/used/connect '{"Container":"member"}'
	docker network connect --alias second other member
	eq 'other used ' "$(docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' member)"
	eq member "$(docker ps --filter network=other --format '{{.Names}}')"
	eq member "$(docker ps --filter "network=$n" --format '{{.Names}}')"
	eq '' "$(docker ps -q --filter network=host)"
	docker network disconnect other member
	refused 500 'is not connected to network other' POST /networks/other/disconnect '{"Container":"member"}'
	eq other "$(docker network prune -f --filter 'until=0s' | tail -n +2 | tr -d '\n')"
	docker stop -t 0 member
	eq '' "$(docker inspect -f '{{.NetworkSettings.Networks.used.EndpointID}}' member)"
	docker network rm used
	refused 404 'not found' POST /containers/member/start
	docker rm member
}
t "who is connected is shown on both sides, and keeps the network" used

unknown() {
	docker create --name lost --network nowhere busybox true
	refused 404 'network nowhere not found' POST /containers/lost/start
	eq 'created 128 network nowhere not found' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' lost)"
	docker rm lost
}
t "a container of an unknown network can be made, not started" unknown

events_told() {
	local from out
	from=$(date +%s)
	docker network create told
	docker run --name teller --network told busybox true
	docker network rm told
	out=$(docker events --since "$from" --until "$(date +%s.%N)" --filter network=told --format '{{.Action}}' | tr '\n' ' ')
	eq 'create connect disconnect destroy ' "$out"
	out=$(docker events --since "$from" --until "$(date +%s.%N)" --format '{{.Type}}:{{.Action}}' |
		grep -v attach | tr '\n' ' ')
	has "$out" 'container:create network:connect container:start container:die network:disconnect '
	docker rm teller
}
t "events: create, connect, disconnect, destroy, in dockerd's order" events_told

modes() {
	local warned
	docker run --rm --network none busybox true
	warned=$(docker create --name hosted --network host busybox true 2>&1)
	[ "$ENGINE" != gateway ] || has "$warned" 'Network mode host'
	refused 400 'cannot be connected to any other network' POST /networks/none/connect '{"Container":"hosted"}'
	docker rm hosted
	docker create --name nobody --network none busybox true
	docker network create mine
	refused 400 'one of the networks in private (none) mode' POST /networks/mine/connect '{"Container":"nobody"}'
	docker network disconnect none nobody
	docker network connect mine nobody
	eq 'mine ' "$(docker inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' nobody)"
	docker rm nobody
	docker network rm mine
}
t "modes none and host; none is alone" modes

kept() {
	gateway_only
	docker network create --label k=v lasting
	local c before
	c=$(docker run -d --name stays --network lasting busybox sleep 1000)
	before=$(docker network inspect lasting)
	engine_kill
	gateway_run
	until_true 10 is_state stays running
	eq "$before" "$(docker network inspect lasting)"
	docker rm -f stays
	docker network rm lasting
}
t "networks and who is in them outlive the gateway" kept

finish
