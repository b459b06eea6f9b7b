#!/usr/bin/env bash
# Attach beyond the docker client: over a WebSocket, with history, by several clients at once.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run --rm busybox true
attach() { "$PYTHON" "$func_dir/attach.py" "$@"; }

t "attach/ws: what is typed comes back, in binary messages without frames" attach websocket_echo
t "attach/ws: the end of the container is a Close, after the last byte" attach websocket_end
t "attach/ws: 4 MiB through cat and back are equal" attach websocket_bulk
t "attach/ws: a ping is answered, a fragmented message put together" attach websocket_details
t "attach/ws: no handshake is a 400, no container a 404" attach websocket_refused
t "attach/ws: a client that closes ends stdin of a container made for one" attach websocket_close
t "logs=1 stream=1: what was printed comes first, then what is" attach history
t "logs=1 stream=0: what was printed, and the end" attach only_history
t "three clients attached at once all get everything" attach several
detach_ahead() {
	gateway_only # dockerd loses what comes with the request
	attach detach_ahead
}
t "detach keys that come with the request detach" detach_ahead
head_alone() {
	gateway_only # dockerd is slower than most clients, no more
	attach head_alone
}
t "the answer's head comes by itself, also to a client that reads late" head_alone

finish
