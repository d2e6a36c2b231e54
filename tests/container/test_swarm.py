"""The Swarm stack runs; alone, because an engine that joins or leaves a swarm forgets the names in other networks."""

import os
import time
from collections.abc import Iterator

import pytest

from tests.container.harness import IMAGE, ROOT, SIMULATOR_IMAGE, call, docker, new_name


@pytest.fixture
def swarm() -> Iterator[str]:
    """A name for a stack in a swarm of one, with the password as a secret."""
    joined = docker("info", "--format", "{{.Swarm.LocalNodeState}}").stdout.strip() == "active"
    if not joined:
        docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    name = new_name()
    try:
        node = docker("info", "--format", "{{.Swarm.NodeID}}").stdout.strip()
        docker("node", "update", "--label-add", "chirpstack-token=true", node)
        call("docker", "secret", "create", "chirpstack_password", "-", input="admin")
        yield name
    finally:
        docker("stack", "rm", name, fails=True)
        deadline = time.monotonic() + 60
        while docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.stack.namespace={name}").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        docker("volume", "rm", "--force", f"{name}_api-token")
        docker("secret", "rm", "chirpstack_password", fails=True)
        if not joined:
            docker("swarm", "leave", "--force")


def test_the_swarm_stack_starts_a_failed_job_again_until_the_consumer_has_its_token(swarm: str) -> None:
    files = ("--compose-file", "examples/swarm/stack.yml", "--compose-file", "tests/container/simulated-swarm.yml")
    environment = {**os.environ, "INIT_JOB_IMAGE": IMAGE, "SIMULATOR_IMAGE": SIMULATOR_IMAGE}
    deploy = ("docker", "stack", "deploy", "--detach=true", "--resolve-image", "never")
    call(*deploy, *files, swarm, cwd=ROOT, env=environment)

    def tasks(service: str) -> list[str]:
        shown = docker("service", "ps", "--format", "{{.CurrentState}} {{.Error}}", f"{swarm}_{service}").stdout
        return shown.splitlines()

    deadline = time.monotonic() + 120
    while not any(task.startswith("Complete") for task in tasks("consumer")):
        assert time.monotonic() < deadline, (tasks("chirpstack-init"), tasks("chirpstack"))
        time.sleep(1)
    assert tasks("chirpstack-init")[0].startswith("Complete")
    assert any("non-zero exit (3)" in task for task in tasks("chirpstack-init"))
