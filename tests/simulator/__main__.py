"""`python -m tests.simulator`: prints its URL, then serves until SIGTERM or SIGINT."""

import argparse
import re
import signal
import sys
from collections.abc import Callable

from tests.simulator import Simulator

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "": 1.0}
_NEWEST = {"v3": "3.17.9", "v4": "4.19.0"}


def _duration(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration like 2s or 100ms")
    return float(match.group(1)) * _UNITS[match.group(2)]


def _pair(separator: str) -> Callable[[str], tuple[str, str]]:
    def parse(text: str) -> tuple[str, str]:
        first, found, second = text.partition(separator)
        if not found:
            raise argparse.ArgumentTypeError(f"{text!r} has no {separator!r}")
        return first, second

    return parse


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    add = parser.add_argument
    add("--api", choices=("v3", "v4"), required=True)
    add("--version", help="of the server (default: 3.17.9, 4.19.0)")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="default: a free one")
    add("--health-port", type=int, default=0, metavar="PORT", help="serve /health there, like [monitoring]")
    add("--starts-after", type=_duration, default=0.0, metavar="2s", help="refuse connections that long")
    add("--starting-for", type=_duration, default=0.0, metavar="100ms", help="then v3 answers 501 that long")
    add("--latency", type=_duration, default=0.0, metavar="5ms", help="of every answer")
    add("--secret", default="verysecret", help="that tokens are signed with")
    add("--database", choices=("postgres", "sqlite"), help="of a v4 server")
    add(
        "--user",
        type=_pair(":"),
        action="append",
        default=[],
        metavar="EMAIL:PASSWORD",
        help="a global admin",
    )
    add("--keys", type=int, default=0, metavar="N", help="admin keys that are there already")
    add("--tenant", action="append", default=[], metavar="NAME", help="of a v4 server")
    add("--organization", action="append", default=[], metavar="NAME", help="of a v3 server")
    add("--application", type=_pair("/"), action="append", default=[], metavar="ORG/NAME")
    add("--no-ui", action="store_true", help="no page at /")
    add("--verbose", action="store_true", help="log requests to standard error")
    return parser


def _simulator(arguments: argparse.Namespace) -> Simulator:
    simulator = Simulator(
        arguments.api,
        arguments.version or _NEWEST[arguments.api],
        secret=arguments.secret,
        starts_after=arguments.starts_after,
        starting_for=arguments.starting_for,
        ui=not arguments.no_ui,
        host=arguments.host,
        port=arguments.port,
        health_port=arguments.health_port,
        latency=arguments.latency,
        database=arguments.database,
        verbose=arguments.verbose,
    )
    for email, password in arguments.user:
        try:
            simulator.set_password(email, password)
        except KeyError:
            simulator.add_user(email, password)
    for name in arguments.tenant:
        simulator.add_tenant(name)
    for name in arguments.organization:
        simulator.add_organization(name)
    for group, name in arguments.application:
        if group not in simulator.groups():
            raise ValueError(f"there is no organization or tenant {group}")
        simulator.add_application(simulator.groups()[group], name)
    if arguments.keys:
        simulator.add_keys(arguments.keys)
    return simulator


def main() -> int:
    # Blocked, so that they wait for sigwait wherever the start is.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    parser = _parser()
    try:
        simulator = _simulator(parser.parse_args())
        simulator.bind()
    except (ValueError, OSError) as error:
        parser.error(str(error))
    simulator.listen()  # with --starts-after the line comes long before the first connection, else with it
    print(simulator.url, flush=True)
    signal.sigwait(signals)
    simulator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
