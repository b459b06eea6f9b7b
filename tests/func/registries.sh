# registries.sh - registries of every kind for a test, under $T/registries: plain; TLS with a password; a
# token server; TLS and a token server with TLS. All on loopback, ended by registries_stop. The user is u, the password p.
# shellcheck shell=bash
registry_pids=()

free_port() {
	"$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

registry_start() { # name, the http section's members, further YAML: sets $registry
	local dir=$T/registries/$1 port
	port=$(free_port)
	mkdir -p "$dir"
	printf 'version: 0.1\nlog: {level: warn, accesslog: {disabled: %s}}\nstorage: {filesystem: {rootdirectory: "%s/data"}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:%s"%s}\n%s\n' \
		"${registry_silent:-true}" "$dir" "$port" "$2" "$3" >"$dir/config.yml"
	SOCKERLESS_FUNC_MARK=$T setsid docker-registry serve "$dir/config.yml" >"$dir/log" 2>&1 </dev/null &
	registry_pids+=($!)
	disown
	registry=127.0.0.1:$port
	until_true 20 curl -s -k -o /dev/null -m 2 "http://$registry/v2/"
}

certificate() { # folder: cert.pem and key.pem for 127.0.0.1
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1,DNS:localhost \
		-keyout "$1/key.pem" -out "$1/cert.pem" 2>/dev/null
}

plain_registry() { # sets $plain
	registry_start "${1:-plain}" '' ''
	plain=$registry
}

# Loopback addresses are spoken to without TLS, so this one goes by a name. $basic is NAME:PORT.
basic_registry() {
	local dir=$T/registries/basic
	mkdir -p "$dir"
	certificate "$dir"
	printf 'u:%s\n' "$("$PYTHON" -W ignore -c 'import crypt; print(crypt.crypt("p", "$2b$05$" + "abcdefghijklmnopqrstuu"))')" >"$dir/htpasswd"
	registry_start basic ", tls: {certificate: \"$dir/cert.pem\", key: \"$dir/key.pem\"}" \
		"auth: {htpasswd: {realm: test, path: \"$dir/htpasswd\"}}"
	basic=$registry
}

token_server() { # name, "tls" or nothing: sets $token_port
	local dir=$T/registries/$1
	mkdir -p "$dir"
	certificate "$dir"
	SOCKERLESS_FUNC_MARK=$T setsid "$PYTHON" "$func_dir/token_server.py" "$dir/port" "$dir/key.pem" "$dir/cert.pem" u p "${@:2}" \
		>"$dir/server.log" 2>&1 </dev/null &
	registry_pids+=($!)
	disown
	until_true 20 test -s "$dir/port"
	token_port=$(cat "$dir/port")
}
token_auth() { # scheme, folder
	echo "auth: {token: {realm: \"$1://127.0.0.1:$token_port/token\", service: test, issuer: test, rootcertbundle: \"$2/cert.pem\"}}"
}

token_registry() { # sets $token
	token_server token
	registry_start token '' "$(token_auth http "$T/registries/token")"
	token=$registry
}

# Clients trust it once secure_trust has run; secure_distrust takes that back.
secure_registry() { # sets $secure
	local dir=$T/registries/secure
	token_server secure tls
	registry_start secure ", tls: {certificate: \"$dir/cert.pem\", key: \"$dir/key.pem\"}" "$(token_auth https "$dir")"
	secure=$registry
}
secure_trust() {
	mkdir -p "/etc/docker/certs.d/$secure"
	cp "$T/registries/secure/cert.pem" "/etc/docker/certs.d/$secure/ca.crt"
}
secure_distrust() { rm -rf "/etc/docker/certs.d/$secure"; }

registries_stop() {
	[ ${#registry_pids[@]} -eq 0 ] || kill -TERM "${registry_pids[@]}" 2>/dev/null
	registry_pids=()
}
