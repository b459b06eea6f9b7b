#!/usr/bin/env bash
# Runs as root at every start of the machine, and again by `sudo google_metadata_script_runner startup`: brings the
# machine to what its metadata say. Doing it twice changes nothing; a new package or setting restarts the gateway, and
# containers run on meanwhile.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
umask 022

metadata() { # path under instance/
	curl -fsS --retry 10 --retry-connrefused -H 'Metadata-Flavor: Google' \
		"http://metadata.google.internal/computeMetadata/v1/instance/$1"
}
attribute() { metadata "attributes/sockerless-$1"; }
token() { metadata service-accounts/default/token | jq -er .access_token; }
# The token goes by standard input: arguments are for all to read.
google() { # url [curl's options]: with the account's credentials
	printf 'header = "Authorization: Bearer %s"\n' "$(token)" | curl -fsS --retry 5 -K - "$@"
}
# Roles that were given a moment ago may take minutes to count.
patiently() {
	local n
	for n in {1..40}; do
		"$@" && return
		echo "startup: $1 failed, try $n" >&2
		sleep 15
	done
	return 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 700 "$work"
gateway_changed=no

# False when the file was like that already.
install_if_new() { # mode group source target
	! cmp -s "$3" "$4" && install -D -m "$1" -o root -g "$2" "$3" "$4"
}

tools() {
	apt-get -q -o DPkg::Lock::Timeout=300 update
	# Caddy's own unit serves a welcome page until the Caddyfile is ours; skopeo pushes the agent's image.
	apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends \
		ca-certificates caddy curl jq skopeo unattended-upgrades
}

# The state is on a disk of its own, so that the machine can be made anew.
state_disk() {
	local device
	device=/dev/disk/by-id/google-$(attribute state-device)
	[ -n "$(blkid -s TYPE -o value "$device")" ] || mkfs.ext4 -q -L sockerless "$device"
	mkdir -p /var/lib/sockerless
	grep -q ' /var/lib/sockerless ' /etc/fstab ||
		echo 'LABEL=sockerless /var/lib/sockerless ext4 defaults,nosuid,nodev,nofail 0 2' >>/etc/fstab
	mountpoint -q /var/lib/sockerless || mount /var/lib/sockerless
	resize2fs "$device" 2>/dev/null || true
}

fetch_package() {
	local path=$1
	google -o "$work/gateway.deb" \
		"https://storage.googleapis.com/storage/v1/b/${path%%/*}/o/$(jq -rn --arg o "${path#*/}" '$o | @uri')?alt=media"
}
package() {
	local path mark=/var/lib/dpkg/sockerless-package
	path=$(attribute package)
	[ "$(cat $mark 2>/dev/null)" != "$path" ] || return 0
	patiently fetch_package "$path"
	apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends --allow-downgrades --reinstall "$work/gateway.deb"
	echo "$path" >$mark
	gateway_changed=yes
}

fetch_certificate() {
	google "https://secretmanager.googleapis.com/v1/$1/versions/latest:access" |
		jq -er .payload.data | base64 -d >"$work/tls.pem"
}
# Nothing but the agents' door is reachable; the gateway checks each agent's token there.
caddyfile() { # site tls-directive gateway
	cat <<-END
		{
			admin off
		}
		$1 {
			$2
			handle /internal/v1/agent/connect {
				reverse_proxy $3
			}
			handle {
				respond 404
			}
		}
	END
}
front() {
	local domain email secret tls='' new=no
	domain=$(attribute domain) email=$(attribute acme-email) secret=$(attribute certificate)
	if [ -n "$secret" ]; then
		patiently fetch_certificate "$secret"
		! install_if_new 640 caddy "$work/tls.pem" /etc/caddy/tls.pem || new=yes
		tls='tls /etc/caddy/tls.pem /etc/caddy/tls.pem'
	elif [ -n "$email" ]; then
		tls="tls $email"
	fi
	caddyfile "$domain" "$tls" 127.0.0.1:9112 >"$work/Caddyfile"
	! install_if_new 644 root "$work/Caddyfile" /etc/caddy/Caddyfile || new=yes
	systemctl enable -q caddy
	if [ $new = yes ]; then systemctl restart caddy; else systemctl start caddy; fi
}

push_agent_image() {
	local image=$1
	jq -n --arg host "${image%%/*}" --arg auth "$(printf 'oauth2accesstoken:%s' "$(token)" | base64 -w 0)" \
		'{auths: {($host): {auth: $auth}}}' >"$work/auth.json"
	skopeo copy --quiet --authfile "$work/auth.json" oci:/usr/share/sockerless/agent-image:latest "docker://$image"
}

gateway() {
	local image
	image=$(attribute agent-image)
	attribute gateway-env >"$work/gateway.env"
	! install_if_new 640 docker "$work/gateway.env" /etc/sockerless/gateway.env || gateway_changed=yes
	[ -z "$image" ] || patiently push_agent_image "$image"
	chown sockerless:docker /var/lib/sockerless
	chmod 700 /var/lib/sockerless
	systemctl enable -q sockerless-gateway
	# A reload takes the new program and settings under its clients; where it cannot, a restart will do.
	if [ $gateway_changed = yes ]; then systemctl reload sockerless-gateway || systemctl restart sockerless-gateway; else systemctl start sockerless-gateway; fi
}

# Who comes by OS Login is in no group of this machine: sshd puts them into docker's (pam_group, which OS Login set up).
docker_group() {
	local line='sshd;*;*;Al0000-2400;docker'
	[ ! -e /etc/security/group.conf ] || grep -qxF "$line" /etc/security/group.conf ||
		echo "$line" >>/etc/security/group.conf
}

# Read by tests for its functions.
[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

tools
state_disk
package
docker_group
gateway
front
