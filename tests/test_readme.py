"""What the documents say of the code is what the code says. `python -m tests.test_readme` writes the tables anew."""

import re
from pathlib import Path

import pytest

from init_job.cli import COMMANDS
from init_job.errors import EXIT_CODES
from init_job.settings import VARIABLES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def settings_table() -> str:
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for variable in VARIABLES:
        default = f"`{variable.default}`" if variable.default else ""
        rows.append(f"| `{variable.name}` | {default} | {variable.meaning} |")
    return "\n".join(rows)


def exit_codes_table() -> str:
    return "\n".join(["| code | meaning |", "|---|---|", *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES)])


TABLES = {"settings": settings_table, "exit codes": exit_codes_table}


def with_table(text: str, name: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    assert pattern.search(text)
    return pattern.sub(lambda match: f"{match[1]}{TABLES[name]()}\n{match[2]}", text)


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_the_codes(name: str) -> None:
    text = README.read_text()
    assert with_table(text, name) == text, "run: python -m tests.test_readme"


def test_the_commands_are_the_codes() -> None:
    text = README.read_text()
    for command, meaning in COMMANDS.items():
        assert f"| `{command}` | {meaning} |" in text


def test_the_example_of_a_dotenv_file_lists_every_variable() -> None:
    text = (ROOT / ".env.example").read_text()
    for variable in VARIABLES:
        assert re.search(rf"^#? ?{variable.name}=", text, re.MULTILINE), variable.name


def test_every_log_event_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "logs.md").read_text(), re.MULTILINE))
    source = "\n".join(path.read_text() for path in (ROOT / "init_job").rglob("*.py"))
    emitted = set(re.findall(r'(?:log\.(?:debug|info|warning|error)|_emit)\(\s*(?:level, )?"([a-z-]+)"', source))
    assert emitted <= documented
    assert [event for event in documented if f'"{event}"' not in source] == []


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


if __name__ == "__main__":
    content = README.read_text()
    for table in TABLES:
        content = with_table(content, table)
    README.write_text(content)
