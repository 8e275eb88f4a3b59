# mypy: ignore-errors
import os
import resource

from _proof import WORKER, attempt

attempt(
    limit=lambda: resource.prlimit(WORKER, resource.RLIMIT_NOFILE),
    limit_set=lambda: resource.prlimit(WORKER, resource.RLIMIT_CPU, (10_000, 10_000)),
    nice=lambda: os.setpriority(os.PRIO_PROCESS, WORKER, 19) is None,
    affinity=lambda: os.sched_setaffinity(WORKER, {0}) is None,
    scheduler=lambda: os.sched_setscheduler(WORKER, os.SCHED_IDLE, os.sched_param(0)) is None,
)
