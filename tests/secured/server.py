"""A ChirpStack that speaks TLS, and the job in a folder of its own."""

import ssl
from pathlib import Path
from typing import Any

from tests.simulator import Simulator
from tests.support import PASSWORD, Run, run_job

NAME = "init-job"
VERSIONS = {"v3": "3.17.9", "v4": "4.19.0"}


class TlsSimulator(Simulator):
    """The simulator with TLS on all its ports."""

    def __init__(self, api: str, context: ssl.SSLContext, **options: Any) -> None:
        super().__init__(api, VERSIONS[api], **options)  # type: ignore[arg-type]
        self._context = context
        self.set_password("admin", PASSWORD)

    def bind(self) -> None:
        super().bind()
        for listener in self._listeners:
            # The handshake comes with the first read, in the connection's own thread.
            listener.socket = self._context.wrap_socket(
                listener.socket, server_side=True, do_handshake_on_connect=False
            )

    def _url(self, index: int) -> str:
        return super()._url(index).replace("http://127.0.0.1", "https://localhost")


class Site:
    """A user's folder, and the job with it; `settings` are the same for all its runs."""

    def __init__(self, folder: Path, url: str, **settings: str | Path) -> None:
        self.folder = folder
        self.url = url
        self.settings = settings
        self.token_file = folder / "token"

    def variables(self, **variables: str | Path) -> dict[str, str | Path]:
        return {
            "CHIRPSTACK_URL": self.url,
            "CHIRPSTACK_PASSWORD": PASSWORD,
            "TOKEN_FILE": self.token_file,
            **self.settings,
            **variables,
        }

    def run(self, *arguments: str, **variables: str | Path) -> Run:
        return run_job(self.folder, *arguments, variables=self.variables(**variables))

    def try_once(self, **variables: str | Path) -> Run:
        return self.run(WAIT_TIMEOUT="0", **variables)

    @property
    def token(self) -> str:
        return self.token_file.read_text().strip()


def expect_first_and_second_run(simulator: Simulator, site: Site, **variables: str | Path) -> list[Run]:
    """The first creates the key, the second has nothing to do."""
    first = site.run(**variables)
    assert first.code == 0, first.err
    keys = simulator.keys(NAME)
    assert len(keys) == 1
    assert simulator.token_works(site.token)
    simulator.clear_requests()
    second = site.run(**variables)
    assert second.code == 0, second.err
    assert "up to date" in second.messages[-1]
    assert len(simulator.requests) == 1
    assert simulator.keys(NAME) == keys
    return [first, second]
