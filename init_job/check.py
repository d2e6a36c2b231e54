"""`check`: does the saved token work, and is it the named key's? And if not, why not? Changes nothing."""

import time
from dataclasses import replace

from init_job import log, texts
from init_job.decide import There, UpToDate, decide
from init_job.errors import AccountError, TokenError
from init_job.job import Job, SavedToken
from init_job.survey import survey
from init_job.tokens import WRAPPED, Claims, Kind, is_wrapped, read_claims
from init_job.values import OnLostToken

_MEND = "run the job without a command: it gets a token that works"
_CLEAR = "move it away, or empty it if it is of no use; then run the job without a command"


def check(job: Job) -> str:
    """What was found, in one line. Raises TokenError when some output has no token that works."""
    held = {text: str(output) for output in reversed(job.outputs) if (text := output.text())}
    empty = [str(output) for output in job.outputs if output.place.is_kept and not output.text()]
    if empty or not held:
        raise TokenError(f"there is no token in {', '.join(empty) or 'standard output'}", _MEND)
    if len(held) > 1:
        raise TokenError(f"{' and '.join(held.values())} hold different tokens", _MEND)
    [(token, where)] = held.items()
    claims = read_claims(token)
    if claims.kind is not Kind.API_KEY:
        is_ours = claims.kind is Kind.LOGIN  # which a run replaces; anything else it leaves alone
        what = WRAPPED if is_wrapped(token) else describe(claims, time.time())
        if texts.stands_for_a_token(token):
            what = "a placeholder"
        raise TokenError(f"{where} holds {what}", _MEND if is_ours else _CLEAR)
    return _check_api_token(job, SavedToken(token, claims.key_id, where))


def describe(claims: Claims, now: float) -> str:
    """What people take for an API token."""
    if claims.kind is Kind.LOGIN:
        when = ""
        if claims.expires:
            hours = f"{abs(claims.expires - now) / 3600:.0f} hours"
            when = f" that expired {hours} ago" if claims.expires < now else f" that ends in {hours}"
        return f"a login token{when}: it is for the web interface, not for a program"
    if claims.kind is Kind.OTHER_JWT:
        return "a JWT that ChirpStack did not make"
    return "no API token, which has three parts joined by dots: is it the server's signing secret?"


def _check_api_token(job: Job, saved: SavedToken) -> str:
    has_password = bool(job.run.settings.password)
    works = f"the token in {saved.output} (key {saved.key_id}) works"
    made = job.remembers([saved])
    if made and job.still_works(made, saved):
        return f"{works}: it is {made.name!r}, made by this job"
    if has_password:
        try:
            job.run.log_in()
            _, there = survey(job, [saved])
            return _compare(works, job, there)
        except AccountError as error:
            log.warning("unnamed", f"there is no telling the key's name: {error}")
    status = job.check(saved)
    if not status.works:
        raise _dead(saved.output, status.reason)
    return works if has_password else f"{works}; without CHIRPSTACK_PASSWORD there is no telling its name"


def _compare(works: str, job: Job, there: There) -> str:
    asked, [saved] = job.asked, there.saved
    if not saved.works:
        raise _dead(saved.output, saved.reason)
    decision = decide(replace(asked, on_lost_token=OnLostToken.FAIL), there)
    if isinstance(decision, UpToDate):
        return f"{works}: it is {asked.name!r}"
    raise TokenError(f"{works}, but it is not {asked.name!r} in scope {asked.scope}: {decision.because}", _MEND)


def _dead(where: str, reason: str) -> TokenError:
    return TokenError(f"the token in {where} does not work: {reason}", _MEND)
