"""Which ChirpStack is it? The first generation whose readiness probe gets its answer."""

from init_job.errors import Unavailable
from init_job.servers import explain
from init_job.servers.http import Http
from init_job.servers.interface import Server
from init_job.servers.v3 import V3
from init_job.servers.v4 import V4
from init_job.wait import Patience

GENERATIONS: dict[str, type[V3] | type[V4]] = {"v4": V4, "v3": V3}


def detect(http: Http, patience: Patience, api: str, likely: str = "", health_url: str = "") -> Server:
    """A server that is ready. `api` is `v3`, `v4` or `auto`; `likely` only says which to try first.

    One request when the first guess is right. Raises NotReady.
    """
    return patience.call(lambda: _detect(http, patience, api, likely, health_url))


def _detect(http: Http, patience: Patience, api: str, likely: str, health_url: str) -> Server:
    """Raises Unavailable when it is none. Trouble says nothing about the generation: each probe outlasts it."""
    if health_url:
        answer = http.get(health_url)
        if not 200 <= answer.status < 300:
            raise Unavailable(f"HEALTH_URL: {answer}", retry_after=answer.retry_after)
    refusals = []
    for generation in sorted(GENERATIONS, key=lambda one: one != likely):
        if api not in ("auto", generation):
            continue
        server = GENERATIONS[generation](http, patience)
        refusal = server.probe()
        if refusal is None:
            return server
        refusals.append(refusal)
    # Whoever recognised what it is says most.
    told = next((refusal for refusal in reversed(refusals) if refusal.hint), refusals[-1])
    name = {"auto": "no ChirpStack", "v3": "no ChirpStack v3", "v4": "no ChirpStack v4"}[api]
    hint = told.hint
    if api != "auto" and hint == explain.NOT_CHIRPSTACK:
        hint += f"; if that is not ChirpStack {api}, do not set CHIRPSTACK_API"
    error = Unavailable(f"this is {name}: {told}", hint)
    error.lasting = all(refusal.lasting for refusal in refusals)
    raise error
