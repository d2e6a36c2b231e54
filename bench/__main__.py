"""`python -m bench`: measures, prints, and writes docs/performance.md. About ten minutes; the machine should be idle.
`python -m bench readiness`: measures and prints one section only; without a name of one it tells the names.
`python -m bench.plots`: draws what the document says.

CHIRPSTACK_TEST_V3_URL, CHIRPSTACK_TEST_V4_URL   real servers (admin/admin), for the comparisons that need one
KUBECONFIG                                       a cluster, for a run whose token is in a Secret
IMAGE, PYTHON_IMAGE, CURL_IMAGE                  the job's container image, its base, and one with curl and jq: all
                                                 or none (`make bench` gives them where Docker answers)
"""

import os
import platform
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import cluster, image, imports, job, plots, readiness, scale, startup, suite
from bench.measure import Failed
from bench.report import Section, table

_DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
_INTRODUCTION = """# Performance

How long the job takes, how much memory it needs, and how both grow. Written by `make bench`; every figure is from one
run of it. Times depend on the machine, so what counts are the ratios: the programs take turns, and each is measured
from before its process starts until after it has ended. The pictures are drawn from the tables under them.

The machine: {machine}.

Compared with the job are

* (a) `python -c "import requests, tenacity, dotenv"`: the imports alone, without any work,
* (b) the same calls with the official Python client (`chirpstack-api`, gRPC), on a real v4 server, because the
  simulated one speaks gRPC-Web only,
* (c) the same calls with curl and jq, on v3.

(b) and (c) log in, list, create, list again, check the token and write it. They wait for no server, find out no
generation, prove nothing writable, remember nothing, and give way to nobody.
"""
_REMARKS = """## What makes it fast

* Starting Python and importing `requests` is nearly all of a run. What a run does not need is not imported:
  `python-dotenv` without an `ENV_FILE`, `protobuf` for v3 and for a v4 run that needs no login, `tenacity` for a run
  with nothing to do, TLS and its certificates for `http://`. `tests/test_counts.py` holds it to that.
* Garbage collection pauses while the modules are imported, and leaves them alone afterwards (`init_job/__main__.py`).
  They stay until the end anyway, and to look through them again and again, at exit once more, takes longer than all
  of the job's own work. This is why a whole run takes about as long as the imports (a) alone, which do not do so.
* A run with nothing to do sends one request; every run has one connection.
* For the first minute a server that is not there yet is asked every 50 to 150 ms, at random. A refused connection costs
  about 1.5 ms of processor time, so the token is there a moment after the server, and the wait costs next to nothing.
* Keys are listed in pages of 5000: few round trips, and half of the 4 MiB that v3's gateway lets through. Only keys
  of the right name are kept, so memory grows to that of one page and then no more. Smaller pages would take less of
  it and more time: a server sorts the whole list anew for each.
"""


def main(names: list[str]) -> None:
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {'.'.join(platform.python_version_tuple()[:2])}"
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    if load > 0.3:
        machine += f", which was busy with other things (load {load:.1f} for each core)"
    sections = []
    with job.installed() as package, job.servers() as servers:
        measures: dict[str, Callable[[], Section]] = {
            "nothing-to-do": partial(startup.nothing_to_do, package, servers),
            "first-run": partial(startup.first_run, package, servers),
            "several-keys": partial(startup.several_keys, package, servers),
            "readiness": partial(readiness.from_ready_to_token, package),
            "keys": partial(scale.many_keys, package),
            "imports": partial(imports.imports, package),
            "containers": image.containers,
            "kubernetes": partial(cluster.secret, package),
            "tests": suite.tests,
        }
        if not set(names) <= measures.keys():
            sys.exit(f"the sections are {', '.join(measures)}")
        for name in names or measures:
            sections.append(_measured(measures[name]))
            print(_text(sections[-1]), flush=True)
    verdicts = [verdict for section in sections for verdict in section.verdicts]
    targets = table(("what", "at most", "measured", "met"), [verdict.row() for verdict in verdicts])
    print(targets)
    if names:
        return
    parts = [_INTRODUCTION.format(machine=machine), f"## Targets\n\n{targets}\n", _REMARKS, *map(_text, sections)]
    _DOCUMENT.parent.mkdir(exist_ok=True)
    _DOCUMENT.write_text("\n".join(parts))
    plots.draw()


def _measured(measure: Callable[[], Section]) -> Section:
    try:
        return measure()
    except Failed as error:
        # One section less is no reason to lose the others.
        return Section("Not measured", [f"A program failed: {str(error).strip().splitlines()[-1]}"])


def _text(section: Section) -> str:
    return "\n\n".join([f"## {section.title}", *section.parts]) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
