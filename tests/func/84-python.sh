#!/usr/bin/env bash
# Docker's Python SDK (python3-docker) over its whole surface.
. "$(dirname "$0")/lib.sh"
engine_start busybox
[ "$ENGINE" = dockerd ] || must docker pull -q busybox
sdk() { timeout -k 5 90 "$PYTHON" "$func_dir/python_client.py" "$@"; }

t "run" sdk run
t "run with all its options, streamed, of one stream" sdk run_options
t "errors are the kinds the SDK knows" sdk errors
t "list and its filters, get, prune" sdk lists
t "exec_run, with demux, stream and exit codes" sdk exec_run
t "exec_run with sockets and terminals; exec inspect" sdk execs
t "logs, streamed and after" sdk logs
t "logs since, until, tail, with times, of a terminal" sdk log_forms
t "attach socket with half-close" sdk attach_socket
t "attach with logs, stream and demux" sdk attaches
t "wait with every condition" sdk waits
t "list, inspect, stop, wait, remove" sdk lifecycle
t "put_archive, get_archive, diff, export" sdk archives
t "top, stats, pause, rename, update, restart" sdk processes
t "images: get, list, tag, history, save, load, remove, prune, pull; no commit, no build" sdk images
t "networks" sdk networks
t "volumes" sdk volumes
t "events" sdk events
t "ping, version, info, df, login, plugins; an old version" sdk engine_facts

finish
