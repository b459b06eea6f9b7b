#!/usr/bin/env bash
# Published ports: what listens on this machine ends in the container, byte for byte, both ways.
. "$(dirname "$0")/lib.sh"
engine_start busybox

# One connection after the other.
echoing='while :; do nc -l -p 7000 -e cat; done'
listening() { docker exec "$1" sh -c "netstat -ltn | grep -q :$2"; }
port_of() { docker port "$1" "$2" | head -n 1 | sed 's/.*://'; }
# In dockerd, a network other than the bridge the harness switches off.
net=()
[ "$ENGINE" = gateway ] || {
	must docker network create ports
	net=(--network ports)
}

# client.py PORT MODE: sends stdin there, half-closes, prints what comes back until the end.
cat >"$T/client.py" <<'END'
import socket, sys, threading
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
s.settimeout(60)
data = sys.stdin.buffer.read()
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
t = threading.Thread(target=send)
t.start()
while True:
    piece = s.recv(65536)
    if not piece:
        break
    sys.stdout.buffer.write(piece)
t.join()
END

echo_server() { # name [run options]
	local name=$1
	shift
	docker run -d --name "$name" "${net[@]}" "$@" busybox sh -c "$echoing"
	until_true 10 listening "$name" 7000
}

both_ways() {
	echo_server echo -p 127.0.0.1:0:7000
	random_file "$T/tmp/sent" 16
	timeout 60 python3 "$T/client.py" "$(port_of echo 7000)" <"$T/tmp/sent" >"$T/tmp/got"
	eq "$(sum "$T/tmp/sent")" "$(sum "$T/tmp/got")"
	docker rm -f echo
}
t "16 MiB go in and come back the same, and half-close is an end" both_ways

shown() {
	local port
	docker run -d --name shown "${net[@]}" -p 127.0.0.1:0:7000 --expose 99 busybox sleep 1000
	port=$(port_of shown 7000)
	eq "127.0.0.1:$port" "$(docker port shown 7000)"
	eq "7000/tcp -> 127.0.0.1:$port" "$(docker port shown)"
	eq "{\"7000/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"$port\"}],\"99/tcp\":null}" \
		"$(docker inspect -f '{{json .NetworkSettings.Ports}}' shown)"
	eq "99/tcp, 127.0.0.1:$port->7000/tcp" "$(docker ps --filter name=shown --format '{{.Ports}}')"
	eq shown "$(docker ps --filter "publish=$port" --format '{{.Names}}')"
	eq shown "$(docker ps --filter expose=99 --format '{{.Names}}')"
	eq '' "$(docker ps -q --filter publish=99)"
	docker stop -t 0 shown
	eq '{}' "$(docker inspect -f '{{json .NetworkSettings.Ports}}' shown)"
	eq '' "$(docker ps -a --filter name=shown --format '{{.Ports}}')"
	docker rm shown
}
t "port, inspect and ps show what is published and what is exposed" shown

everywhere() {
	local port
	docker run -d --name every "${net[@]}" --expose 7000 --expose 7001 -P busybox sh -c "$echoing"
	until_true 10 listening every 7000
	port=$(port_of every 7000)
	has "$(docker port every 7000 | tr '\n' ' ')" "0.0.0.0:$port [::]:"
	eq hello "$(echo hello | timeout 20 python3 "$T/client.py" "$port")"
	[ -n "$(port_of every 7001)" ]
	docker rm -f every
}
t "-P publishes what is exposed, on every address" everywhere

taken() {
	local port out
	docker run -d --name has "${net[@]}" -p 127.0.0.1:0:7000 busybox sleep 1000
	port=$(port_of has 7000)
	out=$(docker run -d --name wants "${net[@]}" -p "127.0.0.1:$port:7000" busybox sleep 1000 2>&1) && fail "started"
	has "$out" "Bind for 127.0.0.1:$port failed: port is already allocated"
	eq 'created 128' "$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}}' wants)"
	docker rm -f has
	docker start wants
	eq "127.0.0.1:$port" "$(docker port wants 7000)"
	docker rm -f wants
}
t "a port that is taken fails the start; freed, it can be had" taken

range() {
	local first
	docker run -d --name one "${net[@]}" -p 127.0.0.1:41500-41520:7000 busybox sleep 1000
	docker run -d --name two "${net[@]}" -p 127.0.0.1:41500-41520:7000 busybox sleep 1000
	first=$(port_of one 7000)
	[ "$first" -ge 41500 ] && [ "$(port_of two 7000)" -gt "$first" ] && [ "$(port_of two 7000)" -le 41520 ]
	docker rm -f one two
}
t "of a range, the first free one" range

bad() {
	status 125 docker create -p 127.0.0.1:99999:80 busybox
	eq 400 "$(curl -s -o "$T/tmp/body" -w '%{http_code}' --unix-socket "$T/docker.sock" -H 'Content-Type: application/json' \
		-d '{"Image":"busybox","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"zz"}]}}}' \
		http://docker/v1.41/containers/create)"
	has "$(cat "$T/tmp/body")" 'invalid port specification: \"zz\"'
}
t "nonsense is refused" bad

refused_inside() {
	docker run -d --name deaf "${net[@]}" -p 127.0.0.1:0:7000 busybox sleep 1000
	local rc=0 got
	got=$(echo lost | timeout 20 python3 "$T/client.py" "$(port_of deaf 7000)" 2>"$T/tmp/why") || rc=$?
	eq '' "$got"
	[ $rc -eq 0 ] || has "$(cat "$T/tmp/why")" 'Connection'
	docker rm -f deaf
}
t "nobody listens inside: the connection ends" refused_inside

# The server ends its sending at once, and reads on until the client's end.
half_closed_inside() {
	docker run -d --name half "${net[@]}" -p 127.0.0.1:0:7000 busybox sh -c 'echo hello | nc -l -p 7000 | md5sum'
	until_true 10 listening half 7000
	random_file "$T/tmp/sent" 4
	cat >"$T/late.py" <<-'END'
	import socket, sys
	s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
	s.settimeout(30)
	got = b""
	while piece := s.recv(100):
	    got += piece
	assert got == b"hello\n", got
	s.sendall(sys.stdin.buffer.read())
	s.close()
	END
	timeout 60 python3 "$T/late.py" "$(port_of half 7000)" <"$T/tmp/sent"
	eq 0 "$(docker wait half)"
	eq "$(md5sum <"$T/tmp/sent")" "$(docker logs half)"
	docker rm half
}
t "a server that ends its sending first goes on listening" half_closed_inside

# A client that never closes: its connection ends with the container, which ends at once.
half_closed_client_stays() {
	docker run -d --name stays "${net[@]}" -p 127.0.0.1:0:7000 busybox sh -c 'echo hello | nc -l -p 7000'
	until_true 10 listening stays 7000
	exec 8<>"/dev/tcp/127.0.0.1/$(port_of stays 7000)"
	eq hello "$(timeout 10 cat <&8)"
	within 10 docker stop -t 1 stays
	within 10 docker rm stays
	exec 8>&-
}
t "half an open connection keeps no container" half_closed_client_stays

udp() {
	gateway_only
	has "$(docker create --name udp -p 53:53/udp busybox true 2>&1)" 'Port 53/udp is not published'
	docker rm udp
}
t "UDP is not carried, and the warning says so" udp

restored() {
	gateway_only
	local port
	echo_server lasting -p 127.0.0.1:0:7000
	port=$(port_of lasting 7000)
	engine_kill
	gateway_run
	until_true 10 is_state lasting running
	eq "127.0.0.1:$port" "$(docker port lasting 7000)"
	eq again "$(echo again | timeout 60 python3 "$T/client.py" "$port")"
	docker rm -f lasting
}
t "after a crash of the gateway the same ports are there" restored

survives() {
	gateway_only
	echo_server cut -p 127.0.0.1:0:7000
	random_file "$T/tmp/sent" 16
	timeout 60 python3 "$T/client.py" "$(port_of cut 7000)" <"$T/tmp/sent" >"$T/tmp/got" &
	local client=$! id
	id=$(docker inspect -f '{{.Id}}' cut)
	for _ in 1 2 3; do
		curl -s -X POST --unix-socket "$T/docker.sock" "http://docker/internal/v1/agents/$id/cut"
		sleep 0.05
	done
	wait $client
	eq "$(sum "$T/tmp/sent")" "$(sum "$T/tmp/got")"
	docker rm -f cut
}
t "a connection survives cuts of the tunnel, without losing a byte" survives

finish
