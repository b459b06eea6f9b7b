#!/usr/bin/env bash
# The docker client's interactive commands in a real terminal, beyond 30-tty.sh: every mix of flags, detach keys,
# several at one program, what is watched and what is asked.
. "$(dirname "$0")/lib.sh"
engine_start busybox
must docker run -d --name box busybox sleep 1000000
tty() { timeout -k 5 90 "$PYTHON" "$func_dir/terminal.py" "$@"; }

t "run with -i, -t, both, none, in a terminal" tty run_mixes
t "exec with -i, -t, both, none, in a terminal" tty exec_mixes
t "create -it, start -ai again and again, with detach keys of its own" tty create_start
t "attach --detach-keys: control keys, letters, the null key" tty attach_keys
t "attach: two type at one program, a third only looks on" tty attach_two
t "exec -it with user, folder, environment, size and status" tty exec_options
t "exec -it: detach keys leave the program running" tty exec_detach
t "exec -it: vi" tty full_screen
t "run -it: a paste of 32 KiB" tty large_paste
t "run -it: the terminal goes away" tty hang_up run
t "exec -it: the terminal goes away" tty hang_up exec
t "stats and top, watched" tty live_views
t "prune asks first" tty confirmed

finish
