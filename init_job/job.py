"""What every command works with: one key of a run."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from init_job.errors import Unavailable
from init_job.outputs.env_file import EnvFile
from init_job.outputs.interface import IssuedKey, Output
from init_job.outputs.json_file import JsonFile
from init_job.outputs.token_file import TokenFile
from init_job.run import Run
from init_job.servers.interface import ResolvedScope, TokenStatus
from init_job.settings import KeySettings
from init_job.state import MadeKey, Memory, State
from init_job.tokens import read_claims

_NO_EARLIER = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SavedToken:
    """An API token found in an output."""

    token: str
    key_id: str
    output: str


class Job:
    """One key: what is asked of it, its outputs, and what is remembered of it."""

    def __init__(self, run: Run, asked: KeySettings) -> None:
        self.run = run
        self.asked = asked
        # First, because it outlives the pod: it is what remembers, and what is written first.
        self.outputs = _secrets(run, asked)
        self.outputs += [
            Output(form, path, asked.file_mode, asked.called)
            for form, path in (
                (TokenFile(), asked.token_file),
                (EnvFile(asked.env_var, asked.env_scope_id_var), asked.env_file),
                (JsonFile(), asked.json_file),
            )
            if path
        ]
        self.memory = Memory()
        self.lacking: list[Output] = []
        """Those without a token, once `saved_tokens` has looked."""

    @property
    def identity(self) -> tuple[str, str, str]:
        return self.run.settings.url, self.asked.name, str(self.asked.scope)

    @contextlib.contextmanager
    def remembering(self) -> Iterator[None]:
        """For this run alone, or only looked at. The first of the places that can remember does it for all."""
        places = [output.place for output in self.outputs]
        place = next((one for one in places if one.is_kept), places[0])
        with place.remembering(self.run.patience.left if self.run.may_change else None) as self.memory:
            yield

    def saved_tokens(self) -> list[SavedToken]:
        """Each distinct token once, in the order of the outputs. Raises OutputError."""
        found: dict[str, SavedToken] = {}
        self.lacking = []
        for output in self.outputs:
            if token := output.read():
                claims = read_claims(token)
                found.setdefault(token, SavedToken(token, claims.key_id, str(output)))
                self.run.likely_api = claims.api
            else:
                self.lacking.append(output)
        return list(found.values())

    def remembers(self, saved: list[SavedToken]) -> MadeKey | None:
        """The key of the only saved token, if this job made it under exactly these settings."""
        made = self.memory.state.key
        if made is None or [one.key_id for one in saved] != [made.id]:
            return None
        same = (made.identity, made.read_only) == (self.identity, self.asked.read_only)
        return made if same else None

    def still_works(self, made: MadeKey, saved: SavedToken) -> bool:
        """One request when it does. Any doubt is a no: then the server is waited for and asked for everything. Raises
        ConfigurationError when another key of the run is the same one."""
        if self.memory.state.intent:
            return False  # whatever a run has left is to be looked at
        scope = where(made)
        self.run.claim(made.name, scope, self)
        asked = self.run.settings
        if not asked.health_url and asked.api in ("auto", made.api):
            try:
                return self.run.asked_once(made.api).check_token(saved.token, made.id, scope).works
            except Unavailable:
                pass
        return self.check(saved, scope).works

    def check(self, saved: SavedToken, scope: ResolvedScope | None = None) -> TokenStatus:
        """`scope` is where the key is, as far as that is known."""
        api = read_claims(saved.token).api
        if api != self.run.server.api:
            return TokenStatus(False, f"it is a token of ChirpStack {api}, and the server is {self.run.server.api}")
        return self.run.server.check_token(saved.token, saved.key_id, scope)

    def made_key(self, key_id: str, scope: ResolvedScope) -> MadeKey:
        """What to remember of a key made under these settings."""
        server = self.run.server
        created = next((made.created for made in self.memory.state.made if made.id == key_id), "")
        return MadeKey(
            key_id, self.asked.name, str(self.asked.scope), scope.id, self.asked.read_only, self.run.settings.url,
            server.api, server.version, created,
        )  # fmt: skip

    def write_outputs(self, token: str, made: MadeKey, then: State) -> list[str]:
        """Names of the outputs that had to change; `then` is remembered with it. Raises OutputError, Overtaken."""
        if not self.run.may_change:
            return [str(output) for output in self.lacking]
        issued = IssuedKey(
            token, made.id, made.name, made.scope, made.read_only, made.server, made.api, made.version, made.scope_id
        )
        with self.memory.saving(then):
            return [str(output) for output in self.outputs if output.write(issued)]

    def empty_outputs(self, kept: set[str]) -> list[str]:
        """Names of the outputs from which the token is removed; the `kept` tokens stay. Raises OutputError."""
        held = [output for output in self.outputs if (token := output.text()) and token not in kept]
        return [str(output) for output in held if not self.run.may_change or output.remove()]

    def prove(self, outputs: list[Output]) -> None:
        """That they can be written, with a key as large as one gets. Raises OutputError."""
        asked, filler = self.asked, "0" * 300
        token = f"{filler}.{filler}.{filler}"
        issued = IssuedKey(
            token, filler, asked.name, str(asked.scope), asked.read_only, self.run.settings.url, filler, filler, filler
        )
        for output in outputs:
            output.prove_writable(issued)


def _secrets(run: Run, asked: KeySettings) -> list[Output]:
    if not asked.kubernetes_secret:
        return []
    from init_job.outputs.secret import Secret, SecretData  # others do not pay for it
    from init_job.servers.kubernetes import Named

    form = SecretData(asked.env_var, asked.env_scope_id_var)
    return [
        Output(form, Secret(run.cluster, Named(*asked.kubernetes_secret.split("/")), form.names), called=asked.called)
    ]


def where(made: MadeKey) -> ResolvedScope:
    return ResolvedScope(made.scope.partition(":")[0], made.scope_id)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def age(made: MadeKey, at: datetime) -> float:
    """Seconds between the making of the key and `at`; endless when that is not known.

    Clocks are wrong, above all those of boards without a battery. A key that was made a moment ahead of the clock is
    young, one made years ahead (by a clock that was wrong then) is not. A clock that shows a time before there was this
    program says nothing of any key: 0, and a later run will know.
    """
    if at < _NO_EARLIER:
        return 0.0
    try:
        return abs((at - datetime.fromisoformat(made.created)).total_seconds())
    except (ValueError, TypeError):
        return float("inf")
