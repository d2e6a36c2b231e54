"""The environment, a `.env` file, `NAME_FILE` files and KEYS_FILE, as one frozen Settings."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from init_job import account, contradictions, keys_file, log, names, texts, values
from init_job.errors import ConfigurationError
from init_job.given import Given
from init_job.settings import (
    FOR_ALL_KEYS,
    OF_A_KEY,
    OUTPUTS,
    VARIABLES,
    KeySettings,
    Settings,
    Variable,
    as_field,
    as_variable,
)

_OUTPUTS = tuple(variable.name for variable in VARIABLES if variable.field in OUTPUTS)
_STOOD_IN = (*_OUTPUTS, "ENV_SCOPE_ID_VAR")
_IMAGE_DEFAULT = "DEFAULT_TOKEN_FILE"
"""The image's own: TOKEN_FILE when neither an output nor KEYS_FILE is named."""
_LOG = ("LOG_FORMAT", "LOG_LEVEL")
_NAMES = {name for variable in VARIABLES for name in (variable.name, variable.from_file) if name}
_INPUTS = tuple(one.from_file or one.name for one in VARIABLES if one.from_file or one.field not in OUTPUTS)
"""What names a file with settings in it."""
_SECRETS = {variable.name for variable in VARIABLES if variable.secret}
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")  # for `servers` to read, in either case


def settings(
    environ: Mapping[str, str],
    env_file: str = "",
    outputs: Mapping[str, str] | None = None,
    configure_log: Callable[[str, str], None] | None = None,
    only: Sequence[str] = (),
) -> Settings:
    """The settings from the environment, completed from `env_file` (default: `.env` here, if there is one).

    `outputs` stand in the place of all those of the one key that is chosen. `configure_log` gets LOG_FORMAT and
    LOG_LEVEL before anything is told. `only` are names: other keys are left out. Raises ConfigurationError with all
    problems at once.
    """
    given = Given(environ, env_file)
    has_file = "KEYS_FILE" in given.values
    called = as_field if has_file else as_variable
    if not has_file and not any(name in given.values for name in _OUTPUTS) and environ.get(_IMAGE_DEFAULT):
        given.values["TOKEN_FILE"] = environ[_IMAGE_DEFAULT]
    in_file = [one for one in OF_A_KEY if one.name not in FOR_ALL_KEYS] if has_file else []
    chosen = {one.field: _parsed_or_told(one, given) for one in VARIABLES if one not in in_file}
    if configure_log:
        configure_log(chosen["log_format"], chosen["log_level"])
    for _, value in chosen["headers"]:
        log.hide_header(value)
    stand_ins = {} if outputs is None else _stand_ins(outputs, given)
    keys = _keys_of_the_file(in_file, chosen, given) if has_file else _only_key(chosen, stand_ins, given)
    pods_account = None
    if not stand_ins and any(key["kubernetes_secret"] for key in keys.values()):
        try:
            pods_account = account.of_the_pod(environ)
            keys = {which: _with_namespace(key, pods_account.namespace) for which, key in keys.items()}
        except ValueError as error:
            given.problems.append(f"{called('KUBERNETES_SECRET')}: {error}")
    given.problems += contradictions.of_the_run(chosen)
    for which, key in keys.items():
        found = contradictions.of_a_key(key, str(chosen["api"]), called)
        given.problems += [f"{which}: {problem}" if which else problem for problem in found]
    inputs = {name: path for name in _INPUTS if (path := given.values.get(name))}
    given.problems += contradictions.between_keys(keys, inputs)
    given.problems += [
        f"{name} is not UTF-8" for name in environ if name.lower() in _PROXIES and not texts.is_utf8(environ[name])
    ]
    every = keys
    if not given.problems:
        keys = _selected(keys, only, stand_ins, given)
    if given.problems:
        count = "is a problem" if len(given.problems) == 1 else f"are {len(given.problems)} problems"
        raise ConfigurationError(
            f"there {count} in the settings: {'; '.join(given.problems)}",
            "correct what is named above; --help lists all settings",
        )
    _warn(given, chosen, keys)
    of_the_run = {field.name: chosen[field.name] for field in fields(Settings) if field.name in chosen}
    of_the_keys = tuple(KeySettings(**key, called=called) for key in keys.values())
    left_out = tuple((key["name"], key["scope"]) for which, key in every.items() if which not in keys)
    return Settings(**of_the_run, keys=of_the_keys, left_out=left_out, account=pods_account)


Keys = Mapping[str, Mapping[str, Any]]
"""What is asked of each key, by fields, by what messages call the key: nothing when the variables describe it."""


def _keys_of_the_file(in_file: Sequence[Variable], chosen: Mapping[str, Any], given: Given) -> Keys:
    """`in_file` are the variables that must stand there."""
    doubly = [(name, one.field) for one in in_file for name in (one.name, one.from_file) if name in given.values]
    given.problems += [f"{name}: with KEYS_FILE it is {field} of a key in that file" for name, field in doubly]
    return keys_file.read(chosen["keys_file"], chosen, given) if chosen["keys_file"] else {}


def _only_key(chosen: Mapping[str, Any], stand_ins: Mapping[str, Any], given: Given) -> Keys:
    is_known = given.is_whole and not any(problem.startswith(_OUTPUTS) for problem in given.problems)
    if is_known and not stand_ins and not any(chosen[field] for field in OUTPUTS):
        given.problems.append(f"no output: set {', '.join(_OUTPUTS[:-1])} or {_OUTPUTS[-1]}")
    return {"": {one.field: chosen[one.field] for one in OF_A_KEY}}


def _with_namespace(key: Mapping[str, Any], namespace: str) -> Mapping[str, Any]:
    secret = key["kubernetes_secret"]
    return {**key, "kubernetes_secret": f"{namespace}/{secret}"} if secret and "/" not in secret else key


def _stand_ins(outputs: Mapping[str, str], given: Given) -> Mapping[str, Any]:
    """The fields of these outputs, and those of all others without a value."""
    named = Given(outputs, os.devnull)
    fields = {one.field: _parsed_or_told(one, named) for one in OF_A_KEY if one.name in (*outputs, *_STOOD_IN)}
    given.problems += named.problems
    given.tidied += named.tidied
    return fields


def _selected(keys: Keys, only: Sequence[str], stand_ins: Mapping[str, Any], given: Given) -> Keys:
    """The keys of these names; the only one of them with what stands in for its outputs."""
    known = [key["name"] for key in keys.values()]
    only = [values.with_hostname(name) for name in only]
    given.problems += [f"--key: there is no key {name!r}, but {', '.join(known)}" for name in only if name not in known]
    chosen = {called: key for called, key in keys.items() if not only or key["name"] in only}
    if stand_ins and len(chosen) > 1:
        given.problems.append("--token-file and --env-file-value: --key NAME says which key's token it is to be")
    return {called: {**key, **stand_ins} for called, key in chosen.items()}


def log_settings(environ: Mapping[str, str]) -> tuple[str, str]:
    """LOG_FORMAT and LOG_LEVEL as far as the environment alone says them, for what is told before all is read. Reads
    no file and raises nothing."""
    given = Given({name: environ.get(name, "") for name in _LOG}, os.devnull)
    log_format, log_level = (_parsed_or_told(variable, given) for variable in VARIABLES if variable.name in _LOG)
    return log_format, log_level


def _parsed_or_told(variable: Variable, given: Given) -> Any:
    try:
        return _parsed(variable, given)
    except ValueError as error:
        given.problems.append(f"{variable.name}: {error}")
        return variable.default if variable.name in _LOG else variable.unset


def _parsed(variable: Variable, given: Given) -> Any:
    """The field's value. Raises ValueError."""
    try:
        text = given.text(variable.name, variable.from_file, variable.secret)
        if variable.secret:
            log.hide(text)
        return variable.parse(text) if text else variable.otherwise
    except texts.NotUtf8:
        raise
    except ValueError as error:
        if variable.name not in _LOG:
            raise
        # No reason to keep a stack from starting.
        given.ignored[variable.name] = str(error)
        return variable.default


def _warn(given: Given, chosen: Mapping[str, Any], keys: Keys) -> None:
    """What is no problem, or perhaps none."""
    for name, reason in given.ignored.items():
        log.warning("log-setting", f"{name}: {reason}: the default stands in its place", variable=name)
    if given.tidied:
        log.warning("tidied", f"taken off what cannot be meant: {', '.join(given.tidied)}")
    for name in sorted(given.unset.keys() & _NAMES):
        # What follows a `$` that was meant as one is the rest of the password.
        unset = "a variable in it" if name in _SECRETS else ", ".join(given.unset[name])
        log.warning(
            "unset-variable",
            f"nothing stands in {name} for {unset}, which is not set; in single quotes a $ is one",
            variable=name,
        )
    if texts.is_placeholder(chosen["password"]):
        log.warning("placeholder", "CHIRPSTACK_PASSWORD looks like a placeholder that nobody has replaced")
    of_users = {key[field] for key in keys.values() for field in ("env_var", "env_scope_id_var")}
    for name in sorted(given.values.keys() - _NAMES - of_users):
        if meant := names.meant(name, _NAMES, given.values):
            log.warning("unknown-variable", f"{name} is not a variable of this job; was {meant} meant?", variable=name)
