#!/usr/bin/env bash
# Google credentials: a service account's key, a token endpoint that verifies its signatures, and a Cloud Run that
# takes nothing but the tokens given out there.
. "$(dirname "$0")/lib.sh"
[ "$ENGINE" = gateway ] || { echo "66-credentials: 0 passed, 0 failed, 0 skipped"; exit 0; }

openssl genrsa -out "$T/key.pem" 2048 2>/dev/null
openssl rsa -in "$T/key.pem" -pubout -out "$T/public.pem" 2>/dev/null
SOCKERLESS_FUNC_MARK=$T "$func_dir/oauth_server.py" "$T/oauth.port" "$T/public.pem" >"$T/oauth.log" 2>&1 </dev/null &
oauth_pid=$!
until_true 20 test -s "$T/oauth.port"
OAUTH=http://127.0.0.1:$(cat "$T/oauth.port")
jq -n --rawfile key "$T/key.pem" --arg uri "$OAUTH/token" '{type: "service_account", client_email: "gw@p.iam",
	private_key_id: "k1", private_key: $key, token_uri: $uri}' >"$T/key.json"

export GOOGLE_APPLICATION_CREDENTIALS=$T/key.json SOCKERLESS_ENDPOINT_AUTH=google
engine_start busybox
EMULATOR=$(local_json emulator)
# What could not be created cannot be deleted either, says the undo of a start.
export complaints_expected='left behind.*(invalid authentication credentials|invalid_grant)'

given() { curl -sf "$OAUTH/count" | jq -re .given; }
require() { curl -sf -X POST "$EMULATOR/emulator/v1/knobs" -d "{\"requireToken\":\"$1\"}" >"$T/knobs"; }

takes_the_token() {
	eq 1 "$(given)" "tokens so far"
	require tok-1
	status 22 curl -sf "$EMULATOR/v2/projects/p/locations/l/jobs" # it does ask for one
	eq hi "$(docker run --rm busybox echo hi)"
	eq 1 "$(given)" "tokens given out"
}

expired() {
	require tok-2
	eq hi "$(docker run --rm busybox echo hi)"
	eq 2 "$(given)" "one refresh"
	eq again "$(docker run --rm busybox echo again)"
	eq 2 "$(given)" "and no more"
}

many_at_once() {
	require tok-3
	local i
	for i in 1 2 3 4; do
		docker run -d --name "many$i" busybox true >>"$T/many.out" 2>&1 &
	done
	for i in 1 2 3 4; do until_true 60 is_state "many$i" exited; done
	eq 3 "$(given)" "one refresh for all"
	docker rm -f many1 many2 many3 many4
}

never_taken() {
	require nobody
	local out
	out=$(docker run --rm busybox true 2>&1) && fail "ran: $out"
	has "$out" "Request had invalid authentication credentials"
	require ''
}

refused() {
	curl -sf -X POST "$OAUTH/refuse?99" >/dev/null
	require later
	local out
	out=$(docker run --rm busybox true 2>&1) && fail "ran: $out"
	has "$out" "Google credentials $T/key.json: $OAUTH/token: HTTP status 400, invalid_grant: Account has been deleted"
	curl -sf -X POST "$OAUTH/refuse?0" >/dev/null
	require "tok-$(($(given) + 1))"
	eq back "$(docker run --rm busybox echo back)"
	require ''
}

runs_again() { [ "$(docker run --rm busybox echo right)" = right ]; }
new_key() { # rotated on disk, without a restart
	openssl genrsa -out "$T/other.pem" 2048 2>/dev/null
	jq --rawfile key "$T/other.pem" '.private_key = $key' "$T/key.json" >"$T/wrong.json"
	cp "$T/key.json" "$T/right.json"
	cp "$T/wrong.json" "$T/key.json"
	require "tok-$(($(given) + 1))"
	local out
	out=$(docker run --rm busybox true 2>&1) && fail "ran with a wrong key: $out"
	has "$out" "Invalid JWT Signature."
	cp "$T/right.json" "$T/key.json"
	until_true 10 runs_again # a fetch with the wrong key may still be under way, and serves all who wait
	require ''
}

no_secret() {
	local key
	key=$(sed -n 2p "$T/key.pem")
	for word in "$key" tok-1 tok-2 tok-3 assertion= 'Bearer '; do
		status 1 grep -qF -- "$word" "$T/engine.log"
	done
}

start_refused() { # sentence, credentials
	printf '%s' "$2" >"$T/broken.json"
	local out rc=0
	out=$(GOOGLE_APPLICATION_CREDENTIALS=$T/broken.json SOCKERLESS_GCR_PROJECT=p timeout 20 "$BUILD/bin/sockerless-gateway" \
		--addr "$T/other.sock" --state-dir "$T/other" 2>&1) || rc=$?
	eq 1 "$rc" status
	has "$out" "Google credentials $T/broken.json: $1"
	lacks "$out" SECRET
}

t "the token endpoint's token is taken" takes_the_token
t "an expired token: one refresh and one more try" expired
t "many calls with an expired token: one refresh" many_at_once
t "a token that is never taken: Google's sentence" never_taken
t "a refused key: the endpoint's sentence, and back without a restart" refused
t "a key that was changed on disk is taken up" new_key
t "no secret is logged" no_secret
t "the start refuses a file without a field" start_refused 'the field "client_email" is missing' \
	'{"type":"service_account","private_key":"SECRET"}'
t "the start refuses what is no key" start_refused 'the field "private_key" is not a private key in PEM' \
	'{"type":"service_account","client_email":"e","private_key":"SECRET"}'
t "the start refuses what is not JSON" start_refused 'not JSON: a mistake in line 1' 'SECRET'
kill $oauth_pid
finish
