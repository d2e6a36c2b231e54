"""The command line: commands, exit codes, nothing else."""

import argparse
import os
import re
import sys
from typing import NoReturn, TextIO

from init_job import __version__, load, log, settings, signals, texts, values
from init_job.check import check
from init_job.each import for_each
from init_job.ensure import ensure, rotate
from init_job.errors import EXIT_CODES, ConfigurationError, InitJobError, OutputError
from init_job.job import Job
from init_job.revoke import revoke
from init_job.run import Run

COMMANDS = {
    "ensure": "make sure that the key exists and that its token is in every output (the default)",
    "check": "exit 0 if the saved token works and is the named key's; changes nothing",
    "rotate": "replace the key: a new one, its token in every output, then the old one is deleted",
    "revoke": "delete the key, and remove its token from the outputs",
}

_OPTION = re.compile(r"--[\w-]+|-\w")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code. The last line on standard error is the result."""
    try:
        signals.install()
        log.configure(*load.log_settings(os.environ))  # for what is told before all the settings are read
        code, line = _outcome(sys.argv[1:] if arguments is None else arguments)
        log.result(code, line)
        return code
    finally:
        for stream in (sys.stdout, sys.stderr):
            _empty(stream)


def _empty(stream: TextIO | None) -> None:
    """What is left in the buffer of a stream that cannot be written would fail once more at the end, and Python's 120
    would stand in the place of the run's exit code."""
    if stream is None:  # so Python says that it was closed from the start
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _outcome(arguments: list[str]) -> tuple[int, str]:
    """The exit code, and the line that goes with it."""
    try:
        try:
            return 0, _run(_parse(arguments))
        finally:
            signals.check()  # also when it came after the last wait
    except signals.Terminated as terminated:
        return terminated.exit_code, f"ended by {terminated}"
    except InitJobError as error:
        log.debug_traceback(error)
        log.error("error", str(error))
        return error.exit_code, f"what to do: {error.hint}"
    except Exception as error:
        log.debug_traceback(error)
        log.error("bug", f"a bug: {type(error).__name__}")
        return 1, "what to do: run it again with LOG_LEVEL=debug and report the traceback"


def _run(options: argparse.Namespace) -> str:
    def configure(log_format: str, log_level: str) -> None:
        log.configure(log_format, "error" if options.quiet else log_level)

    # A file may be a pipe that nobody has written to yet.
    chosen = signals.call(lambda: load.settings(os.environ, options.env_file, options.outputs, configure, options.key))
    run = Run(chosen, may_change=options.command != "check" and not options.dry_run)

    def command(job: Job) -> str:
        if options.command == "check":
            return check(job)
        if options.command == "rotate":
            return rotate(job, options.if_older_than)
        if options.command == "revoke":
            return revoke(job, options.all)
        return ensure(job)

    return for_each(run, command, "done" if options.command == "revoke" or options.dry_run else "ready")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A usage error is told as every other error is: argparse would print it and end the program.
        Nor is a flag's value quoted, or shown in a traceback."""
        message = re.sub(r"ignored explicit argument .*", "it takes no value", message, flags=re.DOTALL)
        raise ConfigurationError(f"the command line: {message}", "--help lists commands and options") from None

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """After --help and --version, whose text argparse believes to be written."""
        try:
            if sys.stdout is not None:
                sys.stdout.flush()
        except OSError as error:
            raise OutputError(
                f"standard output cannot be written: {error.strerror}", "whoever reads it must read to the end"
            ) from error
        sys.exit(status)


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Raises ConfigurationError."""
    parser = _Parser(
        prog="chirpstack-init-job",
        description="Gives a ChirpStack its first API key: waits for the server, logs in, creates the key if there is "
        "none, writes its token, and ends.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_tables(),
        allow_abbrev=False,  # argparse would quote an ambiguous one whole, with its value
    )
    commands = f"{{{','.join(COMMANDS)}}}"
    parser.add_argument("command", nargs="?", default="ensure", metavar=commands, help="see below; default: ensure")
    parser.add_argument("--env-file", type=_text, metavar="PATH", help="read settings from here instead of .env")
    parser.add_argument(
        "--key", action="append", default=[], type=_text, metavar="NAME", help="only this key of KEYS_FILE; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and change nothing")
    parser.add_argument(
        "--if-older-than", type=_age, metavar="AGE", help="rotate: only a key older than this, for example 30d"
    )
    parser.add_argument("--all", action="store_true", help="revoke: all keys of the name")
    parser.add_argument("--quiet", action="store_true", help="check: print nothing but errors")
    parser.add_argument("--token-file", type=_text, metavar="PATH", help="check: this file instead of the outputs")
    parser.add_argument(
        "--env-file-value", type=_text, metavar="PATH:VAR", help="check: this variable of a .env file instead"
    )
    parser.add_argument("--version", action="version", version=f"chirpstack-init-job {__version__}")
    # Python keeps bytes that are not UTF-8 as lone surrogates.
    for number, argument in enumerate(arguments, 1):
        if not texts.is_utf8(argument):
            parser.error(f"argument {number} is not UTF-8")
    options, unknown = parser.parse_known_args(arguments)
    if unknown or options.command not in COMMANDS:
        parser.error(_unknown([options.command, *unknown]))
    own = {"rotate": ("if_older_than",), "revoke": ("all",), "check": ("quiet", "token_file", "env_file_value")}
    for command, names in own.items():
        for name in names:
            if command != options.command and getattr(options, name):
                parser.error(f"--{name.replace('_', '-')} belongs to {command}")
    options.env_file = options.env_file or ""
    options.if_older_than = options.if_older_than or 0.0
    options.outputs = {"TOKEN_FILE": options.token_file} if options.token_file else None
    if options.env_file_value:
        path, _, name = options.env_file_value.rpartition(":")
        if options.token_file or not path or not name:
            parser.error("--env-file-value PATH:VAR, without --token-file")
        options.outputs = {"ENV_FILE": path, "ENV_VAR": name}
    return options


def _unknown(arguments: list[str]) -> str:
    """Only names of options are quoted: any other word may be a password whose option is unknown."""
    if names := [match[0] for argument in arguments if (match := _OPTION.match(argument))]:
        return f"{', '.join(names)} is unknown; an option of docker run, such as -e, stands before the image's name"
    return f"beside options there can be one word, a command: {', '.join(COMMANDS)}"


def _age(text: str) -> float:
    try:
        return values.age(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _text(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _tables() -> str:
    lines = ["commands:"]
    lines += [f"  {name:<9} {meaning}" for name, meaning in COMMANDS.items()]
    lines.append("\nsettings (environment, or a .env file; NAME_FILE reads the value from a file):")
    for variable in settings.VARIABLES:
        default = f" [{variable.default}]" if variable.default else ""
        lines.append(f"  {variable.name}{default}\n      {variable.meaning}")
    lines.append("\nexit codes:")
    lines += [f"  {code:<9} {meaning}" for code, meaning in EXIT_CODES]
    return "\n".join(lines).replace("%", "%%")
