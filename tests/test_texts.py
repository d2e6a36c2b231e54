import pytest

from init_job.texts import stands_for_a_token, suspicious


@pytest.mark.parametrize(
    ("password", "told"),
    [
        ("correct horse battery", ""),
        ("it's", ""),
        ('"pw"', "it has quotes around it"),
        ("'pw'", "it has quotes around it"),
        ("\u201dpw\u201d", "it has quotes around it"),
        ("\u201epw\u201d", "it has quotes around it"),
        ("\u00bbpw\u00ab", "it has quotes around it"),
        ("pw\n", "it has a line end at its end"),
        ("pw\r", "it has a line end at its end"),
        ("pw ", "it has white space at its end"),
        (" pw", "it has white space at its beginning"),
        ("\ufeffpw", "it has a byte order mark"),
        ('"pw"\r\n', "it has a line end at its end and quotes around it"),
        ("pa${word}", "it has a variable in it that nothing has expanded"),
        ("p\x01w", "it has a control character in it"),
        ("p\u2060w", "it has a control character in it"),
        ("pw\u200e", "it has a control character in it"),
        ("p\xa0w", "it has a space in it that no space bar makes"),
        ("p\u3000w", "it has a space in it that no space bar makes"),
        ("changeme", "it looks like a placeholder"),
        ('"changeme"', "it has quotes around it; it looks like a placeholder"),
    ],
)
def test_what_a_password_hardly_has_is_named(password: str, told: str) -> None:
    assert suspicious(password) == told


def test_a_long_text_in_a_tokens_place_is_judged_at_once() -> None:
    assert not stands_for_a_token("-" * 100_000 + "a")
