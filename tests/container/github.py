"""GitHub's runner, as far as it matters to an action of one script: inputs become variables, the script is bash's, the
commands in what it prints are carried out, secrets are masked, outputs come from a file. How the runner does it:
github.com/actions/runner, src/Runner.Worker/ActionCommandManager.cs and FileCommandManager.cs."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.container.harness import ROOT

ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
INPUTS: dict[str, dict[str, str]] = ACTION["inputs"]
(STEP,) = ACTION["runs"]["steps"]
_COMMANDS = ("add-mask", "error", "warning", "notice", "debug", "set-output", "stop-commands", "group", "endgroup")


@dataclass
class Ran:
    code: int = 0
    printed: list[str] = field(default_factory=list)
    """As the script printed it; nobody sees this."""
    log: list[str] = field(default_factory=list)
    """As users see it."""
    commands: list[tuple[str, str]] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    environment: str = ""
    """What the script set for the steps after it."""


def run(folder: Path, inputs: dict[str, str], path: str = os.environ["PATH"]) -> Ran:
    """`folder` is the checkout."""
    chosen = {name: declared.get("default", "") for name, declared in INPUTS.items()} | inputs
    assert chosen.keys() == INPUTS.keys()
    contexts = {f"inputs.{name}": value for name, value in chosen.items()}
    contexts["github.action_repository || github.repository"] = "Owner/Repository"
    temporary = folder / "runner-temp"
    temporary.mkdir(exist_ok=True)
    script, output, environment = (folder / name for name in ("script.sh", "output", "environment"))
    script.write_text(STEP["run"])
    output.write_text("")
    environment.write_text("")
    variables = {
        **os.environ,
        "PATH": path,
        "RUNNER_TEMP": str(temporary),
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(output),
        "GITHUB_ENV": str(environment),
        **{name: _evaluated(value, contexts) for name, value in STEP["env"].items()},
    }
    command = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script))
    done = subprocess.run(
        command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    ran = Ran(done.returncode, done.stdout.splitlines(), environment=environment.read_text())
    _carry_out(ran)
    values = _outputs(output.read_text())
    contexts = {f"steps.{STEP['id']}.outputs.{name}": value for name, value in values.items()}
    ran.outputs = {
        name: _evaluated(output["value"], contexts, otherwise="") for name, output in ACTION["outputs"].items()
    }
    return ran


def _evaluated(text: str, contexts: dict[str, str], otherwise: str | None = None) -> str:
    def value(found: re.Match[str]) -> str:
        return contexts[found[1]] if otherwise is None else contexts.get(found[1], otherwise)

    return re.sub(r"\$\{\{ (.+?) \}\}", value, text)


def _carry_out(ran: Ran) -> None:
    """Both spellings of a command: `::name k=v::data` begins a line, `##[name k=v]data` may stand anywhere in it."""
    secrets: set[str] = set()
    resume = ""
    for line in ran.printed:
        found = re.match(r"\s*::(\S+?)(?: .*?)?::(.*)", line) or re.search(r"##\[(\S+?)(?: .*?)?\](.*)", line)
        name, data = (found[1], _unescaped(found[2])) if found else ("", "")
        if resume and name == resume:
            resume = ""
        elif not resume and name in _COMMANDS:
            ran.commands.append((name, data))
            if name == "stop-commands":
                resume = data
            if name == "add-mask":
                secrets |= {data, *data.splitlines()}
                continue
        ran.log.append(_masked(line, secrets))


def _masked(line: str, secrets: set[str]) -> str:
    return re.sub("|".join(map(re.escape, secrets)), "***", line) if secrets else line


def _unescaped(data: str) -> str:
    return data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def _outputs(content: str) -> dict[str, str]:
    values = {}
    lines = iter(content.splitlines())
    for line in lines:
        name, mark = line.split("<<")
        value = []
        while (line := next(lines)) != mark:
            value.append(line)
        values[name] = "\n".join(value)
    return values
