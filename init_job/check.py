"""`check`: does the saved token work, and is it the named key's? And if not, why not? Changes nothing."""

import time

from init_job import log
from init_job.errors import AccountError, TokenError
from init_job.job import Job, SavedToken
from init_job.settings import Settings
from init_job.tokens import Claims, Kind, read_claims

_MEND = "run the job without a command: it gets a token that works"


def check(settings: Settings) -> str:
    """What was found, in one line. Raises TokenError when some output has no token that works."""
    job = Job(settings)
    with job.remembering(read_only=True):
        texts = {text: str(output) for output in reversed(job.outputs) if (text := output.text())}
        empty = [str(output) for output in job.outputs if not output.is_stdout and not output.text()]
        if empty or not texts:
            raise TokenError(f"there is no token in {', '.join(empty) or 'standard output'}", _MEND)
        if len(texts) > 1:
            raise TokenError(f"{' and '.join(texts.values())} hold different tokens", _MEND)
        [(token, where)] = texts.items()
        claims = read_claims(token)
        if claims.kind is not Kind.API_KEY:
            raise TokenError(f"{where} holds {describe(claims, time.time())}", _MEND)
        return _check_api_token(job, SavedToken(token, claims.key_id, where), claims)


def describe(claims: Claims, now: float) -> str:
    """What people take for an API token (design §3)."""
    if claims.kind is Kind.LOGIN:
        when = ""
        if claims.expires:
            hours = f"{abs(claims.expires - now) / 3600:.0f} hours"
            when = f" that expired {hours} ago" if claims.expires < now else f" that ends in {hours}"
        return f"a login token{when}: it is for the web interface, not for a program"
    if claims.kind is Kind.OTHER_JWT:
        return "a JWT that ChirpStack did not make"
    return "no API token, which has three parts joined by dots: is it the server's signing secret?"


def _check_api_token(job: Job, saved: SavedToken, claims: Claims) -> str:
    settings = job.settings
    works = f"the token in {saved.output} (key {saved.key_id}) works"
    made = job.remembers([saved])
    if made and job.still_works(made, saved):
        return f"{works}: it is {made.name!r}, made by this job"
    if claims.api != job.server.api:
        raise TokenError(
            f"the token in {saved.output} is one of ChirpStack {claims.api}, and the server is {job.server.api}", _MEND
        )
    status = job.check(saved.token)
    if not status.works:
        raise TokenError(f"the token in {saved.output} does not work: {status.reason}", _MEND)
    if not settings.password:
        return f"{works}; without CHIRPSTACK_PASSWORD there is no telling its name"
    try:
        job.log_in()
        scope = job.server.resolve(settings.scope)
        key = next((key for key in job.list_keys(scope) if key.id == saved.key_id), None)
        other = None if key else job.server.find_key(saved.key_id)
    except AccountError as error:
        log.warning("unnamed", f"there is no telling the key's name: {error}")
        return works
    if key is None:
        what = f"it is key {other.name!r} in scope {other.scope}" if other else "it is another key"
        raise TokenError(
            f"{works}, but {what}, not {settings.key_name!r} in scope {settings.scope}",
            "correct API_KEY_NAME or API_KEY_SCOPE, or remove the token and run the job",
        )
    if key.read_only != settings.read_only:
        raise TokenError(
            f"{works}, but it is {'' if key.read_only else 'not '}read-only",
            "correct API_KEY_READ_ONLY, or run the job with ON_LOST_TOKEN=replace",
        )
    return f"{works}: it is {settings.key_name!r}"
