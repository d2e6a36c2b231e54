import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from init_job.errors import Unavailable
from init_job.servers import grpc_web
from init_job.servers.answer import Answer
from init_job.servers.grpc_web import Reply, frame, read
from init_job.servers.interface import NotThisApi

TRAILER = b"\x80\0\0\0\x0fgrpc-status:0\r\n"


def answer(body: bytes = b"", status: int = 200, **headers: str) -> Answer:
    names = {"content_type": "application/grpc-web+proto", **headers}
    return Answer("http://x", status, CaseInsensitiveDict({k.replace("_", "-"): v for k, v in names.items()}), body)


def test_the_contracts_example_of_a_login_is_framed_so() -> None:
    message = bytes.fromhex("0a0561646d696e120561646d696e")
    assert frame(message) == bytes.fromhex("000000000e") + message
    assert frame(b"") == bytes(5)


def test_a_success_is_a_data_frame_and_a_trailer() -> None:
    assert read(answer(frame(b"abc") + TRAILER)) == Reply(0, "", b"abc")
    assert read(answer(frame(b"") + b"\x80\0\0\0\x10grpc-status: 0\r\n")) == Reply(0, "", b"")


def test_an_error_stands_in_the_headers() -> None:
    assert read(answer(grpc_status="16", grpc_message="Invalid%20username")) == Reply(16, "Invalid username", b"")
    assert read(answer(grpc_status="13")) == Reply(13, "", b"")


def test_an_error_may_stand_in_the_trailer_frame() -> None:
    trailer = b"grpc-status:5\r\ngrpc-message:no%21\r\n"
    assert read(answer(b"\x80" + len(trailer).to_bytes(4, "big") + trailer)) == Reply(5, "no!", b"")


WHOLE = frame(b"abc") + TRAILER


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_a_cut_answer_is_no_answer(length: int) -> None:
    with pytest.raises(Unavailable):
        read(answer(WHOLE[:length]))


@pytest.mark.parametrize(
    "body",
    [WHOLE + b"x", TRAILER, frame(b"a") + frame(b"b") + TRAILER, b"\x01" + WHOLE[1:], frame(b"a") + b"\x80\0\0\0\0"],
)
def test_a_damaged_answer_is_no_answer(body: bytes) -> None:
    with pytest.raises(Unavailable):
        read(answer(body))


@pytest.mark.parametrize("status", ["", "x", "-1", "1e3", "٣"])
def test_a_status_that_is_no_number_is_no_answer(status: str) -> None:
    with pytest.raises(Unavailable):
        read(answer(grpc_status=status))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_of_the_moment_is_tried_again(status: int) -> None:
    with pytest.raises(Unavailable) as error:
        read(answer(status=status))
    assert not isinstance(error.value, NotThisApi)


@pytest.mark.parametrize(("status", "kind"), [(200, "text/html"), (404, "application/grpc-web"), (501, "text/plain")])
def test_what_is_no_grpc_web_is_another_api(status: int, kind: str) -> None:
    with pytest.raises(NotThisApi):
        read(answer(status=status, content_type=kind))


@given(st.binary(max_size=64))
def test_nothing_but_unavailable_is_raised_and_only_whole_answers_are_read(body: bytes) -> None:
    try:
        reply = read(answer(body))
    except Unavailable:
        return
    assert body.startswith(grpc_web.frame(reply.payload)) or reply.status != 0
