"""What there is: the keys of the name, the saved tokens, and what an interrupted run left behind."""

from dataclasses import dataclass, field

from init_job import log
from init_job.job import Job, SavedToken
from init_job.servers.interface import Key, ResolvedScope
from init_job.state import Intent


@dataclass(frozen=True)
class Saved:
    """A saved token and what the server and the state file say about it."""

    key_id: str
    works: bool
    token: str = field(default="", repr=False)
    output: str = "the output"
    reason: str = ""
    """Why it does not work."""
    made_here: bool = False
    """The state file says that this job made it, under whatever settings."""


@dataclass(frozen=True)
class Survey:
    scope: ResolvedScope
    keys: list[Key]
    """Of the name and scope that the settings ask for."""
    saved: list[Saved]
    """The distinct tokens in the order in which outputs are written: of an interrupted rotation the new one first."""
    doomed: tuple[str, ...]
    """Keys whose new token an interrupted run has put in place: still to be deleted."""


def survey(job: Job, tokens: list[SavedToken], dry_run: bool) -> Survey:
    """Ask the server, logged in. Keys that an interrupted run made and whose token nobody has are deleted."""
    scope = job.server.resolve(job.settings.scope)
    keys = job.list_keys(scope)
    saved = [_look_at(job, token) for token in tokens]
    intent = _matching_intent(job)
    unread, doomed = leftovers(keys, saved, intent)
    for key_id in () if dry_run else unread:
        log.info("unread", f"deleting key {key_id}: an interrupted run made it, and its token is not saved", id=key_id)
        job.delete_key(key_id)
    return Survey(scope, [key for key in keys if key.id not in unread], saved, doomed)


def leftovers(keys: list[Key], saved: list[Saved], intent: Intent | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What an interrupted run left: (made by it and never read, to be deleted since its new token is in place)."""
    if intent is None:
        return (), ()
    working = {token.key_id for token in saved if token.works}
    unread = tuple(key.id for key in keys if key.id not in intent.known and key.id not in working)
    replaced = working & {key.id for key in keys} - set(intent.doomed)
    return unread, tuple(key.id for key in keys if key.id in intent.doomed and replaced)


def _look_at(job: Job, token: SavedToken) -> Saved:
    status = job.check(token.token)
    made = job.memory.state.key
    made_here = made is not None and made.id == token.key_id
    return Saved(token.key_id, status.works, token.token, token.output, status.reason, made_here)


def _matching_intent(job: Job) -> Intent | None:
    """The intent of an interrupted run, if it was about the key that is asked for."""
    intent, asked = job.memory.state.intent, job.settings
    if intent and (intent.name, intent.scope, intent.server) != (asked.key_name, str(asked.scope), asked.url):
        log.warning(
            "foreign-intent",
            f"an interrupted run may have left a key {intent.name!r} ({intent.scope}) at {intent.server}",
        )
        return None
    return intent
