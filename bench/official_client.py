"""The job's calls with the official Python client (gRPC): no waiting, no precautions. URL, key name and token file."""

import sys
from pathlib import Path
from urllib.parse import urlsplit

import grpc  # type: ignore[import-untyped]
from chirpstack_api import api

url, name, path = sys.argv[1], sys.argv[2], Path(sys.argv[3])
with grpc.insecure_channel(urlsplit(url).netloc) as channel:
    profiles = api.DeviceProfileServiceStub(channel)
    if not path.exists():
        internal = api.InternalServiceStub(channel)
        login = internal.Login(api.LoginRequest(email="admin", password="admin"))
        session = [("authorization", f"Bearer {login.jwt}")]
        internal.GetVersion(api.google_dot_protobuf_dot_empty__pb2.Empty(), metadata=session)
        keys = api.ListApiKeysRequest(limit=5000, is_admin=True)
        if any(key.name == name for key in internal.ListApiKeys(keys, metadata=session).result):
            sys.exit(f"there is a key {name}")
        key = api.ApiKey(name=name, is_admin=True)
        created = internal.CreateApiKey(api.CreateApiKeyRequest(api_key=key), metadata=session)
        if all(one.id != created.id for one in internal.ListApiKeys(keys, metadata=session).result):
            sys.exit("the key is not listed")
        path.write_text(f"{created.token}\n")
    token = [("authorization", f"Bearer {path.read_text().strip()}")]
    profiles.ListAdrAlgorithms(api.google_dot_protobuf_dot_empty__pb2.Empty(), metadata=token)
