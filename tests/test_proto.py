"""The generated module is what the .proto generates, and the .proto says what the official messages say."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from init_job.servers import chirpstack_pb2

SERVERS = Path(chirpstack_pb2.__file__).parent
OFFICIAL = {
    name: f"chirpstack_api.api.{module}_pb2"
    for module, names in {
        "internal": (
            "LoginRequest LoginResponse GetVersionResponse ProfileResponse ListApiKeysRequest ListApiKeysResponse "
            "CreateApiKeyRequest CreateApiKeyResponse DeleteApiKeyRequest ApiKey"
        ),
        "user": "User UpdateUserPasswordRequest",
        "tenant": "GetTenantRequest ListTenantsRequest ListTenantsResponse TenantListItem",
    }.items()
    for name in names.split()
}


def test_the_generated_module_is_up_to_date(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", f"-I{SERVERS}", f"--python_out={tmp_path}",
            f"--pyi_out={tmp_path}", "chirpstack.proto",
        ],
        check=True,
    )  # fmt: skip
    for name in ("chirpstack_pb2.py", "chirpstack_pb2.pyi"):
        assert (tmp_path / name).read_text() == (SERVERS / name).read_text(), "run: make proto"


@pytest.mark.parametrize("name", sorted(chirpstack_pb2.DESCRIPTOR.message_types_by_name))
def test_every_field_is_the_official_one(name: str) -> None:
    official = getattr(importlib.import_module(OFFICIAL[name]), name).DESCRIPTOR.fields_by_name
    for field in chirpstack_pb2.DESCRIPTOR.message_types_by_name[name].fields:
        theirs = official[field.name]
        assert (field.number, field.type) == (theirs.number, theirs.type)
        assert (field.is_repeated, field.message_type and field.message_type.name) == (
            theirs.is_repeated,
            theirs.message_type and theirs.message_type.name,
        )
