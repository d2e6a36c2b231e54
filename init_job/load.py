"""The environment, a `.env` file and `NAME_FILE` files, as one frozen Settings."""

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from init_job import log, names, texts, values
from init_job.errors import ConfigurationError
from init_job.given import Given
from init_job.settings import VARIABLES, KeySettings, Settings, Variable

_OUTPUTS = ("TOKEN_FILE", "ENV_FILE", "JSON_FILE")
_IMAGE_DEFAULT = "DEFAULT_TOKEN_FILE"
"""The image's own: TOKEN_FILE when no output is named."""
_LOG = ("LOG_FORMAT", "LOG_LEVEL")
_NAMES = {name for variable in VARIABLES for name in (variable.name, variable.from_file) if name}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")  # for `servers` to read, in either case


def settings(
    environ: Mapping[str, str],
    env_file: str = "",
    outputs: Mapping[str, str] | None = None,
    configure_log: Callable[[str, str], None] | None = None,
) -> Settings:
    """The settings from the environment, completed from `env_file` (default: `.env` here, if there is one).

    `outputs` stand in the place of all outputs that are set there. `configure_log` gets LOG_FORMAT and LOG_LEVEL before
    anything is told. Raises ConfigurationError with all the problems at once.
    """
    given = Given(environ, env_file)
    if outputs is not None:
        unused = (*_OUTPUTS, "ENV_SCOPE_ID_VAR")
        given.values = {name: value for name, value in given.values.items() if name not in unused} | dict(outputs)
    elif not any(name in given.values for name in _OUTPUTS) and environ.get(_IMAGE_DEFAULT):
        given.values["TOKEN_FILE"] = environ[_IMAGE_DEFAULT]
    chosen: dict[str, Any] = {}
    for variable in VARIABLES:
        try:
            chosen[variable.field] = _parsed(variable, given)
        except ValueError as error:
            chosen[variable.field] = variable.default if variable.name in _LOG else variable.unset
            given.problems.append(f"{variable.name}: {error}")
    if configure_log:
        configure_log(chosen["log_format"], chosen["log_level"])
    for _, value in chosen["headers"]:
        log.hide(value)
        log.hide(value.rpartition(" ")[2])  # without its kind: `Bearer …`
    given.problems += _contradictions(chosen)
    is_known = given.is_whole and not any(problem.startswith(_OUTPUTS) for problem in given.problems)
    if is_known and not (chosen["token_file"] or chosen["env_file"] or chosen["json_file"]):
        given.problems.append("no output: set TOKEN_FILE, ENV_FILE or JSON_FILE")
    given.problems += [
        f"{name} is not UTF-8" for name in environ if name.lower() in _PROXIES and not texts.is_utf8(environ[name])
    ]
    if given.problems:
        count = "is a problem" if len(given.problems) == 1 else f"are {len(given.problems)} problems"
        raise ConfigurationError(
            f"there {count} in the settings: {'; '.join(given.problems)}",
            "correct the variables named above; --help lists all of them",
        )
    _warn(given, chosen)
    key = KeySettings(**{field.name: chosen.pop(field.name) for field in fields(KeySettings)})
    return Settings(**chosen, keys=(key,))


def log_settings(environ: Mapping[str, str]) -> tuple[str, str]:
    """LOG_FORMAT and LOG_LEVEL as far as the environment alone says them, for what is told before all is read. Reads
    no file and raises nothing."""
    given = Given({name: environ.get(name, "") for name in _LOG}, os.devnull)
    try:
        log_format, log_level = (_parsed(variable, given) for variable in VARIABLES if variable.name in _LOG)
    except ValueError:
        return "text", "info"
    return log_format, log_level


def _parsed(variable: Variable, given: Given) -> Any:
    """The field's value. Raises ValueError."""
    try:
        text = given.text(variable.name, variable.from_file, variable.secret)
        if variable.secret:
            log.hide(text)
        text = text or variable.default
        return variable.parse(text) if text else variable.unset
    except texts.NotUtf8:
        raise
    except ValueError as error:
        if variable.name not in _LOG:
            raise
        # No reason to keep a stack from starting.
        given.ignored[variable.name] = str(error)
        return variable.default


def _contradictions(chosen: Mapping[str, Any]) -> list[str]:
    """What each variable for itself does not show."""
    problems = []
    outputs = [chosen.get(field) for field in ("token_file", "env_file", "json_file")]
    paths = [os.path.realpath(path) if path != "-" else "standard output" for path in outputs if path]
    problems += [f"{path} is named by two outputs" for path in sorted(set(paths)) if paths.count(path) > 1]
    if chosen.get("env_file") == "-":
        problems.append("ENV_FILE: standard output is no .env file; use TOKEN_FILE or JSON_FILE")
    if chosen.get("client_key_file") and not chosen.get("client_cert_file"):
        problems.append("CHIRPSTACK_CLIENT_KEY_FILE is set without CHIRPSTACK_CLIENT_CERT_FILE")
    api, scope = chosen.get("api"), chosen.get("scope")
    if scope and values.unsupported(str(api), scope):
        problems.append(f"API_KEY_SCOPE: {values.unsupported(str(api), scope)}")
    if chosen.get("read_only") and api == "v3":
        problems.append("API_KEY_READ_ONLY: ChirpStack v3 has no read-only keys")
    if chosen["env_scope_id_var"]:
        if scope and scope.kind == "admin":
            problems.append("ENV_SCOPE_ID_VAR: the scope admin has no id; leave it out, or set API_KEY_SCOPE")
        if not chosen["env_file"]:
            problems.append("ENV_SCOPE_ID_VAR: it is set in ENV_FILE, and there is none")
        if chosen["env_scope_id_var"] == chosen["env_var"]:
            problems.append("ENV_SCOPE_ID_VAR and ENV_VAR name the same variable")
    password = chosen["password"]
    if chosen["initial_password"] and 0 < len(password) < 6 and len(password.encode()) < 8:
        # Contract §3.10: v3 wants 6 characters, v4 since v4.17 8 bytes. A longer one is the server's to refuse.
        problems.append(
            "CHIRPSTACK_PASSWORD: with CHIRPSTACK_INITIAL_PASSWORD it becomes the account's password on the first "
            "boot, and it is too short for that: 6 characters on v3, 8 on v4; leave CHIRPSTACK_INITIAL_PASSWORD out if "
            "the account is to keep its password"
        )
    return problems


def _warn(given: Given, chosen: Mapping[str, Any]) -> None:
    """What is no problem, or perhaps none."""
    for name, reason in given.ignored.items():
        log.warning("log-setting", f"{name}: {reason}: the default stands in its place", variable=name)
    if given.tidied:
        log.warning("tidied", f"taken off what cannot be meant: {', '.join(given.tidied)}")
    for name in sorted(given.unset.keys() & _NAMES):
        log.warning(
            "unset-variable",
            f"nothing stands in {name} for {', '.join(given.unset[name])}, which is not set; in single quotes a $ is "
            "one",
            variable=name,
        )
    if texts.is_placeholder(chosen["password"]):
        log.warning("placeholder", "CHIRPSTACK_PASSWORD looks like a placeholder that nobody has replaced")
    for name in sorted(given.values.keys() - _NAMES - {chosen["env_var"], chosen["env_scope_id_var"]}):
        if meant := names.meant(name, _NAMES, given.values):
            log.warning("unknown-variable", f"{name} is not a variable of this job; was {meant} meant?", variable=name)
