"""The units in examples/podman belong together. What Podman's generator makes of them needs Podman and systemd."""

import re
from pathlib import Path

from init_job.errors import EXIT_CODES

UNITS = Path(__file__).parent.parent / "examples" / "podman"


def lines(file: str) -> list[str]:
    return (UNITS / file).read_text().splitlines()


def test_every_network_and_volume_of_a_unit_is_there() -> None:
    text = "\n".join(unit.read_text() for unit in UNITS.glob("*.container"))
    named = set(re.findall(r"^(?:Network|Volume)=([\w.-]+)", text, re.MULTILINE))
    assert named == {unit.name for unit in UNITS.iterdir() if unit.suffix in {".network", ".volume"}}


def test_the_consumer_starts_after_a_job_that_has_ended_with_0() -> None:
    job = "chirpstack-init"
    assert {f"Requires={job}.service", f"After={job}.service"} <= set(lines("consumer.container"))
    wanted = {"Type=oneshot", "RemainAfterExit=yes", "Restart=on-failure", "RestartMode=direct"}
    assert wanted <= set(lines(f"{job}.container"))


def test_only_what_a_later_run_may_mend_is_tried_again() -> None:
    (line,) = (line for line in lines("chirpstack-init.container") if line.startswith("RestartPreventExitStatus="))
    final = {str(code) for code, _ in EXIT_CODES if code not in ("0", "1", "3", "130, 143")}
    assert set(line.partition("=")[2].split()) == final


def test_the_job_is_confined_and_its_password_is_a_secret() -> None:
    wanted = {"ReadOnly=true", "DropCapability=all", "NoNewPrivileges=true", "Secret=chirpstack_password"}
    assert wanted <= set(lines("chirpstack-init.container"))
