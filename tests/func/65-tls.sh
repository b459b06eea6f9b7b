#!/usr/bin/env bash
# As in production: a gateway without --local, agents that call it over wss and verify its certificate,
# and Docker clients that come over TLS with certificates of their own.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || exit 0
engine_start busybox
host=$(local_json host_address) registry=$(local_json registry)
port=$((20000 + RANDOM % 10000))
pki=$T/pki
mkdir -p "$pki"

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
certificate() { # name subjectAltName
	key "$pki/$1.key"
	openssl req -new -key "$pki/$1.key" -subj "/CN=$1" -out "$pki/$1.csr"
	openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.pem" -CAkey "$pki/ca.key" -CAcreateserial -days 2 \
		-extfile <(echo "subjectAltName=$2") -out "$pki/$1.pem"
}
authority() { # name
	key "$pki/$1.key"
	openssl req -x509 -new -key "$pki/$1.key" -subj "/CN=$1" -days 2 -out "$pki/$1.pem"
}
must authority ca
must authority stranger
must certificate gateway "IP:$host,IP:127.0.0.1"
must certificate client DNS:client

# The agent's image carries the CA bundle that the agent trusts, and it alone. What runs in images is the plain
# static agent, also beside sanitized programs.
agent_image() { # name ca
	CA_CERTIFICATES=$pki/$2.pem "$project/deploy/agent-image.sh" "$T/agent-$1" "${BUILD%/san-*}/bin/sockerless-agent" &&
		skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$T/agent-$1:latest" \
			"docker://$registry/sockerless/agent:$1"
}
must agent_image trusting ca
must agent_image distrusting stranger

second=''
callback_url=https://$host:$port
callback_flags=(--callback-addr "$host:$port" --callback-cert "$pki/gateway.pem" --callback-key "$pki/gateway.key")
second_run() { # agent's image
	SOCKERLESS_FUNC_MARK=$T SOCKERLESS_GCR_PROJECT=sockerless-local SOCKERLESS_ENDPOINT_URL=$(local_json emulator) \
		SOCKERLESS_GCR_AGENT_IMAGE=$registry/sockerless/agent:$1 SOCKERLESS_HUB_MIRROR=$registry \
		SOCKERLESS_CALLBACK_URL=$callback_url SOCKERLESS_AGENT_TIMEOUT=1s "$BUILD/bin/sockerless-gateway" \
		--addr "tcp://127.0.0.1:$((port + 1))" --tls-cert "$pki/gateway.pem" --tls-key "$pki/gateway.key" \
		--tls-client-ca "$pki/ca.pem" "${callback_flags[@]}" --state-dir "$T/second" >>"$T/second.log" 2>&1 </dev/null &
	second=$!
	disown
	until_true 20 over_tls version
}
second_stop() {
	kill -TERM "$second"
	until_true 20 gone "$second"
}
over_tls() {
	docker -H "tcp://127.0.0.1:$((port + 1))" --tlsverify --tlscacert "$pki/ca.pem" --tlscert "$pki/client.pem" \
		--tlskey "$pki/client.key" "$@"
}

second_run trusting
trap '[ -z "$second" ] || kill "$second" 2>/dev/null' EXIT
must over_tls pull -q busybox
must over_tls run -d --name tl busybox sleep 1000

runs() { eq hi "$(over_tls run --rm busybox echo hi)"; }
t "run, the agent calling over wss" runs
half_close() { eq x "$(echo x | within 5 over_tls exec -i tl cat)"; }
t "exec -i over TLS: the client's end of stdin arrives" half_close
bulk() {
	random_file "$T/random" "${BULK_MIB:-64}"
	eq "$(sum <"$T/random")" "$(over_tls exec -i tl cat <"$T/random" | sum)"
}
t "random bytes both ways over TLS come back equal" bulk
no_certificate() {
	! docker -H "tcp://127.0.0.1:$((port + 1))" --tls version
}
t "a client without a certificate is refused" no_certificate
plain_client() { ! docker -H "tcp://127.0.0.1:$((port + 1))" version; }
t "a client without TLS is refused" plain_client
must over_tls rm -f tl
second_stop

distrusts() {
	status 125 over_tls run --rm busybox echo hi >"$T/out" 2>&1
	grep -q 'its agent has not been heard of' "$T/out" || fail "$(cat "$T/out")"
	! grep -q 'agent connected' "$T/second.log"
}
mv "$T/second.log" "$T/second.log.old" # of the first
second_run distrusting
t "an agent that does not trust the certificate does not talk to the gateway" distrusts
second_stop

# As terraform/modules/gateway sets a machine up: Caddy has the certificate, and lets agents through to the gateway.
front_start() {
	HOME=$T XDG_DATA_HOME=$T/caddy XDG_CONFIG_HOME=$T/caddy caddy run --adapter caddyfile --config "$T/Caddyfile" \
		>>"$T/caddy.log" 2>&1 </dev/null &
	front=$!
	disown
	until_true 20 curl -s --cacert "$pki/ca.pem" -o "$T/front.out" "https://$host:$port/"
}
front_config() {
	cat "$pki/gateway.pem" "$pki/gateway.key" >"$pki/both.pem"
	bash -c '. "$1" && caddyfile "$2" "$3" "$4"' - "$project/terraform/modules/gateway/startup.sh" "$host:$port" \
		"tls $pki/both.pem $pki/both.pem" "127.0.0.1:$((port + 2))" | sed "s/admin off/&\n\thttp_port $((port + 3))/" >"$T/Caddyfile"
	caddy validate --adapter caddyfile --config "$T/Caddyfile"
}
must command -v caddy
must front_config
front_start
trap 'kill "$front" 2>/dev/null; [ -z "$second" ] || kill "$second" 2>/dev/null' EXIT
callback_flags=(--callback-addr "127.0.0.1:$((port + 2))")
second_run trusting
must over_tls run -d --name tl busybox sleep 1000
t "run, the agent calling through Caddy" runs
t "random bytes both ways through Caddy come back equal" bulk
front_dies() {
	random_file "$T/random" 8
	(
		head -c 4M "$T/random"
		sleep 0.3
		kill -KILL "$front"
		until_true 20 gone "$front"
		front_start
		echo "$front" >"$T/front.pid"
		tail -c 4M "$T/random"
	) | over_tls exec -i tl cat | sum >"$T/front.sum"
	eq "$(sum <"$T/random")" "$(cat "$T/front.sum")"
}
t "Caddy dies and comes back in the middle of a transfer: nothing is lost" front_dies
[ ! -e "$T/front.pid" ] || front=$(cat "$T/front.pid")
nothing_else() {
	local path
	for path in / /_ping /v1.41/containers/json /internal/v1/containers /internal/v1/agent/connect/../../containers; do
		eq 404 "$(curl -s --path-as-is --cacert "$pki/ca.pem" -o "$T/front.out" -w '%{http_code}' "https://$host:$port$path")" "$path"
	done
	eq 401 "$(curl -s --http1.1 -m 5 --cacert "$pki/ca.pem" -o "$T/front.out" -w '%{http_code}' -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
		-H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' -H 'Authorization: Bearer wrong' \
		-H 'Sec-WebSocket-Protocol: sockerless.tunnel.v1' "https://$host:$port/internal/v1/agent/connect?id=$(over_tls inspect -f '{{.Id}}' tl)")"
}
t "nothing but the agents' door is behind it, and that wants a token" nothing_else
must over_tls rm -f tl
second_stop
kill "$front"

finish
