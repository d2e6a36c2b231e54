"""`ensure`: a key of the name is there, and its token in every output. `rotate`: the same with a new key."""

from collections.abc import Callable
from datetime import UTC, datetime

from init_job import log
from init_job.create import Creation, remembering
from init_job.decide import Create, UpToDate, decide, listed
from init_job.job import Job, age
from init_job.servers.interface import ResolvedScope
from init_job.state import MadeKey
from init_job.survey import survey, tell_of_more


def ensure(job: Job) -> str:
    """What was done, in one line. Raises InitJobError."""
    return _run(job, lambda made: False)


def rotate(job: Job, older_than: float = 0.0) -> str:
    """The same, with a new key in any case, unless it is remembered that it is younger than that (seconds)."""
    return _run(job, lambda made: made is None or age(made, datetime.now(UTC)) >= older_than)


def _run(job: Job, is_due: Callable[[MadeKey | None], bool]) -> str:
    tokens = job.saved_tokens()
    if not tokens:
        job.run.need_password()
    if job.run.may_change and job.run.is_waited_for:
        job.prove(job.lacking)  # before the wait, not after it
    made = job.remembers(tokens)
    renew = is_due(made)
    if made and not renew and job.still_works(made, tokens[0]):
        return _up_to_date(job, made, job.write_outputs(tokens[0].token, made, job.memory.state))
    job.run.log_in()
    scope, there = survey(job, tokens)
    decision = decide(job.asked, there, renew)
    tell_of_more(job, decision.others)
    if isinstance(decision, Create):
        return _create(job, scope, decision, there.ids)
    return _keep(job, scope, decision)


def _create(job: Job, scope: ResolvedScope, decision: Create, known: tuple[str, ...]) -> str:
    name = job.asked.name
    if not job.run.may_change:
        deleted = f" and delete {listed(decision.delete)}" if decision.delete else ""
        return f"would create key {name!r} ({decision.because}){deleted}"
    before = job.memory.state.key
    new = Creation(job, scope, known, decision).run()
    if before and before in job.memory.state.left:
        log.warning(
            "left",
            f"key {before.name!r} (id {before.id}, scope {before.scope}), which this job made at {before.server}, "
            "still exists",
            id=before.id,
        )
    return f"created key {new.name!r} (id {new.id}){_to(job, [str(output) for output in job.outputs])}"


def _keep(job: Job, scope: ResolvedScope, decision: UpToDate) -> str:
    made = job.made_key(decision.token.key_id, scope)
    before = job.memory.state
    written = job.write_outputs(decision.token.token, made, remembering(before, made, before.intent, decision.delete))
    for key_id in decision.delete:
        job.run.delete_key(key_id)
    job.memory.save_if_possible(remembering(before, made, None, decision.delete))
    return _up_to_date(job, made, written)


def _up_to_date(job: Job, made: MadeKey, written: list[str]) -> str:
    return f"key {made.name!r} (id {made.id}) is up to date{_to(job, written)}"


def _to(job: Job, written: list[str]) -> str:
    if not written:
        return ""
    return f"; its token {'is now' if job.run.may_change else 'would be written'} in {', '.join(written)}"
