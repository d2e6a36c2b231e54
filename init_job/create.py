"""A new key, so that a crash at any moment leaves nothing that the next run does not mend.

Outputs proven writable → intent saved → create → listed back → token checked → outputs written → state saved → old
keys deleted. From the create to the state, termination is put off.
"""

import time
from collections.abc import Iterable
from dataclasses import replace

from init_job import log, signals
from init_job.errors import AccountError, InitJobError, NotReady, OutputError, ServerRefusal, TokenError, Unavailable
from init_job.job import Job, now
from init_job.servers.interface import Key, NewKey, ResolvedScope
from init_job.state import Intent, MadeKey, State
from init_job.tokens import Kind, read_claims

_RIVAL_PATIENCE = 3.0  # seconds


class Creation:
    """One key of the name and scope that the settings ask for."""

    def __init__(self, job: Job, scope: ResolvedScope, known: list[Key], doomed: tuple[str, ...] = ()) -> None:
        """`known` are the keys of the name there are; `doomed` the ids among them to delete in the end."""
        self._job = job
        self._scope = scope
        self._known = {key.id for key in known}
        self._doomed = doomed
        self._tried = False
        self._unanswered = False
        """A create of this run had no answer: the server may carry it out even when the run has ended."""

    def run(self) -> MadeKey:
        """Raises OutputError before anything is created, and whatever the server or another job give reason for."""
        job, asked = self._job, self._job.settings
        job.prove_outputs()
        intent = Intent(asked.key_name, str(asked.scope), asked.url, tuple(sorted(self._known)), self._doomed)
        try:
            job.memory.save(replace(job.memory.state, intent=intent))
        except OSError as error:
            raise OutputError(
                f"the state file cannot be written: {error.strerror}",
                "free some space on the volume, or check its file system",
            ) from error
        made = job.patience.call(self._attempt)
        finish(job, self._doomed, self._unanswered)
        return made

    def _attempt(self) -> MadeKey:
        """Create, and bring the token to disk. Unavailable: maybe there is a key now that nobody knows the token of."""
        server, asked = self._job.server, self._job.settings
        if self._tried:
            for key in server.list_keys(self._scope, asked.key_name):
                if key.id not in self._known:
                    log.info("unread", f"deleting key {key.id}: the answer with its token was lost", id=key.id)
                    server.delete_key(key.id)
        self._tried = True
        with signals.shield():
            try:
                new = server.create_key(self._scope, asked.key_name, asked.read_only)
            except (AccountError, ServerRefusal):
                self._forget_intent()
                raise
            except Unavailable:
                self._unanswered = True
                raise
            log.hide(new.token)
            try:
                return self._to_disk(new)
            except InitJobError as error:
                self._undo(new, error)
                raise

    def _to_disk(self, new: NewKey) -> MadeKey:
        job = self._job
        claims = read_claims(new.token)
        if claims.kind is not Kind.API_KEY or claims.key_id != new.id.lower():
            raise ServerRefusal(
                f"the server answered the create of a key with {claims.kind.value}, not with the new key's token",
                "is something between the job and the server that changes its answers?",
            )
        listed = job.list_keys(self._scope)
        self._look_at(new, listed)
        self._give_way_to_rivals(new, listed)
        status = job.check(new.token)
        if not status.works:
            raise ServerRefusal(
                f"the server does not accept the token that it has just made: {status.reason}",
                "do several servers with different secrets answer at CHIRPSTACK_URL?",
            )
        made = replace(job.made_key(new.id), created=now())
        written = job.write_outputs(new.token, made)
        remember(job, made, self._doomed, self._known if self._unanswered else None)
        log.debug("written", f"wrote the token to {', '.join(written)}", id=new.id, outputs=written)
        return made

    def _look_at(self, new: NewKey, listed: list[Key]) -> None:
        """The list shows what was made: v4 before 4.17 silently drops is_read_only (contract §0.6)."""
        asked = self._job.settings
        found = next((key for key in listed if key.id == new.id), None)
        if found is None:
            raise ServerRefusal(f"the new key is not listed under {self._scope}", "look at the server's log")
        if found.read_only != asked.read_only:
            raise ServerRefusal(
                "the server made a key that is not read-only",
                "upgrade it to v4.17 or later, or unset API_KEY_READ_ONLY",
            )

    def _give_way_to_rivals(self, new: NewKey, listed: list[Key]) -> None:
        """Of the keys that jobs on other volumes make at the same time the one with the smallest id stays, unless its
        job came after another one that has ended. Raises TokenError when this is not the one."""
        deadline = time.monotonic() + _RIVAL_PATIENCE
        while True:
            rivals = {key.id for key in listed} - self._known - {new.id}
            if not rivals:
                return
            if min(rivals) < new.id or time.monotonic() > deadline:
                raise TokenError(
                    f"another job made key {min(rivals)} of the same name at the same time",
                    "give each job an API_KEY_NAME of its own, or let them share one volume",
                )
            signals.sleep(0.1)
            listed = self._job.list_keys(self._scope)

    def _undo(self, new: NewKey, error: InitJobError) -> None:
        """No key is left behind, unless some output holds its token by now: then the next run completes the others."""
        if isinstance(error, OutputError) and any(saved.token == new.token for saved in self._job.saved_tokens()):
            return
        if isinstance(error, NotReady):
            return  # the next run finds the key through the intent
        try:
            self._job.server.delete_key(new.id)
            self._forget_intent()
        except (InitJobError, Unavailable) as failed:
            log.warning(
                "left-behind", f"key {new.id} could not be deleted again ({failed}): the next run does it", id=new.id
            )

    def _forget_intent(self) -> None:
        if not self._unanswered:
            memory = self._job.memory
            memory.save_if_possible(replace(memory.state, intent=None))


def remember(job: Job, made: MadeKey, doomed: tuple[str, ...] = (), watched: Iterable[str] | None = None) -> None:
    """The key is in the outputs. What is left for later stays an intent: keys to delete, and after a create without
    an answer a look at what is there besides the made key and the `watched` ones that were there before."""
    asked, intent = job.settings, None
    if doomed or watched is not None:
        known = {*doomed, *(watched or ()), made.id}
        intent = Intent(asked.key_name, str(asked.scope), asked.url, tuple(sorted(known)), doomed)
    job.memory.save_if_possible(State(made, intent))


def finish(job: Job, doomed: tuple[str, ...], watching: bool = False) -> None:
    """Delete what the new key replaces."""
    for key_id in doomed:
        job.delete_key(key_id)
    if doomed:
        state = job.memory.state
        left = replace(state.intent, doomed=()) if state.intent and watching else None
        job.memory.save_if_possible(replace(state, intent=left))
