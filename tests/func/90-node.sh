#!/usr/bin/env bash
# dockerode and testcontainers, as Node.js programs use them.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run --rm busybox true
node_client() { NODE_PATH=$CLIENTS/node_modules timeout -k 5 90 node "$func_dir/$1.js" "${@:2}"; }

for case in version lifecycle attach_hijack exec_upgraded exec_plain exec_stdin exec_inspect archive logs_follow events \
	stats top_processes wait_removed list_filters pull_progress networks volumes errors; do
	t "dockerode: $case" node_client dockerode $case
done

export TESTCONTAINERS_RYUK_DISABLED=true
for case in logs exec files_before_start files_after environment restart health reuse_name stop; do
	t "testcontainers: $case" node_client testcontainers $case
done
for case in port_of_a_server http_wait several network; do
	ports() {
		gateway_only
		node_client testcontainers "$1"
	}
	t "testcontainers: $case" ports $case
done

finish
