"""What there is: the keys of the name, the saved tokens, and what an interrupted run left behind."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from init_job import log
from init_job.decide import Saved, There, listed
from init_job.errors import AccountError, Unavailable
from init_job.job import Job, SavedToken, where
from init_job.servers.interface import KEY_DELETED, Key, ResolvedScope, TokenStatus
from init_job.state import Intent, MadeKey

_IN_THE_LOG = 100  # ids that one line of JSON has


def tell_of_more(job: Job, ids: Sequence[str]) -> None:
    if ids:
        log.warning("more-keys", f"there are more keys {job.asked.name!r}: {listed(ids)}", ids=list(ids[:_IN_THE_LOG]))


def survey(job: Job, tokens: list[SavedToken]) -> tuple[ResolvedScope, There]:
    """Ask the server, logged in. Keys that an interrupted run made and whose token nobody has are deleted. Raises
    ConfigurationError when another key of the run is the same one."""
    memory = job.memory
    scope = job.run.server.resolve(job.asked.scope)
    job.run.claim(job.asked.name, scope, job)
    keys, saved = job.run.patience.call(lambda: _look(job, tokens, scope))
    ids = {key.id for key in keys}
    intent = _matching_intent(job)
    unread, doomed = leftovers(keys, saved, intent, memory.state.key)
    if unread:
        memory.claim()
    for key_id in unread:
        job.run.delete_key(key_id, "an interrupted run made it, and its token is not saved")
    if intent:
        # Done with it: a key of the name that somebody makes from now on is none of ours.
        left = replace(intent, known=tuple(sorted(ids)), doomed=doomed) if doomed else None
        memory.save_if_possible(replace(memory.state, intent=left))
    asked, settings = job.asked, job.run.settings
    others = {(key.name, key.scope) for key in settings.keys} | {*settings.left_out}
    theirs = {(name, str(scope)) for name, scope in others - {(asked.name, asked.scope)}}
    # What another key of KEYS_FILE is asked for by is that one's, whatever is remembered here of earlier settings: with
    # its scope as it was written then, or by its id.
    made = {one.id for one in memory.state.made if not theirs & {(one.name, one.scope), (one.name, str(where(one)))}}
    if intent:
        made |= ids & {token.key_id for token in saved} - {*intent.known}
    there = There(tuple(key for key in keys if key.id not in unread), saved, frozenset(made), doomed)
    return scope, there


def leftovers(
    keys: Sequence[Key], saved: Sequence[Saved], intent: Intent | None, made: MadeKey | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What an interrupted run left: (made by it and never read, to be deleted since its new token was in place). That
    token may have died or got lost since; `made` is the key that is remembered."""
    if intent is None:
        return (), ()
    brought = {token.key_id for token in saved} | ({made.id} if made else set())
    unread = tuple(key.id for key in keys if key.id not in intent.known and key.id not in brought)
    is_replaced = any(key.id in brought and key.id not in intent.doomed for key in keys)
    return unread, tuple(key.id for key in keys if key.id in intent.doomed and is_replaced)


def _look(job: Job, tokens: list[SavedToken], scope: ResolvedScope) -> tuple[list[Key], tuple[Saved, ...]]:
    """Raises Unavailable when the server contradicts itself: a key was deleted meanwhile, or several answer."""
    keys = job.run.server.list_keys(scope, job.asked.name)
    ids = {key.id for key in keys}
    saved = tuple(_look_at(job, token, scope, ids) for token in tokens)
    for token in saved:
        if token.key_id in ids and token.reason == KEY_DELETED:
            raise Unavailable(
                f"the server lists key {token.key_id}, and says of its token that the key was deleted",
                "do several servers answer at CHIRPSTACK_URL?",
            )
    return keys, saved


def _look_at(job: Job, token: SavedToken, scope: ResolvedScope, ids: set[str]) -> Saved:
    made_here = next((made for made in job.memory.state.made if made.id == token.key_id), None)
    if made_here and token.key_id not in ids:
        scope = where(made_here)
    status = job.check(token, scope)
    key = None
    if (
        token.key_id not in ids
        and not made_here
        and (status.works or (status.reason == KEY_DELETED and not job.run.server.sees_every_token))
    ):
        with contextlib.suppress(AccountError):  # only a global admin may see every key
            key = job.run.server.find_key(token.key_id)
        if key:
            # v3 before v3.12 has no call for an application's key that works for all of them (contract §3.8).
            status = TokenStatus(True)
            key = replace(key, name=log.masked(key.name))
    return Saved(token.key_id, status.works, token.token, token.output, status.reason, key)


def _matching_intent(job: Job) -> Intent | None:
    """The intent of an interrupted run, if it was about the key that is asked for."""
    intent = job.memory.state.intent
    if intent and (intent.server, intent.name, intent.scope) != job.identity:
        log.warning(
            "foreign-intent",
            f"an interrupted run may have left a key {intent.name!r} ({intent.scope}) at {intent.server}",
        )
        return None
    return intent
