"""The command line: commands, exit codes, nothing else."""

import argparse
import os

from init_job import __version__, log, settings, signals
from init_job.check import check
from init_job.ensure import ensure
from init_job.errors import EXIT_CODES, InitJobError

_COMMANDS = {
    "ensure": "make sure that the key exists and that its token is in every output (the default)",
    "check": "exit 0 if the saved token works and is the named key's; changes nothing",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns the exit code. The last line on standard error is the result."""
    options = _parser().parse_args(arguments)
    environ = os.environ
    signals.install()
    # Until the settings are read, as the environment says, if it says it right.
    level = environ.get("LOG_LEVEL", "").lower()
    log.configure(environ.get("LOG_FORMAT", ""), level if level in ("debug", "warning", "error") else "info")
    try:
        chosen = settings.load(environ, options.env_file)
        log.configure(chosen.log_format, chosen.log_level)
        result = check(chosen) if options.command == "check" else ensure(chosen, options.dry_run)
        log.result(0, result)
        return 0
    except InitJobError as error:
        log.debug_traceback(error)
        log.error("error", str(error))
        log.result(error.exit_code, f"what to do: {error.hint}")
        return error.exit_code
    except signals.Terminated as terminated:
        log.result(terminated.exit_code, f"ended by {terminated}")
        return terminated.exit_code
    except Exception as error:
        log.debug_traceback(error)
        log.error("bug", f"a bug: {type(error).__name__}")
        log.result(1, "what to do: run it again with LOG_LEVEL=debug and report the traceback")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chirpstack-init-job",
        description="Gives a ChirpStack its first API key: waits for the server, logs in, creates the key if there is "
        "none, writes its token, and ends.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_tables(),
    )
    commands = "; ".join(f"{name}: {meaning}" for name, meaning in _COMMANDS.items())
    parser.add_argument("command", nargs="?", default="ensure", choices=_COMMANDS, help=commands)
    parser.add_argument("--env-file", default="", metavar="PATH", help="read settings from here instead of .env")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and change nothing")
    parser.add_argument("--version", action="version", version=f"chirpstack-init-job {__version__}")
    return parser


def _tables() -> str:
    lines = ["settings (environment, or a .env file; NAME_FILE reads the value from a file):"]
    for variable in settings.VARIABLES:
        default = f" [{variable.default}]" if variable.default else ""
        lines.append(f"  {variable.name}{default}\n      {variable.meaning}")
    lines.append("\nexit codes:")
    lines += [f"  {code:<9} {meaning}" for code, meaning in EXIT_CODES]
    return "\n".join(lines)
