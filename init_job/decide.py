"""What to do about what there is. Pure: every input is an argument, and what ends a run is raised.

Whose a key is decides what may be done with it. A key is this job's own when its memory says that it made it, or when
a saved token that works is that key's; where there is none of these, when one that works no more is. Its own a job
replaces and revokes. Any other key of the name is somebody else's: it is deleted only when the user asks for it
(`replace`, while no own key is known; `revoke --all`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from init_job.errors import TokenError
from init_job.servers.interface import Key
from init_job.settings import KeySettings
from init_job.values import OnLostToken

_LISTED = 5  # ids in a message


@dataclass(frozen=True)
class Saved:
    """A saved token and what the server says about it."""

    key_id: str
    works: bool
    """False: it is dead for good."""
    token: str = field(default="", repr=False)
    output: str = "the output"
    reason: str = ""
    """Why it does not work."""
    key: Key | None = None
    """Its key, where it is not of the name and scope that are asked for, and the account may see it; for messages."""


@dataclass(frozen=True)
class There:
    """What there is, on the server, in the outputs and in the job's memory."""

    keys: tuple[Key, ...]
    """Of the name and scope that are asked for, sorted by id."""
    saved: tuple[Saved, ...] = ()
    """The distinct tokens in the order in which outputs are written: of an interrupted rotation the new one first."""
    made: frozenset[str] = frozenset()
    """Ids of all keys that this job made, under whatever settings, and that may still be there."""
    doomed: tuple[str, ...] = ()
    """Ids of keys whose new token an interrupted run has put in place: still to be deleted."""

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(key.id for key in self.keys)

    @property
    def own(self) -> tuple[str, ...]:
        """Ids of those among the keys that are this job's own."""
        known = self.made | {token.key_id for token in self.saved if token.works} | set(self.doomed)
        # A token that works no more says whose its key was only where nothing says it better: it may be anything.
        ours = known if known & set(self.ids) else {token.key_id for token in self.saved}
        return tuple(key_id for key_id in self.ids if key_id in ours)


@dataclass(frozen=True)
class UpToDate:
    token: Saved
    delete: tuple[str, ...] = ()
    """Those whose deletion was left undone."""
    others: tuple[str, ...] = ()
    """Further keys of the name, which stay."""


@dataclass(frozen=True)
class Create:
    because: str
    delete: tuple[str, ...] = ()
    """To be deleted once the new token is in place."""
    others: tuple[str, ...] = ()
    """Further keys of the name, which stay."""


def decide(asked: KeySettings, there: There, renew: bool = False) -> UpToDate | Create:
    """Raises TokenError.

    | keys of that name  | saved token                          | decision                                      |
    |--------------------|--------------------------------------|-----------------------------------------------|
    | any                | works, of no key that is ours        | somebody else's: TokenError                   |
    | none               | works, made here under other settings| Create                                        |
    | none               | none or dead                         | Create                                        |
    | one or several     | works, of one of them                | UpToDate; to be renewed: Create, delete own   |
    | one or several     | dead, of one that is ours            | Create, delete own                            |
    | one or several     | works, of one that is not as asked   | as lost, but no other than own are deleted    |
    | one or several, own| none, or of no key that is ours      | lost; replace deletes own                     |
    | one or several     | none, or dead                        | lost; replace deletes all of them             |
    """
    strangers = [token for token in there.saved if token.works and token.key_id not in there.ids]
    for stranger in strangers:
        if stranger.key_id not in there.made or (there.keys and not there.own):
            raise _somebody_elses(asked, stranger)
    if not there.keys:
        why = [f"the token of key {token.key_id} no longer works: {token.reason}" for token in there.saved]
        return Create("the settings were changed" if strangers else "; ".join(["there is none of that name", *why]))

    fitting = {key.id for key in there.keys if key.read_only == asked.read_only}
    working = [token for token in there.saved if token.works and token not in strangers]
    # One that is to be deleted may have come back, from a backup or with earlier settings.
    usable = sorted((token for token in working if token.key_id in fitting), key=lambda one: one.key_id in there.doomed)
    if usable and not renew:
        current = usable[0].key_id
        doomed = tuple(one for one in there.doomed if one != current)
        return UpToDate(usable[0], doomed, tuple(one for one in there.ids if one not in (current, *doomed)))
    if working and renew:
        return _create("it is to be replaced", there.ids, there.own)
    dead = [token for token in there.saved if not token.works and token.key_id in there.own]
    if dead and not working:
        return _create(f"its token no longer works: {dead[0].reason}", there.ids, there.own)

    what = "its token is lost: a server shows a token only once"
    if working:
        what = (
            "it may change things, and a read-only key is asked for"
            if asked.read_only
            else "it is read-only, and that is not asked for"
        )
    if asked.on_lost_token is OnLostToken.REPLACE:
        return _create(what, there.ids, there.own or there.ids)
    if asked.on_lost_token is OnLostToken.ADD:
        return _create(what, there.ids, ())
    raise _lost(asked, there, what)


def _create(because: str, ids: tuple[str, ...], delete: tuple[str, ...]) -> Create:
    return Create(because, delete, tuple(one for one in ids if one not in delete))


def to_revoke(asked: KeySettings, there: There, every: bool) -> tuple[str, ...]:
    """Ids of the keys to delete: this job's own of the name; with `every` all of the name. Raises TokenError."""
    for token in there.saved:
        if token.works and token.key_id not in {*there.ids, *there.made}:
            raise _somebody_elses(asked, token)
    if every or not there.ids or there.own:
        return there.ids if every else there.own
    raise TokenError(
        f"{_which(asked.name, there.ids)}, and no saved token says that it is this job's",
        "if nobody else uses it, revoke --all deletes every key of the name",
    )


def _somebody_elses(asked: KeySettings, token: Saved) -> TokenError:
    key, key_id, called = token.key, token.key_id, asked.called
    what = f"it is key {key.name!r} in scope {key.scope} (id {key_id}), not" if key else f"its key {key_id} is not"
    return TokenError(
        f"the token in {token.output} works, but {what} {asked.name!r} in this scope",
        f"it may be somebody else's and is kept: correct {called('API_KEY_NAME')} or {called('API_KEY_SCOPE')}, or "
        "remove the token",
    )


def _lost(asked: KeySettings, there: There, what: str) -> TokenError:
    doomed, called = there.own or there.ids, asked.called
    if there.own:
        others = "the others stay" if len(there.ids) > len(there.own) else "nothing else is touched"
        which = f"deletes {listed(doomed)}, which this job made ({others})"
    else:
        which = "deletes it" if len(doomed) == 1 else "deletes all of them"
    return TokenError(
        f"{_which(asked.name, there.ids)}, and {what}",
        f"if another stack or machine uses that key, take another {called('API_KEY_NAME')}; if its token is in another "
        f"file, name that file; only if nobody uses it: {called('ON_LOST_TOKEN', 'replace')} makes a new key and "
        f"{which}, {called('ON_LOST_TOKEN', 'add')} makes one beside it",
    )


def _which(name: str, ids: tuple[str, ...]) -> str:
    if len(ids) == 1:
        return f"key {name!r} exists (id {ids[0]})"
    return f"{len(ids)} keys {name!r} exist (ids {listed(ids)})"


def listed(ids: Iterable[str]) -> str:
    """For a message, which may be about hundreds of them."""
    every = list(ids)
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return ", ".join(every[:_LISTED]) + more
