"""`revoke`: the named key is gone from the server, and its token from the outputs."""

from dataclasses import replace

from init_job.decide import listed, to_revoke
from init_job.job import Job
from init_job.survey import survey, tell_of_more


def revoke(job: Job, every: bool = False) -> str:
    """What was done, in one line. Raises InitJobError; TokenError when a key or a saved token is somebody else's."""
    tokens = job.saved_tokens()
    job.run.log_in()
    _, there = survey(job, tokens)
    doomed = to_revoke(job.asked, there, every)
    # First the server: a token that is left on disk by a crash is dead, and the next run removes it.
    for key_id in doomed:
        job.run.delete_key(key_id)
    kept = {token.token for token in there.saved if token.works and token.key_id not in doomed}
    state = job.memory.state
    made = tuple(one for one in state.made if one.id not in doomed)
    still = next((one for one in made if one == state.key), None)
    with job.memory.saving(replace(state, key=still, left=tuple(one for one in made if one != still), intent=None)):
        removed = job.empty_outputs(kept)
    tell_of_more(job, [key_id for key_id in there.ids if key_id not in doomed])
    key = f"key {listed(doomed)}" if doomed else "no key, there was none"
    token = ", ".join(removed) or "no output, there was none"
    if not job.run.may_change:
        return f"would delete {key} and remove the token from {token}"
    return f"deleted {key}; removed the token from {token}"
