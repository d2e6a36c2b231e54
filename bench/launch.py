"""Runs a command and prints its wall time (s), processor time (s) and peak memory (KiB).

A program of its own and a small one: what the kernel reports as a process's peak begins with its parent's memory.
"""

import os
import sys
import time

start = time.perf_counter()
child = os.posix_spawnp(
    sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
)
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status) != 0)
