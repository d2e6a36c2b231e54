"""KUBERNETES_SECRET: the token under one name in a Secret, and what the job remembers in its annotation.

There is no lock in a cluster that a killed run gives back. So a run says in its record that it is at work, and every
patch carries the resourceVersion that was read: of two writers one gets a conflict. It reads again. Has its own record
not changed, it patches again; otherwise another run has taken the key over, and it begins anew (Overtaken). A record
that says so and has not changed for `STALE` seconds, by one's own monotonic clock, is a killed run's, and is taken
over. Should that run wake up, its next patch is a conflict, and it patches before it deletes what seems to be left
over on the server, which may be the other one's by then (whatever its own clock says, which stands still while a
machine is suspended). Token and record change in one patch.
"""

import base64
import codecs
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator

from init_job import log, signals
from init_job.errors import InitJobError, NotReady, OutputError, Overtaken, Unavailable
from init_job.outputs import annotation
from init_job.outputs.annotation import Record, Seen
from init_job.outputs.interface import Format, IssuedKey
from init_job.outputs.place import Edit, Place
from init_job.servers.kubernetes import Cluster, Conflict, Missing, Named
from init_job.state import Memory, State, parsed

STALE = 30.0  # seconds


class SecretData(Format):
    """One or two names in the data of a Secret; a content is a JSON object of them, in base64 as the API has them."""

    variable = "KUBERNETES_SECRET"

    def __init__(self, name: str, scope_id_name: str = "") -> None:
        """`scope_id_name`: also this name, for the id of the key's tenant, organization or application."""
        self.part = name
        self._scope_id_name = scope_id_name

    @property
    def names(self) -> tuple[str, ...]:
        return (self.part, self._scope_id_name) if self._scope_id_name else (self.part,)

    def token(self, content: bytes) -> str:
        value = base64.b64decode(json.loads(content).get(self.part, ""))
        try:
            return value.removeprefix(codecs.BOM_UTF8).decode().strip()
        except UnicodeDecodeError:
            raise ValueError("it holds no text in UTF-8, so no token either") from None

    def render(self, content: bytes, key: IssuedKey) -> bytes:
        values = json.loads(content) | {self.part: _encoded(key.token)}
        if self._scope_id_name and key.scope_id:
            values[self._scope_id_name] = _encoded(key.scope_id)
        return json.dumps(values).encode()

    def erase(self, content: bytes) -> bytes:
        """The scope's id is no secret, and stays true."""
        return json.dumps({name: value for name, value in json.loads(content).items() if name != self.part}).encode()


class Secret(Place):
    def __init__(self, cluster: Cluster, secret: Named, names: tuple[str, ...]) -> None:
        """`names` are what of its data is this job's; the first one is the token's, and its record's."""
        self._cluster = cluster
        self._secret = secret
        self._names = names
        self._seen: Seen | None = None
        """As it was read or answered last; None: it has to be read."""
        self._own: tuple[Record, ...] = ()
        """The record as this run knows it: as it was read, or written, or perhaps written."""
        self._memory: _Annotation | None = None
        self._run = os.urandom(4).hex()
        self._count = 0

    def __str__(self) -> str:
        return f"{self._secret} ({self._names[0]})"

    @contextlib.contextmanager
    def remembering(self, patience: float | None) -> Iterator[Memory]:
        self._seen = None
        self._own = (self._look().records.get(self._names[0]),)
        if patience is None:
            yield Memory(self._remembered())
            return
        self._wait_for_others(patience)
        self._memory = _Annotation(self, self._remembered())
        try:
            yield self._memory
        except Overtaken:
            raise
        except InitJobError as error:
            # What the other one does may be the reason: a key whose token is on its way looks like a lost one.
            if self._is_overtaken():
                raise self._overtaken() from error
            self._release()
            raise
        self._release()

    def read(self, anyones: bool = False) -> bytes:
        return self._look().content(self._names)

    def change(self, edit: Edit, only_try: bool = False) -> bool:
        if not only_try:
            then = self._memory.pending if self._memory else None
            has_changed = self.write(edit, then)
            if self._memory and then is not None:
                self._memory.state = then
            return has_changed
        content = self.read()
        data = annotation.differences(content, edit(content) or b"{}")
        if data:
            self._prove({"data": data})
        return bool(data)

    def write(self, edit: Edit, then: State | None = None) -> bool:
        """Whether the data had to change; `then` is what is remembered with it. Raises OutputError, Overtaken."""
        if then is None:
            return self._patch(edit, lambda record: record)
        self._count += 1
        wanted = annotation.record(then, f"{self._run}-{self._count}")
        return self._patch(edit, lambda record: wanted)

    def _patch(self, edit: Edit, amend: Callable[[Record], Record]) -> bool:
        has_changed = False

        def attempt() -> None:
            nonlocal has_changed
            while True:
                there = self._seen or self._read()
                record = there.records.get(self._names[0])
                if record not in self._own:
                    raise self._overtaken()
                content = there.content(self._names)
                data = annotation.differences(content, edit(content) or b"{}")
                has_changed = has_changed or bool(data)
                wanted = amend(record)
                patch = there.patch(data, self._names[0], wanted)
                if patch is not None:
                    self._own = (*self._own, wanted)
                    try:
                        self._seen = annotation.seen(self._cluster.patch(self._secret, patch))
                    except Conflict:
                        if self._read().version == there.version:
                            raise  # it is about something else
                        continue
                    except Unavailable as error:
                        if error.in_doubt:
                            self._seen, self.is_in_doubt = None, True
                        raise
                    if self._seen.records.get(self._names[0]) != wanted:
                        raise OutputError(
                            f"{self._secret}: its annotation {annotation.NAME} does not stay as it is written",
                            "an admission webhook of the cluster changes it: let it pass this Secret",
                        )
                # Otherwise it is there already: an answer was lost.
                self._own = (wanted,)
                return

        self._cluster.patiently(attempt)
        return has_changed

    def _prove(self, patch: dict[str, object]) -> None:
        try:
            self._cluster.patiently(lambda: self._cluster.patch(self._secret, patch, only_try=True))
        except OutputError as error:
            if "does not support dry run" not in str(error):  # an admission webhook's limit, and no answer
                raise

    def _look(self) -> Seen:
        return self._seen or self._cluster.patiently(self._read)

    def _read(self) -> Seen:
        """In one try."""
        self._seen = None
        try:
            self._seen = annotation.seen(self._cluster.read(self._secret))
        except Missing:
            self.is_in_doubt = False
            raise
        self.is_in_doubt = False
        return self._seen

    def _remembered(self) -> State:
        return parsed(self._own[0], f"the record of {self}")

    def _wait_for_others(self, patience: float) -> None:
        """Until no other run is at work on the key. Raises NotReady when one is for longer than `patience` seconds; a
        killed one is waited for in any case, or a short patience would never get past it."""
        start = since = time.monotonic()
        pause, is_told = 0.1, False
        while annotation.is_claimed(record := self._own[0]):
            now = time.monotonic()
            if now - since >= STALE:
                log.info("taken-over", f"the run that was at work on {self} has not been heard of for {STALE:g} s")
                return
            if now - start > max(patience, STALE):
                raise NotReady(
                    f"another run has been at work on {self} for all of WAIT_TIMEOUT",
                    "look at that one's log, or give each job a variable of its own",
                )
            if not is_told:
                is_told = True
                log.info("locked", f"another run is at work on {self}: waiting for it")
            signals.sleep(pause)
            pause = min(2 * pause, 1.0)
            self._own = (self._cluster.patiently(self._read).records.get(self._names[0]),)
            if self._own[0] != record:
                since = time.monotonic()

    def _is_overtaken(self) -> bool:
        """As far as it can be told in one try."""
        try:
            return self._read().records.get(self._names[0]) not in self._own
        except (Unavailable, OutputError):
            return False

    def _overtaken(self) -> Overtaken:
        return Overtaken(
            f"another run has been at work on {self} meanwhile",
            f"does something else change its annotation {annotation.NAME}, such as Argo CD with self-heal?",
        )

    def _release(self) -> None:
        """Nobody has to wait for this run any more. Where that cannot be said, the next one waits in vain."""
        if self._seen and annotation.is_claimed(self._seen.records.get(self._names[0])):
            with contextlib.suppress(OutputError, Overtaken):
                self._patch(lambda content: content, annotation.released)


class _Annotation(Memory):
    """This run's, in the annotation of the Secret."""

    def __init__(self, secret: Secret, state: State) -> None:
        super().__init__(state)
        self._secret = secret
        self._saved = time.monotonic()
        self.pending: State | None = None
        """To be remembered with the next change of the data."""

    def save(self, state: State) -> None:
        self._secret.write(lambda content: content, state)
        self._saved = time.monotonic()
        super().save(state)

    @contextlib.contextmanager
    def saving(self, state: State) -> Iterator[None]:
        self.pending = state
        try:
            yield
        finally:
            self.pending = None
        self.save_if_possible(state)  # unless it was

    def claim(self) -> None:
        self.save(self.state)

    def renew(self) -> None:
        if time.monotonic() - self._saved > STALE / 3:
            self.claim()


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
