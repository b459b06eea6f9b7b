#!/usr/bin/env bash
# docker run -it, exec -it and attach in a real terminal: size, resize, Ctrl-C, detach keys.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run -d --name box busybox sleep 1000000
tty() { "$PYTHON" "$func_dir/terminal.py" "$@"; }

for how in run exec; do
	t "$how -it gives a terminal of the client's size" tty size $how
	t "$how -it follows a resize, and the program gets SIGWINCH" tty resize $how
	t "$how -it: Ctrl-C interrupts the program, not the client" tty interrupt $how
	t "$how -it: Ctrl-D ends the shell, whose status is reported" tty end_of_file $how
	t "$how -it: echo, line editing and \\r\\n are the terminal's" tty echo $how
done
t "run -it: ctrl-p ctrl-q detaches, the container goes on, attach comes back" tty detach
t "run -it: detach keys of one's own" tty detach_keys
t "run -it: a lone ctrl-p goes to the program" tty lone_prefix
t "run -it: what is printed at once is not lost" tty first_output
tty_logs() {
	docker run -t --name tl busybox sh -c 'echo one; echo two >&2' >/dev/null
	eq "$(printf 'one\r\ntwo\r\n')" "$(docker logs tl)"
	docker rm tl >/dev/null
}
t "logs of a container with a terminal are its raw output" tty_logs
t "attach to a running container with a terminal: type and see" tty attach_types

finish
