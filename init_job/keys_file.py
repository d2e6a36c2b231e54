"""KEYS_FILE: a TOML file with a table `[[key]]` for each key. Its fields are the settings of one key."""

from collections.abc import Mapping
from typing import Any

from init_job import names, texts, values
from init_job.given import Given
from init_job.settings import OF_A_KEY, OUTPUTS, VARIABLES, Variable

_MAX_FILE = 1 << 20  # characters
_MAX_KEYS = 1000
_MOST = 20
"""Unknown names that are told of one table."""
_FIELDS = {variable.field: variable for variable in OF_A_KEY}
_KINDS = {str: "a string", bool: "a boolean", int: "an integer", float: "a float", list: "an array", dict: "a table"}


def read(path: str, defaults: Mapping[str, Any], given: Given) -> dict[str, dict[str, Any]]:
    """The settings of each key, by what messages call it; `defaults` are for fields that it does not set. What is
    wrong is added to the given problems."""
    try:
        tables = _tables(texts.read_file(path), path, given)
    except ValueError as error:
        given.problems.append(f"KEYS_FILE: {error}")
        return {}
    by_name = {_called(number, table): table for number, table in enumerate(tables, 1)}
    return {called: _key(table, called, defaults, given) for called, table in by_name.items()}


def _tables(text: str, path: str, given: Given) -> list[dict[str, Any]]:
    """Raises ValueError."""
    import tomllib  # a run without such a file does not pay for it

    if len(text) > _MAX_FILE:
        raise ValueError(f"{path} has more than 1 MiB")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path} has a number of too many digits in it, or brackets nested too deep") from None
    tables = content.pop("key", None)
    given.problems += [
        f"KEYS_FILE: {_shown(name)} is unknown: each key is a table [[key]]" for name in [*content][:_MOST]
    ]
    if isinstance(tables, dict):
        raise ValueError("[key] is one table, where there can be several: [[key]]")
    if tables is not None and not (isinstance(tables, list) and all(isinstance(one, dict) for one in tables)):
        raise ValueError(f"key is {_kind(tables)}: each key is a table [[key]]")
    if tables and len(tables) > _MAX_KEYS:
        raise ValueError(f"{path} has more than {_MAX_KEYS} keys")
    if not tables and not content:
        raise ValueError(f"{path} has no [[key]] in it")
    return tables or []


def _called(number: int, table: Mapping[str, Any]) -> str:
    name = table.get("name")
    return f"KEYS_FILE: key {number}" + (f" ({_shown(name)})" if name and isinstance(name, str) else "")


def _key(table: Mapping[str, Any], called: str, defaults: Mapping[str, Any], given: Given) -> dict[str, Any]:
    unknown = [field for field in table if field not in _FIELDS]
    given.problems += [f"{called}: {_unknown(field)}" for field in unknown[:_MOST]]
    if table.get("name", "") == "":
        given.problems.append(f"{called}: it has no name")
        defaults = {**defaults, "name": ""}
    if all(table.get(field, "") == "" for field in OUTPUTS):
        given.problems.append(f"{called}: no output: set {', '.join(OUTPUTS[:-1])} or {OUTPUTS[-1]}")
    chosen = {}
    for field, variable in _FIELDS.items():
        chosen[field] = defaults.get(field, variable.otherwise)
        try:
            if (text := _text(variable, table.get(field, ""), called, given)) != "":
                chosen[field] = variable.parse(text)
        except ValueError as error:
            chosen[field] = variable.unset
            given.problems.append(f"{called}: {field}: {error}")
    return chosen


def _text(variable: Variable, value: object, called: str, given: Given) -> str:
    """The value as it would stand in the variable; an empty one is none, as there. Raises ValueError."""
    if variable.parse is values.boolean and value != "":
        if not isinstance(value, bool):
            raise ValueError(f"it is {_kind(value)}, not a boolean: true or false, without quotes")
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"it is {_kind(value)}, not a string: it stands in quotes")
    return given.tidy(f"{called}: {variable.field}", value)


def _unknown(field: str) -> str:
    import difflib

    meant = names.meant(f"INIT_JOB_{field}".replace("-", "_"), [one.name for one in VARIABLES], ())
    ours = {variable.name: field for field, variable in _FIELDS.items()}
    close = difflib.get_close_matches(field.lower().replace("-", "_"), _FIELDS, n=1, cutoff=0.75)
    hint = ours.get(meant) or "".join(close)
    if not hint and meant:
        return f"{_shown(field)} is no field of a key (is the variable {meant} meant?)"
    return f"{_shown(field)} is no field of a key{f' (was {hint} meant?)' if hint else ''}"


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a date or a time")


def _shown(name: str) -> str:
    return f'"{name[:100]}"'
