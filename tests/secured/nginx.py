"""A real nginx of this machine in front of a simulated server: TLS and a path prefix."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.secured.authority import Certificate

PREFIX = "/chirpstack"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])  # a user's PATH may lack these
_CONFIGURATION = """
daemon off;
{user}
pid nginx.pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  limit_req_zone $binary_remote_addr zone=few:1m rate=3r/s;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate.file};
    ssl_certificate_key {certificate.key_file};
    {server}
    location {prefix}/ {{
      proxy_pass {upstream}/;
      {location}
    }}
  }}
}}
"""


def nginx_or_skip() -> str:
    """The program. In CI its absence is a failure: there these tests are the point."""
    program = shutil.which("nginx", path=_PATH)
    if program:
        return program
    missing = "nginx is not installed: apt-get install nginx-light (Debian, Ubuntu), apk add nginx (Alpine)"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


@contextmanager
def nginx(
    folder: Path, upstream: str, certificate: Certificate, *, server: str = "", location: str = ""
) -> Iterator[str]:
    """The server's address there. `server` and `location` are more directives for those blocks."""
    program = nginx_or_skip()
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                # Its workers would be somebody else's otherwise, who may not write into the folder.
                user="user root;" if os.geteuid() == 0 else "",
                port=port,
                certificate=certificate,
                upstream=upstream,
                prefix=PREFIX,
                server=server,
                location=location,
            )
        )
        # As for an upgrade of its binary, nginx takes over a socket that listens: nobody else can get the port, and
        # whoever connects before it runs has to wait only.
        process = subprocess.Popen(
            [program, "-p", folder, "-c", folder / "nginx.conf"],
            env={"NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            stderr=subprocess.PIPE,
        )
    try:
        yield f"https://localhost:{port}{PREFIX}"
        assert process.poll() is None, "nginx has ended"
    finally:
        process.terminate()
        _, complaints = process.communicate(timeout=10)
        print(complaints.decode())  # pytest shows it when the test fails
