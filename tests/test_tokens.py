import pytest
from hypothesis import given
from hypothesis import strategies as st

from init_job.tokens import Claims, Kind, is_jwt, read_claims
from tests.support import jwt

ID = "9d29abdf-a5ec-4aac-a1ed-93bcef9590d5"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"typ": "key", "sub": ID}, Claims(Kind.API_KEY, "v4", ID)),
        ({"sub": "api_key", "api_key_id": ID}, Claims(Kind.API_KEY, "v3", ID)),
        ({"sub": "api_key", "api_key_id": ID.upper()}, Claims(Kind.API_KEY, "v3", ID)),
        ({"typ": "user", "sub": ID}, Claims(Kind.LOGIN)),
        ({"sub": "user", "username": "admin"}, Claims(Kind.LOGIN)),
        ({"typ": "user", "exp": 1_700_000_000}, Claims(Kind.LOGIN, expires=1_700_000_000)),
        ({"typ": "user", "exp": 10**400}, Claims(Kind.LOGIN)),
        ({"typ": "user", "exp": -(10**400)}, Claims(Kind.LOGIN)),
        ({"typ": "user", "exp": [1]}, Claims(Kind.LOGIN)),
        ({"sub": "1234567890"}, Claims(Kind.OTHER_JWT)),
        ({"typ": "key", "sub": "x"}, Claims(Kind.OTHER_JWT)),
        ({"typ": "key", "sub": 7}, Claims(Kind.OTHER_JWT)),
    ],
)
def test_the_claims_say_what_a_token_is(claims: dict[str, object], expected: Claims) -> None:
    assert read_claims(jwt(claims)) == expected


@pytest.mark.parametrize("text", ["", "verysecret", "a.b", "1.2.3", "a.b.c.d", "a.b.c\n", jwt({}) + " ", "x" * 9000])
def test_what_is_no_token(text: str) -> None:
    assert read_claims(text).kind is Kind.NO_JWT


@given(st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]+", fullmatch=True))
def test_reading_claims_never_raises(text: str) -> None:
    assert read_claims(text).kind in Kind


@given(st.text(alphabet=st.characters(max_codepoint=0x7F)))
def test_what_is_a_jwt_needs_no_quoting_anywhere(text: str) -> None:
    if is_jwt(text):
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
