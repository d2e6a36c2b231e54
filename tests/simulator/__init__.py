"""A ChirpStack server in the process of a test: v3's REST and v4's gRPC-Web, over real sockets.

Faithful to `tests/recordings`, what real servers answered; `tests/test_recordings.py` holds it to them.
"""

from tests.simulator.server import Simulator
from tests.simulator.state import ApiKey
from tests.simulator.wire import Drop, Request, Response

__all__ = ["ApiKey", "Drop", "Request", "Response", "Simulator"]
