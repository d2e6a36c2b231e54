"""`make run`: the job at work, twice. Against CHIRPSTACK_URL if that is set, otherwise against the simulator."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FOLDER = Path(".run")
_SIMULATED = (("v4", "4.19.0"), ("v3", "3.17.9"))


def main() -> int:
    given = os.environ.get("CHIRPSTACK_URL")
    if given:
        return run_twice(given, dict(os.environ), _FOLDER / "server")
    for api, version in _SIMULATED:
        print(f"\n=== a simulated ChirpStack {version}, ready in two seconds; another one: CHIRPSTACK_URL=… make run")
        folder = _FOLDER / api
        shutil.rmtree(folder, ignore_errors=True)
        with simulator(api, version) as url:
            kept = {name: os.environ[name] for name in ("PATH", "TERM", "NO_COLOR") if name in os.environ}
            environment = {**kept, "CHIRPSTACK_PASSWORD": "admin"}
            if code := run_twice(url, environment, folder):
                return code
    return 0


def run_twice(url: str, environment: dict[str, str], folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    token_file = environment.setdefault("TOKEN_FILE", str(folder / "chirpstack_api_token"))
    environment["CHIRPSTACK_URL"] = url
    for which in ("first", "second"):
        print(f"\n--- the {which} run: CHIRPSTACK_URL={url} TOKEN_FILE={token_file} python -m init_job", flush=True)
        code = subprocess.run([sys.executable, "-m", "init_job"], env=environment, check=False).returncode
        if code:
            return code
    if token_file != "-":
        token = Path(token_file).read_text().strip()
        print(f"\n{token_file} holds the token: {token[:12]}…{token[-4:]} ({len(token)} characters)")
    return 0


@contextmanager
def simulator(api: str, version: str) -> Iterator[str]:
    """The simulator as a program; yields its URL, on which it listens after two seconds."""
    command = [sys.executable, "-m", "tests.simulator", "--api", api, "--version", version, "--starts-after", "2s"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
