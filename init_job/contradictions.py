"""What settings say against each other, which none for itself shows: the problems, one text for each."""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

from init_job import values
from init_job.settings import OUTPUTS, Called

_SHARED = ("env_file", "kubernetes_secret")
"""Fields of what may hold several variables."""


def of_the_run(chosen: Mapping[str, Any]) -> list[str]:
    problems = []
    if chosen["client_key_file"] and not chosen["client_cert_file"]:
        problems.append("CHIRPSTACK_CLIENT_KEY_FILE is set without CHIRPSTACK_CLIENT_CERT_FILE")
    password = chosen["password"]
    if chosen["initial_password"] and 0 < len(password) < 6 and len(password.encode()) < 8:
        # Contract §3.10: v3 wants 6 characters, v4 since v4.17 8 bytes. A longer one is the server's to refuse.
        problems.append(
            "CHIRPSTACK_PASSWORD: with CHIRPSTACK_INITIAL_PASSWORD it becomes the account's password on the first "
            "boot, and it is too short for that: 6 characters on v3, 8 on v4; leave CHIRPSTACK_INITIAL_PASSWORD out if "
            "the account is to keep its password"
        )
    return problems


def of_a_key(key: Mapping[str, Any], api: str, called: Called) -> list[str]:
    problems, scope = [], key["scope"]
    if key["env_file"] == "-":
        others = f"{called('TOKEN_FILE')} or {called('JSON_FILE')}"
        problems.append(f"{called('ENV_FILE')}: standard output is no .env file; use {others}")
    if scope and values.unsupported(api, scope):
        problems.append(f"{called('API_KEY_SCOPE')}: {values.unsupported(api, scope)}")
    if key["read_only"] and api == "v3":
        problems.append(f"{called('API_KEY_READ_ONLY')}: ChirpStack v3 has no read-only keys")
    if key["env_scope_id_var"]:
        name = called("ENV_SCOPE_ID_VAR")
        if scope and scope.kind == "admin":
            problems.append(f"{name}: the scope admin has no id; leave it out, or set {called('API_KEY_SCOPE')}")
        if not any(key[field] for field in _SHARED):
            problems.append(
                f"{name}: it is set in {called('ENV_FILE')} or {called('KUBERNETES_SECRET')}, and there is none"
            )
        if key["env_scope_id_var"] == key["env_var"]:
            problems.append(f"{name} and {called('ENV_VAR')} name the same variable")
    return problems


def between_keys(keys: Mapping[str, Mapping[str, Any]], inputs: Mapping[str, str]) -> list[str]:
    """The keys by what messages call them; empty for the only one, which the variables describe. `inputs` are the paths
    of files that settings come from, by variable."""
    problems: list[str] = []
    named: dict[object, str] = {}
    written: dict[object, dict[str, tuple[str, object]]] = {}
    sources = {_file(path): variable for variable, path in inputs.items()}
    for called, key in keys.items():
        first = named.setdefault((key["name"], key["scope"]), called)
        if first != called and key["name"] and key["scope"]:
            problems.append(f"{called}: {_short(first)} has the same name and scope")
        for place, shown, part, content in _outputs(key):
            begin = f"{called}: " if called else ""
            if place in sources:
                problems.append(f"{begin}{shown} is {sources[place]} itself")
            there = written.setdefault(place, {})
            rival = next((other for other, its in _rivals(there, part) if its != content), None)
            if rival is not None:
                what = f"{shown}{f' ({part})' if part and part in there else ''} is named by two outputs"
                whose = f", of this key and of {_short(rival)}" if rival != called else ""
                problems.append(f"{begin}{what}{whose}")
            there.setdefault(part, (called, content))
    return list(dict.fromkeys(problems))


def _rivals(there: Mapping[str, tuple[str, object]], part: str) -> list[tuple[str, object]]:
    """Several variables share a `.env` or a Secret; what is a whole file shares it with nothing."""
    if not part or "" in there:
        return list(there.values())
    return [there[part]] if part in there else []


def _outputs(key: Mapping[str, Any]) -> Iterator[tuple[object, str, str, object]]:
    """(what it is, what it is called, variable in it, what is written there) of each."""
    for field in OUTPUTS:
        if not (where := key[field]):
            continue
        is_secret, is_shared = field == "kubernetes_secret", field in _SHARED
        shown = f"Secret {where}" if is_secret else _shown(where)
        place = shown if is_secret else _file(where)
        yield place, shown, key["env_var"] if is_shared else "", object()
        if is_shared and key["env_scope_id_var"] not in ("", key["env_var"]):
            yield place, shown, key["env_scope_id_var"], key["scope"]


def _file(path: str) -> object:
    """The same for all paths of one file, be they links, hard links or mounts of it, and for a standard output that
    goes into it."""
    with contextlib.suppress(OSError, ValueError):
        info = os.fstat(1) if path == "-" else os.stat(path)
        if path != "-" or stat.S_ISREG(info.st_mode):
            return info.st_dev, info.st_ino
    shown = _shown(path)
    with contextlib.suppress(OSError, ValueError):  # where it is not there yet
        folder, name = os.path.split(shown)
        info = os.stat(folder)
        return info.st_dev, info.st_ino, name
    return shown


def _shown(path: str) -> str:
    if path == "-":
        return "standard output"
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # the working folder is gone, or it is no path in this locale: told elsewhere
        return path


def _short(called: str) -> str:
    return called.removeprefix("KEYS_FILE: ")
