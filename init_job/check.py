"""`check`: does the saved token work, and is it the named key's? Changes nothing."""

from init_job.errors import TokenError
from init_job.job import Job
from init_job.settings import Settings


def check(settings: Settings) -> str:
    """What was found, in one line. Raises TokenError when there is no token that works in some output."""
    job = Job(settings)
    with job.remembering(read_only=True):
        tokens = job.saved_tokens()
        if job.lacking or not tokens:
            missing = ", ".join(job.lacking) or "any file"
            raise TokenError(f"there is no token in {missing}", "run the job without a command: it gets one")
        if len(tokens) != 1:
            raise TokenError("the outputs hold different tokens", "run the job without a command: it mends them")
        status = job.check(tokens[0].token)
        if not status.works:
            raise TokenError(
                f"the token in {tokens[0].output} does not work: {status.reason}",
                "run the job without a command: it mends this",
            )
        found = f"the token of key {tokens[0].key_id} works"
        if made := job.remembers(tokens):
            return f"{found}: it is {made.name!r}, made by this job"
        if not settings.password:
            return f"{found}; without a password there is no telling its name"
        job.log_in()
        scope = job.patience.call(lambda: job.server.resolve(settings.scope))
        key = next((key for key in job.list_keys(scope) if key.id == tokens[0].key_id), None)
        if key is None or key.read_only != settings.read_only:
            raise TokenError(
                f"{found}, but it is not {settings.key_name!r} in scope {settings.scope}"
                + (" with API_KEY_READ_ONLY as asked" if key else ""),
                "correct API_KEY_NAME and API_KEY_SCOPE, or remove the token and run the job",
            )
        return f"{found}: it is {settings.key_name!r}"
