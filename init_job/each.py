"""One command for each key, one after the other: what becomes of one is no matter to the others.

No two memories are locked at the same time, so jobs with the same keys in another order never wait for each other in a
circle.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from init_job import log, signals
from init_job.errors import InitJobError, NotReady, Overtaken
from init_job.job import Job
from init_job.run import Run


def for_each(run: Run, command: Callable[[Job], str], good: str) -> str:
    """What was done, in one line; `good` is the word for a key with which all went well. Raises InitJobError: where
    there is a file of keys, as for the first key that failed, after all had their turn."""
    keys = run.settings.keys
    if not run.settings.keys_file:
        return _alone(command, Job(run, keys[0]))
    times = Counter(key.name for key in keys)
    left = [key.name if times[key.name] == 1 else f"{key.name} ({key.scope})" for key in keys]
    done: list[str] = []
    failures: dict[str, InitJobError] = {}
    try:
        for key in keys:
            with log.about(name := left.pop(0)):
                try:
                    log.info("done", _alone(command, Job(run, key)))
                    done.append(name)
                except InitJobError as error:
                    log.debug_traceback(error)
                    log.error("error", str(error))
                    log.error("hint", f"what to do: {error.hint}")
                    failures[name] = error
            if isinstance(failures.get(name), NotReady) and not run.is_reachable():
                failures |= dict.fromkeys(left, failures[name])
                break
    except Exception:
        log.info("unfinished", _listed({good: done, f"not {good}": failures, "unfinished": [name, *left]}))
        raise
    if not failures:
        return _listed({good: done})
    what = _listed({f"not {good}": failures, good: done})
    raise type(next(iter(failures.values())))(what, "it is said above for each key; then run the job again")


def _alone(command: Callable[[Job], str], job: Job) -> str:
    """The command with what is remembered of the key, which is this run's alone meanwhile. Where others cannot be kept
    out, and one of them has taken the key over, it begins anew: then that one's work is done, or there to be seen. Not
    for ever: what changes the memory may be no run, and go on with it."""
    pause = 0.1
    while True:
        try:
            with job.remembering():
                return command(job)
        except Overtaken as overtaken:
            if job.run.patience.left <= 0:
                raise
            log.info("overtaken", f"{overtaken}: beginning anew")
        signals.sleep(pause)
        pause = min(2 * pause, 2.0)


def _listed(names: Mapping[str, Collection[str]]) -> str:
    return "; ".join(f"{word}: {', '.join(map(repr, some))}" for word, some in names.items() if some)
