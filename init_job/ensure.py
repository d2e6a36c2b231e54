"""`ensure`: a key of the name is there, and its token in every output. First what to do (pure), then doing it.

`rotate` is the same, but a key that is up to date is replaced.
"""

from dataclasses import dataclass

from init_job import log
from init_job.create import Creation, finish, remember
from init_job.errors import InitJobError, TokenError
from init_job.job import Job, age
from init_job.servers.interface import Key
from init_job.settings import Settings
from init_job.survey import Saved, Survey, survey
from init_job.values import OnLostToken


@dataclass(frozen=True)
class UpToDate:
    token: Saved
    others: tuple[str, ...] = ()
    """Further keys of the name: not ours to delete."""


@dataclass(frozen=True)
class Create:
    because: str
    delete: tuple[str, ...] = ()
    """To be deleted once the new token is in place."""
    left: tuple[str, ...] = ()
    """Keys that this job made under other settings and that stay."""


@dataclass(frozen=True)
class Stop:
    error: InitJobError


Decision = UpToDate | Create | Stop


def decide(name: str, keys: list[Key], saved: list[Saved], on_lost: OnLostToken, read_only: bool = False) -> Decision:
    """The table: `keys` of that name and scope, and the distinct saved tokens in the order of the outputs.

    | keys of that name | saved token                      | decision                                   |
    |-------------------|----------------------------------|--------------------------------------------|
    | any               | works, of no key of that name    | Stop: somebody else's                      |
    | none              | works, made here for another name| Create, the old key is left                |
    | none              | none or dead                     | Create                                     |
    | one or several    | works, of one of them            | UpToDate, the others are left              |
    | one               | dead, of it                      | Create, and delete it                      |
    | one or several    | none, or dead                    | lost: Stop, or Create (and delete them)    |
    """
    ids = tuple(key.id for key in keys)
    strangers = [token for token in saved if token.works and token.key_id not in ids]
    # A run under new settings may have been killed when the new token was in one output and not yet in the next.
    has_own = len(strangers) < sum(token.works for token in saved)
    for stranger in strangers:
        if not stranger.made_here or (keys and not has_own):
            return Stop(_somebody_elses(name, stranger))
    if not keys:
        left = tuple(stranger.key_id for stranger in strangers)
        return Create("the settings were changed" if left else "there is none of that name", left=left)

    fitting = {key.id for key in keys if key.read_only == read_only}
    for token in saved:
        if token.works and token.key_id in fitting:
            return UpToDate(token, tuple(other for other in ids if other != token.key_id))

    unfit = [token for token in saved if token.works]
    dead = [token for token in saved if token.key_id in ids and not token.works]
    if len(keys) == 1 and dead and not unfit:
        return Create(f"its token no longer works: {dead[0].reason}", delete=ids)

    if on_lost is OnLostToken.REPLACE:
        return Create("its token is lost", delete=ids)
    if on_lost is OnLostToken.ADD:
        return Create("its token is lost")
    return Stop(_lost(name, ids, bool(unfit), read_only))


def _somebody_elses(name: str, stranger: Saved) -> TokenError:
    return TokenError(
        f"the token in {stranger.output} works, but its key {stranger.key_id} is not {name!r} in this scope",
        "it may be somebody else's and is kept: correct API_KEY_NAME or API_KEY_SCOPE, or remove the token",
    )


def _lost(name: str, ids: tuple[str, ...], unfit: bool, read_only: bool) -> TokenError:
    which = (
        f"key {name!r} exists (id {ids[0]})"
        if len(ids) == 1
        else f"{len(ids)} keys {name!r} exist (ids {', '.join(ids)})"
    )
    what = "its token is lost: a server shows a token only once"
    if unfit:
        what = (
            "it may change things, and a read-only key is asked for"
            if read_only
            else "it is read-only, and that is not asked for"
        )
    them = "it" if len(ids) == 1 else "all of them"
    return TokenError(
        f"{which}, and {what}",
        f"ON_LOST_TOKEN=replace makes a new key and deletes {them}, ON_LOST_TOKEN=add makes one beside {them}; "
        "or put the token back",
    )


def ensure(settings: Settings, dry_run: bool = False) -> str:
    """What was done, in one line. Raises InitJobError."""
    return _run(settings, dry_run, older_than=None)


def rotate(settings: Settings, dry_run: bool = False, older_than: float = 0.0) -> str:
    """The same, with a new key in any case, unless the state file knows that it is younger than that (seconds)."""
    return _run(settings, dry_run, older_than)


def _run(settings: Settings, dry_run: bool, older_than: float | None) -> str:
    job = Job(settings)
    with job.remembering(read_only=dry_run):
        tokens = job.saved_tokens()
        if not tokens:
            job.need_password()
        if not dry_run and job.lacking:
            job.prove_outputs()  # before the wait, not after it
        made = job.remembers(tokens)
        renew = older_than is not None and (made is None or age(made) >= older_than)
        if made and not renew and job.still_works(made, tokens[0]):
            written = [] if dry_run else job.write_outputs(tokens[0].token, made)
            return f"key {made.name!r} (id {made.id}) is up to date{_to(written)}"
        job.log_in()
        return _with_login(job, survey(job, tokens, dry_run), dry_run, renew)


def _with_login(job: Job, found: Survey, dry_run: bool, renew: bool) -> str:
    asked = job.settings
    decision = decide(asked.key_name, found.keys, found.saved, asked.on_lost_token, asked.read_only)
    if isinstance(decision, Stop):
        raise decision.error
    if isinstance(decision, UpToDate):
        others = [other for other in decision.others if other not in found.doomed]
        if others:
            log.warning("more-keys", f"there are more keys {asked.key_name!r}: {', '.join(others)}", ids=others)
        if not renew:
            return _keep(job, decision.token, found.doomed, dry_run)
        decision = Create("it is to be replaced", delete=(decision.token.key_id, *found.doomed))
    if dry_run:
        deleted = f" and delete {', '.join(decision.delete)}" if decision.delete else ""
        return f"would create key {asked.key_name!r} ({decision.because}){deleted}"
    log.info("creating", f"creating key {asked.key_name!r}: {decision.because}", name=asked.key_name)
    new = Creation(job, found.scope, found.keys, decision.delete).run()
    for key_id in decision.left:
        log.warning("left", f"key {key_id}, which this job made under other settings, still exists", id=key_id)
    return f"created key {new.name!r} (id {new.id}){_to([str(output) for output in job.outputs])}"


def _keep(job: Job, token: Saved, doomed: tuple[str, ...], dry_run: bool) -> str:
    made = job.made_key(token.key_id)
    written: list[str] = []
    if not dry_run:
        written = job.write_outputs(token.token, made)
        remember(job, made, doomed)
        finish(job, doomed)
    return f"key {made.name!r} (id {made.id}) is up to date{_to(written)}"


def _to(written: list[str]) -> str:
    return f"; its token is now in {', '.join(written)}" if written else ""
