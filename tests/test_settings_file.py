"""What a `.env` means, in our reader and in Docker Compose."""

import time
import tracemalloc

import pytest

from init_job.settings_file import read

ENVIRON = {"OUTER": "outer value", "EMPTY": ""}
COMPOSE: list[tuple[str, str | None]] = [
    ("VALUE = spaced ", "spaced"),
    ("VALUE='pa${word}x'", "pa${word}x"),
    ("VALUE=pa${word}x", "pax"),
    ('VALUE="pa${word}x"', "pax"),
    ("VALUE=pa$wordx", "pa"),
    ("VALUE=pa$$word", "pa$word"),
    ("VALUE='pa$$word'", "pa$$word"),
    ('VALUE="pa\\$word"', "pa$word"),
    ("VALUE=pa\\$word", "pa\\"),
    ("VALUE=pa$1x", "pa$1x"),
    ("VALUE=pa$", "pa$"),
    ("VALUE=pa$-x", "pa$-x"),
    ("VALUE=${OUTER}", "outer value"),
    ("VALUE=$OUTER!", "outer value!"),
    ("VALUE='$OUTER'", "$OUTER"),
    ("VALUE=${unset:-default}", "default"),
    ("VALUE=${EMPTY:-default}", "default"),
    ("VALUE=${EMPTY-default}", ""),
    ("VALUE=${OUTER:+there}", "there"),
    ("VALUE=${OUTER+there}", "there"),
    ("VALUE=${EMPTY:+there}", ""),
    ("VALUE=${unset:?no}", None),
    ("VALUE=${EMPTY?no}", ""),
    ("VALUE=${OUTER:?no}", "outer value"),
    ("VALUE=${unset:-${OUTER}}x", "outer valuex"),
    ("VALUE=${unset:-a}${OUTER:-b}c}", "aouter valuec}"),
    ("VALUE=${unset", None),
    ("VALUE=${}", None),
    ("VALUE=${1}", None),
    ("VALUE=${unset:-a b} # c", "a b"),
    ("VALUE=a#b", "a#b"),
    ("VALUE=a #b", "a"),
    ("VALUE=a\t#b", "a\t#b"),
    ("VALUE= # c", "# c"),
    ("VALUE=#c", "#c"),
    ("VALUE=", ""),
    ("VALUE", None),
    ("VALUE\n", ""),
    ("VALUE=\n", ""),
    ("OUTER2=x\nVALUE=$OUTER2", "x"),
    ("VALUE='a b' # c", "a b"),
    ("VALUE='a'b", None),
    ("VALUE='it''s'", None),
    ("VALUE='it\\'s'", "it's"),
    ("VALUE='back\\\\slash'", "back\\\\slash"),
    ("VALUE='back\\slash'", "back\\slash"),
    ("VALUE='end\\\\'", "end\\\\"),
    ('VALUE="a\\"b"', 'a"b'),
    ('VALUE="a\\nb"', "a\nb"),
    ('VALUE="a\\\\nb"', "a\\nb"),
    ('VALUE="a\\tb\\x\\c"', "a\tb\\x\\c"),
    ('VALUE="a\\0123b"', "aSb"),
    ('VALUE="a\\0b"', "a\\b"),
    ('VALUE="a\\012b"', "a\\12b"),
    ('VALUE="a\nb"', "a\nb"),
    ("VALUE='a\nb'", "a\nb"),
    ('VALUE="open', None),
    ("VALUE='open", None),
    ('VALUE=a"b', 'a"b'),
    ("VALUE=a'b", "a'b"),
    ('VALUE="a"b', None),
    ("VALUE=a\\nb", "a\\nb"),
    ("VALUE=a\\", "a\\"),
    ("export VALUE=x", "x"),
    ("  export  VALUE=x", "x"),
    ("VALUE: yaml", "yaml"),
    ("VALUE:yaml", "yaml"),
    ("VALUE:=x", "=x"),
    ("VALUE=a=b:c", "a=b:c"),
    ("VALUE=a\r\nB=c\r\n", "a"),
    ("VALUE='a'\r\nB=c\r\n", "a"),
    ('VALUE="a\r\nb"\r\n', "a\r\nb"),
    ("\ufeffVALUE=bom", "bom"),
    ("VALUE=\ufeffbom", "\ufeffbom"),
    ("VALUE=one\nVALUE=two", "two"),
    ("VALUE=a  b", "a  b"),
    ("VALUE=päss", "päss"),
    ("VALUE=\xa0x\xa0", "x"),
    ("# c\n\n  # d\nVALUE=x", "x"),
    ("VAL UE=x\nVALUE=y", None),
    ("A-B.C[0]=x\nVALUE=y", "y"),
    ("A$B=x\nVALUE=y", None),
    ("'VALUE'=x", None),
    ("=x\nVALUE=y", None),
    ("VALUE=`id`", "`id`"),
    ("VALUE=$(id)", "$(id)"),
    ("VALUE=a;b&c|d", "a;b&c|d"),
    ("VALUE=!@%^&*()_+{}[]<>?,./~", "!@%^&*()_+{}[]<>?,./~"),
    ("VALUE=pa{word}", "pa{word}"),
    ('VALUE=""', ""),
    ("VALUE=''", ""),
    ('VALUE="  x  "', "  x  "),
    ("VALUE=x # ${unset:?no}", "x"),
    ("VALUE='a' 'b'", None),
    ('VALUE="a" b', None),
    ("VALUE=\\", "\\"),
    ('VALUE="\\\\"', "\\"),
    ('VALUE="\\\\$OUTER"', "\\outer value"),
    ('VALUE="$OUTER\'s"', "outer value's"),
    ("VALUE=${OUTER}${OUTER}", "outer valueouter value"),
    ("VALUE=${unset:-$OUTER}", "outer value"),
    ("VALUE=${unset:-{}}", "{}"),
    ("VALUE=${unset:--}", "-"),
    ("VALUE=${un-set:-x}", "set:-x"),
    ("VALUE=${OUTER/a/b}", None),
    ("VALUE=${ä}", None),
    ("1X=2\nVALUE=y", "y"),
    ("VALUE=a\x0bb", "a\x0bb"),
    ("A=1\nexport\nVALUE=x", "x"),
    ("A\n\nVALUE=x", "x"),
    ("A\n  # c\nVALUE=x", "x"),
    ("VALUE=$a$b", ""),
    ("VALUE=$$$OUTER", "$outer value"),
    ("VALUE=${OUTER:-x}-${unset}-y", "outer value--y"),
    ("VALUE=x\n garbage here\n", None),
    ("VALUE ='x'", "x"),
    ("VALUE=\t'x'", "x"),
    ('VALUE="a\\', None),
    ('VALUE="\\$$OUTER"', "$outer value"),
    ('VALUE="${unset:-"x"}"', None),
    ("VALUE=${unset:-'x'}", "'x'"),
    ("VALUE=${unset:-a#b}", "a#b"),
    ("VALUE=${unset:-a #b}", None),
]
"""A file, and VALUE as Docker Compose 2.26 reads it; None: it refuses the file. The container suite asks the Compose
that is there."""


@pytest.mark.parametrize(("text", "value"), COMPOSE)
def test_a_file_is_read_as_compose_reads_it(text: str, value: str | None) -> None:
    text = text.removeprefix("\ufeff")  # taken off every file that is read
    if value is None:
        with pytest.raises(ValueError, match="line "):
            read(text, ENVIRON)
    else:
        found = read(text, ENVIRON).get("VALUE")
        assert (found.text if found else "") == value


@pytest.mark.parametrize(
    "line",
    ["B='open secret", "open secret", "B=${open secret}", "B=my${secret?}", "B=${unset:?secret}", "my-secret='x"],
)
def test_the_line_of_an_error_is_told_and_nothing_that_stands_in_it(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 3: ") as error:
        read(f"A=1\n\n{line}\n", {})
    assert "secret" not in str(error.value)


def test_what_would_take_a_machines_time_or_memory_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^line 2: \$\{ within \$\{ more than 20 times$"):
        read("A=1\nB=" + "${A_:-" * 300 + "x" + "}" * 300, {})
    doubled = "A0=0123456789\n" + "".join(f"A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 20))
    with pytest.raises(ValueError, match=r"^line 16: it becomes longer than 131072 characters$"):
        read(doubled, {})
    assert read("A=" + "${B:-" * 20 + "x" + "}" * 20, {})["A"].text == "x"
    assert len(read("A=" + "x" * 200_000, {})["A"].text) == 200_000  # perhaps another service's: it does no harm
    with pytest.raises(ValueError, match=r"^line 168: the values become longer than 16777216 characters$"):
        read("A=" + "x" * 100_000 + "\n" + "".join(f"A{n}=$A\n" for n in range(1000)), {})


@pytest.mark.parametrize(
    "text",
    ["A=1\n" * 60_000, "\n" * 200_000, "#\n" * 100_000, "A='" + "x" * 200_000 + "'", "A=" + "${B}" * 30_000],
    ids=["lines", "blank lines", "comments", "a long value", "a value of variables"],
)
def test_a_long_file_costs_what_its_length_asks_for(text: str) -> None:
    started = time.process_time()
    read(text, {"B": ""})
    assert time.process_time() - started < 3
    tracemalloc.start()
    read(text, {"B": ""})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * len(text)


def test_variables_that_are_set_nowhere_are_told() -> None:
    text = "A=$one${two:-x}${three}\nB='$four'\nC=$A"
    assert {name: value.unset for name, value in read(text, {}).items()} == {"A": ("one", "three"), "B": (), "C": ()}


def test_a_shared_file_with_bytes_of_another_encoding_is_read() -> None:
    text = b"B=\xff\nVALUE=x".decode("utf-8", "surrogateescape")
    assert read(text, {})["VALUE"].text == "x"
