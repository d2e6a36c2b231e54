"""`revoke`: the named key is gone from the server, and its token from the outputs."""

from init_job import log
from init_job.errors import TokenError
from init_job.job import Job
from init_job.settings import Settings
from init_job.state import State
from init_job.survey import Survey, survey


def revoke(settings: Settings, every: bool = False, dry_run: bool = False) -> str:
    """What was done, in one line. Raises InitJobError; TokenError when a saved token is somebody else's."""
    job = Job(settings)
    with job.remembering(read_only=dry_run):
        tokens = job.saved_tokens()
        job.log_in()
        found = survey(job, tokens, dry_run)
        doomed = to_delete(found, settings.key_name, every)
        if dry_run:
            return f"would delete {_listed(doomed)} and remove the token from {len(job.outputs)} outputs"
        # First the server: a token that is left on disk by a crash is dead, and the next run removes it.
        for key_id in doomed:
            job.delete_key(key_id)
        removed = [str(output) for output in job.outputs if output.remove()]
        job.memory.save_if_possible(State())
        others = [key.id for key in found.keys if key.id not in doomed]
        if others:
            log.warning("more-keys", f"there are more keys {settings.key_name!r}: {', '.join(others)}", ids=others)
        return f"deleted {_listed(doomed)}; removed the token from {', '.join(removed) or 'no output, there was none'}"


def to_delete(found: Survey, name: str, every: bool) -> list[str]:
    """Pure: the saved token's key; without one the only key of the name; with `every` all of the name."""
    ids = [key.id for key in found.keys]
    for token in found.saved:
        if token.works and token.key_id not in ids:
            raise TokenError(
                f"the token in {token.output} works, but its key {token.key_id} is not {name!r} in this scope",
                "it may be somebody else's and is kept: correct API_KEY_NAME or API_KEY_SCOPE, or remove the token",
            )
    if every or len(ids) <= 1:
        return ids
    saved = [key_id for key_id in ids if any(token.key_id == key_id for token in found.saved)]
    if not saved:
        raise TokenError(
            f"{len(ids)} keys {name!r} exist (ids {', '.join(ids)}), and no saved token says which is meant",
            "revoke --all deletes all of them",
        )
    return sorted({*saved, *found.doomed})


def _listed(doomed: list[str]) -> str:
    return f"key {', '.join(doomed)}" if doomed else "no key, there was none"
