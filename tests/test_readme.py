"""What the documents say of the code is what the code says. `python -m tests.test_readme` writes the tables and the
schema anew."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from init_job.cli import COMMANDS
from init_job.errors import EXIT_CODES
from init_job.settings import OF_A_KEY, OUTPUTS, VARIABLES
from init_job.values import OnLostToken, boolean

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
SCHEMA = ROOT / "docs" / "keys.schema.json"


def settings_table(*names: str) -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for variable in VARIABLES:
        if names and variable.name not in names:
            continue
        default = f"`{variable.default}`" if variable.default else ""
        rows.append(f"| `{variable.name}` | {default} | {variable.meaning} |")
    return "\n".join(rows)


def exit_codes_table() -> str:
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES)])


def most_settings_table() -> str:
    return settings_table(
        "CHIRPSTACK_URL", "CHIRPSTACK_EMAIL", "CHIRPSTACK_PASSWORD", "CHIRPSTACK_INITIAL_PASSWORD", "API_KEY_NAME",
        "API_KEY_SCOPE", "API_KEY_READ_ONLY", "ON_LOST_TOKEN", "TOKEN_FILE", "ENV_FILE",
    )  # fmt: skip


TABLES = {
    "exit codes": (README, exit_codes_table),
    "most settings": (README, most_settings_table),
    "settings": (ROOT / "docs" / "settings.md", settings_table),
}


def schema() -> str:
    """Of the content of KEYS_FILE, for editors: what is in it is what the table of the settings has."""
    more: dict[str, dict[str, Any]] = {
        "name": {"minLength": 1, "maxLength": 100},
        "scope": {"examples": ["admin", "tenant:ChirpStack", "organization:chirpstack", "application:1"]},
        "on_lost_token": {"enum": [choice.value for choice in OnLostToken]},
        "file_mode": {"pattern": "^0?o?[0-7]{3}$", "examples": ["0644", "0600"]},
    }
    fields: dict[str, dict[str, Any]] = {}
    for variable in OF_A_KEY:
        meaning = variable.meaning
        for other in OF_A_KEY:
            meaning = re.sub(rf"\b{other.name}\b", other.field, meaning)
        kind = "boolean" if variable.parse is boolean else "string"
        default = {"default": variable.default == "true" if kind == "boolean" else variable.default}
        default = {} if variable.field == "name" or not variable.default else default
        fields[variable.field] = {"description": meaning, "type": kind, **default, **more.get(variable.field, {})}
    key = {
        "type": "object",
        "properties": fields,
        "required": ["name"],
        "anyOf": [{"required": [output]} for output in OUTPUTS],
        "additionalProperties": False,
    }
    content = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "KEYS_FILE of chirpstack-init-job",
        "type": "object",
        "properties": {"key": {"type": "array", "minItems": 1, "items": key}},
        "required": ["key"],
        "additionalProperties": False,
    }
    return json.dumps(content, indent=2) + "\n"


def with_table(text: str, name: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    assert pattern.search(text)
    return pattern.sub(lambda match: f"{match[1]}{TABLES[name][1]()}\n{match[2]}", text)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_the_codes(name: str) -> None:
    text = TABLES[name][0].read_text()
    assert with_table(text, name) == text, "run: python -m tests.test_readme"


def test_the_schema_of_a_file_of_keys_is_the_codes() -> None:
    assert SCHEMA.read_text() == schema(), "run: python -m tests.test_readme"


def test_the_commands_are_the_codes() -> None:
    text = README.read_text()
    for command, meaning in COMMANDS.items():
        assert f"| `{command}` | {meaning} |" in text


def test_every_log_event_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE))
    source = "\n".join(path.read_text() for path in (ROOT / "init_job").rglob("*.py"))
    emitted = set(re.findall(r'(?:log\.(?:debug|info|warning|error)|_emit)\(\s*(?:level, )?"([a-z-]+)"', source))
    assert emitted <= documented
    assert [event for event in documented if f'"{event}"' not in source] == []


DOCUMENTS = [path for pattern in ("*.md", "[!.]*/*.md", "[!.]*/*/*.md") for path in sorted(ROOT.glob(pattern))]


def anchors(document: Path) -> set[str]:
    """What GitHub makes of the headings: https://github.com/gjtorikian/html-pipeline, TableOfContentsFilter."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\]\(.*?\)", "", heading)).lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_or_a_heading_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = document.parent / path if path else document
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_the_map_names_every_document() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    documents = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert documents == set(re.findall(r"\]\(([\w-]+\.md)\)", text))


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < 200


if __name__ == "__main__":
    for table, (document, _) in TABLES.items():
        document.write_text(with_table(document.read_text(), table))
    SCHEMA.write_text(schema())
