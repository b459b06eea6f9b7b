/* hostpid - the emulator lives in a PID namespace of its own; tests live outside. */
#ifndef EMULATOR_HOSTPID_H
#define EMULATOR_HOSTPID_H

#include <sys/types.h>

/* host_proc: a descriptor of the host's /proc. 0 if the process is gone. Walks /proc: for tests. */
pid_t hostpid_self(int host_proc);
pid_t hostpid_of(int host_proc, pid_t inner);

#endif
