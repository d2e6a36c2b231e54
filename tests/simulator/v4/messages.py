"""The messages of the official `chirpstack_api` package, imported when the first v4 server starts."""

import sys
from types import ModuleType
from typing import Any


class _Messages:
    """Has every message of the modules below as an attribute."""

    def load(self) -> None:
        if "LoginRequest" in vars(self):
            return
        # The package's __init__ imports the gRPC stubs, and with them grpc: twice the time of all the rest,
        # for nothing. An empty package in its place leads past it, and goes again.
        name = "chirpstack_api.api"
        stands_in = name not in sys.modules
        if stands_in:
            import chirpstack_api

            package = ModuleType(name)
            package.__path__ = [f"{path}/api" for path in chirpstack_api.__path__]
            sys.modules[name] = package
        try:
            from chirpstack_api.api import (
                application_pb2,
                device_profile_pb2,
                internal_pb2,
                tenant_pb2,
                user_pb2,
            )
        finally:
            if stands_in:
                del sys.modules[name]
        from google.protobuf.message import DecodeError
        from google.protobuf.timestamp_pb2 import Timestamp

        vars(self).update(DecodeError=DecodeError, Timestamp=Timestamp)
        for module in (application_pb2, device_profile_pb2, internal_pb2, tenant_pb2, user_pb2):
            vars(self).update((key, value) for key, value in vars(module).items() if isinstance(value, type))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


pb = _Messages()
