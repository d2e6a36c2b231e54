"""A new key, so that a crash at any moment leaves nothing that the next run does not mend.

Outputs proven writable → intent saved → create → listed back → token checked → outputs written → state saved → old
keys deleted. From the create to the state, termination is put off.
"""

import time
from dataclasses import replace

from init_job import log, signals
from init_job.decide import Create
from init_job.errors import AccountError, InitJobError, NotThere, ServerRefusal, TokenError, Unavailable
from init_job.job import Job, now
from init_job.servers.interface import Key, NewKey, ResolvedScope
from init_job.state import Intent, MadeKey, State
from init_job.tokens import Kind, read_claims

_RIVAL_PATIENCE = 3.0  # seconds


class Creation:
    """One key of the name and scope that the settings ask for."""

    def __init__(self, job: Job, scope: ResolvedScope, known: tuple[str, ...], decision: Create) -> None:
        """`known` are the ids of the keys of the name there are."""
        self._job = job
        self._scope = scope
        self._known = frozenset(known)
        self._decision = decision
        self._before = job.memory.state
        asked, url = job.asked, job.run.settings.url
        self._intent = Intent(asked.name, str(asked.scope), url, tuple(sorted(known)), decision.delete)
        self._intended = replace(self._before, intent=self._intent)
        self._unanswered = 0
        """Creates of this run without an answer, but for those whose keys were found."""
        self._is_away = False
        """Nothing was there to answer the last create."""
        self._then = self._before
        """What to remember should the run end now: as before when nothing can have been made, as intended when there
        may be a key whose token nobody has (a create without an answer may be carried out even when the run has
        ended), or the key that was made."""

    def run(self) -> MadeKey:
        """Raises OutputError before anything is created, and whatever the server or another job give reason for."""
        job = self._job
        job.prove(job.outputs)
        job.memory.save(self._intended)
        try:
            made = job.run.patience.call(self._attempt)
            for key_id in self._decision.delete:
                job.run.delete_key(key_id)
            self._then = self._remembering(made, ())
        finally:
            job.memory.save_if_possible(self._then)
        return made

    def _attempt(self) -> MadeKey:
        """Create, and bring the token to disk. Unavailable: the create had no answer."""
        server, asked, memory = self._job.run.server, self._job.asked, self._job.memory
        is_lost, is_taken_back = self._then == self._intended, memory.state != self._intended
        # Of a server that is not there: what was taken back is intended anew when it answers, and not at each try.
        listed = server.list_keys(self._scope, asked.name) if is_lost or self._is_away else []
        unknown = [key.id for key in listed if key.id not in self._known] if is_lost else []
        if unknown or is_taken_back:
            memory.save(self._intended)  # only now: another run's key may be in the list
        else:
            memory.renew()
        for key_id in unknown:
            self._job.run.delete_key(key_id, "the answer with its token was lost")
            self._unanswered -= 1
        with signals.shield():
            earlier, self._then = self._then, self._intended
            try:
                new = server.create_key(self._scope, asked.name, asked.read_only)
            except (AccountError, ServerRefusal):
                self._then = earlier
                raise
            except Unavailable as error:
                self._is_away = isinstance(error, NotThere)
                self._unanswered += error.in_doubt
                if not error.in_doubt:
                    # At once: should this run be killed while it waits, a key of the name is somebody else's.
                    self._then = earlier
                    memory.save_if_possible(earlier)
                raise
            log.hide(new.token)
            log.info("created", f"made key {new.id} on the server: {self._decision.because}", id=new.id)
            try:
                made = self._to_disk(new)
            except InitJobError:
                if self._is_undone(new):
                    self._then = earlier
                raise
            self._then = self._job.memory.state
            return made

    def _to_disk(self, new: NewKey) -> MadeKey:
        job = self._job
        claims = read_claims(new.token)
        if claims.kind is not Kind.API_KEY or claims.key_id != new.id.lower():
            raise ServerRefusal(
                f"the server answered the create of a key with {claims.kind.value}, not with the new key's token",
                "is something between the job and the server that changes its answers?",
            )
        listed = job.run.server.list_keys(self._scope, job.asked.name)
        self._look_at(new, listed)
        self._give_way_to_rivals(new, listed)
        status = job.run.server.check_token(new.token, new.id, self._scope)
        if not status.works:
            raise ServerRefusal(
                f"the server does not accept the token that it has just made: {status.reason}",
                "do several servers with different secrets answer at CHIRPSTACK_URL?",
            )
        made = replace(job.made_key(new.id, self._scope), created=now())
        written = job.write_outputs(new.token, made, self._remembering(made, self._decision.delete))
        log.debug("written", f"wrote the token to {', '.join(written)}", id=new.id, outputs=written)
        return made

    def _look_at(self, new: NewKey, listed: list[Key]) -> None:
        """The list shows what was made: v4 before 4.17 silently drops is_read_only (contract §0.6)."""
        found = next((key for key in listed if key.id == new.id), None)
        if found is None:
            raise ServerRefusal(f"the new key is not listed under {self._scope}", "look at the server's log")
        if found.read_only != self._job.asked.read_only:
            raise ServerRefusal(
                "the server made a key that is not read-only",
                f"upgrade it to v4.17 or later, or unset {self._job.asked.called('API_KEY_READ_ONLY')}",
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
                    f"give each job another {self._job.asked.called('API_KEY_NAME')}, or all of them one volume",
                )
            signals.sleep(0.1)
            listed = self._job.run.server.list_keys(self._scope, self._job.asked.name)

    def _is_undone(self, new: NewKey) -> bool:
        """No key is left behind, unless some output holds its token by now: then the next run completes the others."""
        if any(output.holds(new.token) for output in self._job.outputs):
            return False
        try:
            self._job.run.delete_key(new.id, "it came to nothing")
        except InitJobError as failed:
            log.warning(
                "left-behind", f"key {new.id} could not be deleted again ({failed}): the next run does it", id=new.id
            )
            return False
        return True

    def _remembering(self, made: MadeKey, doomed: tuple[str, ...]) -> State:
        """The key is in the outputs. What is left to do stays an intent: keys to delete, and after a create without an
        answer a look at what is there besides."""
        intent = replace(self._intent, known=tuple(sorted({*self._known, made.id})), doomed=doomed)
        is_done = not doomed and self._unanswered <= 0
        return remembering(self._before, made, None if is_done else intent, self._decision.delete)


def remembering(before: State, made: MadeKey, intent: Intent | None, deleted: tuple[str, ...]) -> State:
    """The key whose token is in the outputs, and those that were made under other settings and stay. Another one of
    the same name and scope is not remembered: it is gone, or the user wants to keep it (ON_LOST_TOKEN=add). One that is
    still to be `deleted` is: until then no change of the settings makes it somebody else's."""
    doomed = intent.doomed if intent else ()
    left = tuple(
        one for one in before.made
        if one.id != made.id and (one.id in doomed or (one.id not in deleted and one.identity != made.identity))
    )  # fmt: skip
    return State(made, left, intent)
