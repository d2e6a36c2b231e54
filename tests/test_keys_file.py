"""What may stand in KEYS_FILE, and what is said of anything else."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from init_job import account
from init_job.errors import ConfigurationError
from init_job.load import settings as load
from init_job.settings import KeySettings
from init_job.values import OnLostToken, Scope

THREE = """
[[key]]
name = "grafana"
read_only = true
token_file = "/shared/grafana"

[[key]]
name = "bridge"
scope = "tenant:ChirpStack"
env_file = "/project/.env"
env_var = "BRIDGE_TOKEN"
env_scope_id_var = "TENANT_ID"
on_lost_token = "replace"
file_mode = "0640"

[[key]]
name = "app"
scope = "tenant:ChirpStack"
env_file = "/project/.env"
env_var = "APP_TOKEN"
env_scope_id_var = "TENANT_ID"
json_file = "-"
"""


def one(*lines: str) -> str:
    return "\n".join(("[[key]]", 'name = "a"', 'token_file = "/shared/a"', *lines)) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def loaded(file: Path, content: str | bytes, only: tuple[str, ...] = (), **variables: str) -> tuple[KeySettings, ...]:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load({"KEYS_FILE": str(file), **variables}, "/dev/null", only=only).keys


def problems(file: Path, content: str | bytes, only: tuple[str, ...] = (), **variables: str) -> list[str]:
    """Each, without what all of them have in common."""
    with pytest.raises(ConfigurationError) as error:
        loaded(file, content, only, **variables)
    return str(error.value).partition("in the settings: ")[2].split("; ")


def test_each_table_is_a_key(file: Path) -> None:
    tenant, plain = Scope("tenant", "ChirpStack"), Scope("admin")
    keep, replace = OnLostToken.FAIL, OnLostToken.REPLACE
    assert loaded(file, THREE) == (
        KeySettings("grafana", plain, True, keep, "/shared/grafana", "", "CHIRPSTACK_API_TOKEN", "", "", "", -1),
        KeySettings("bridge", tenant, False, replace, "", "/project/.env", "BRIDGE_TOKEN", "TENANT_ID", "", "", 0o640),
        KeySettings("app", tenant, False, keep, "", "/project/.env", "APP_TOKEN", "TENANT_ID", "-", "", -1),
    )


def test_two_variables_are_for_all_keys_that_do_not_say_otherwise(file: Path) -> None:
    keys = loaded(file, THREE, ON_LOST_TOKEN="add", FILE_MODE="0600")
    assert [(key.on_lost_token.value, key.file_mode) for key in keys] == [
        ("add", 0o600), ("replace", 0o640), ("add", 0o600)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        THREE.encode().replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + THREE.encode(),
        b"key = [{name = 'grafana', token_file = '/shared/grafana'}, {name = 'x', token_file = '/x', env_file = ''},"
        b" {name = 'y', json_file = '-'}]",
    ],
    ids=["CRLF", "byte order mark", "inline tables"],
)
def test_toml_as_editors_write_it_is_understood(content: bytes, file: Path) -> None:
    assert len(loaded(file, content)) == 3


def test_what_cannot_be_meant_is_taken_off_and_told(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    (key,) = loaded(file, one('scope = " Tenant: ChirpStack\\n"'))
    assert key.scope == Scope("tenant", "ChirpStack")
    assert 'KEYS_FILE: key 1 ("a"): scope (white space at its beginning and a line end at its end)' in caplog.text


def test_a_host_has_a_name_in_the_file_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    content = key("at-{hostname}", token_file="x") + key("b", token_file="y")
    for name in ("at-{hostname}", "at-here"):
        assert [key.name for key in loaded(file, content, (name,))] == ["at-here"]


def test_the_images_token_file_gives_way(file: Path) -> None:
    assert {key.token_file for key in loaded(file, one(), DEFAULT_TOKEN_FILE="/image/token")} == {"/shared/a"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "has no [[key]] in it"),
        ("# nothing yet\n", "has no [[key]] in it"),
        ("key = []", "has no [[key]] in it"),
        ("not toml", "is not TOML: "),
        ("key: \n  - name: a\n", "is not TOML: "),
        ('{"key": []}', "is not TOML: "),
        ("x = " + "[" * 5000, "nested too deep"),
        ("x = " + "9" * 5000, "too many digits"),
        (THREE.encode("utf-16"), "is not UTF-8 but UTF-16"),
        ('[[key]]\nname = "ä"'.encode("latin-1"), "is not UTF-8: save it as UTF-8"),
        (b"\0" * 10, "is not UTF-8"),
        (b" " * (1 << 20 | 1), "has more than 1 MiB"),
        (b"[[key]]\n" * 1001, "has more than 1000 keys"),
        (b" " * (8 << 20 | 1), "has more than 8 MiB"),
        ('[key]\nname = "a"', "[key] is one table, where there can be several: [[key]]"),
        ('key = "a"', "key is a string: each key is a table [[key]]"),
        ("key = [1]", "key is an array: each key is a table [[key]]"),
        ("key = 1979-05-27", "key is a date or a time: each key is a table [[key]]"),
        ('[[keys]]\nname = "a"', '"keys" is unknown: each key is a table [[key]]'),
        ("[server]\n" + one(), '"server" is unknown: each key is a table [[key]]'),
    ],
)
def test_a_file_that_is_none_is_one_problem(content: str | bytes, words: str, file: Path) -> None:
    (problem,) = problems(file, content)
    assert problem.startswith("KEYS_FILE: ")
    assert words in problem


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('nmae = "x"', '"nmae" is no field of a key (was name meant?)'),
        ('API_KEY_SCOPE = "admin"', '"API_KEY_SCOPE" is no field of a key (was scope meant?)'),
        ('tenant = "x"', '"tenant" is no field of a key (was scope meant?)'),
        ("readonly = true", '"readonly" is no field of a key (was read_only meant?)'),
        ("read-only = true", '"read-only" is no field of a key (was read_only meant?)'),
        ('Json_File = "x"', '"Json_File" is no field of a key (was json_file meant?)'),
        ('password = "precious"', '"password" is no field of a key (is the variable CHIRPSTACK_PASSWORD meant?)'),
        ('colour = "blue"', '"colour" is no field of a key'),
        ('"\\u001b[31m" = 1', "is no field of a key"),
        ('read_only = "true"', "read_only: it is a string, not a boolean: true or false, without quotes"),
        ("read_only = 1", "read_only: it is an integer, not a boolean: true or false, without quotes"),
        ("scope = true", "scope: it is a boolean, not a string: it stands in quotes"),
        ('scope = ["admin"]', "scope: it is an array, not a string: it stands in quotes"),
        ("file_mode = 0o600", "file_mode: it is an integer, not a string: it stands in quotes"),
        ("env_var = 1.5", "env_var: it is a float, not a string: it stands in quotes"),
        ("json_file = {}", "json_file: it is a table, not a string: it stands in quotes"),
        ("on_lost_token = 07:32:00", "on_lost_token: it is a date or a time, not a string: it stands in quotes"),
        ('scope = "tenant"', "scope: 'tenant' is none of admin, tenant:NAME-OR-ID"),
        ('scope = "   "', "scope: it is blank"),
        ('scope = "tenant:${TENANT}"', "scope: it has ${TENANT} in it, which nothing has expanded"),
        ('on_lost_token = "panic"', "on_lost_token: 'panic' is none of fail, replace, add"),
        ('env_var = "1"', "env_var: '1' is not the name of a variable"),
        ('json_file = "/shared/"', "json_file: /shared/ is a folder, not a file"),
        ('json_file = "a\\u0007"', "json_file: it has the character '\\x07' in it"),
        ('env_file = "-"', "env_file: standard output is no .env file; use token_file or json_file"),
        ('env_scope_id_var = "ID"', "env_scope_id_var: the scope admin has no id; leave it out, or set scope"),
        ('file_mode = "0999"', "file_mode: '0999' is not a mode such as 0644"),
    ],
)
def test_what_is_wrong_with_a_key_is_told_with_its_number_and_name(line: str, words: str, file: Path) -> None:
    text = "; ".join(problems(file, one(line)))
    assert text.startswith('KEYS_FILE: key 1 ("a"): ')
    assert words in text
    assert "precious" not in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[[key]]\ntoken_file = "x"', "KEYS_FILE: key 1: it has no name"),
        ('[[key]]\nname = ""\ntoken_file = "x"', "KEYS_FILE: key 1: it has no name"),
        ('[[key]]\nname = 5\ntoken_file = "x"', "KEYS_FILE: key 1: name: it is an integer, not a string"),
        (
            '[[key]]\nname = "a"',
            'KEYS_FILE: key 1 ("a"): no output: set token_file, env_file, json_file or kubernetes_secret',
        ),
        ('[[key]]\nname = "a"\ntoken_file = ""', 'KEYS_FILE: key 1 ("a"): no output'),
    ],
)
def test_a_key_needs_a_name_and_an_output(content: str, words: str, file: Path) -> None:
    (problem,) = problems(file, content)
    assert problem.startswith(words)


def test_the_servers_generation_counts_for_each_key(file: Path) -> None:
    assert problems(file, THREE, CHIRPSTACK_API="v3") == [
        'KEYS_FILE: key 1 ("grafana"): read_only: ChirpStack v3 has no read-only keys',
        'KEYS_FILE: key 2 ("bridge"): scope: ChirpStack v3 has organizations, not tenants: organization:NAME-OR-ID',
        'KEYS_FILE: key 3 ("app"): scope: ChirpStack v3 has organizations, not tenants: organization:NAME-OR-ID',
    ]


def test_all_problems_are_told_at_once(file: Path) -> None:
    content = '[server]\n[[key]]\nname = "a"\nscope = "x"\n[[key]]\nname = "b"\ntokenfile = "b"\nread_only = 1\n'
    found = problems(file, content, WAIT_TIMEOUT="soon", API_KEY_NAME="c", TOKEN_FILE="/t")
    starts = ["WAIT_TIMEOUT", "API_KEY_NAME", "TOKEN_FILE", 'KEYS_FILE: "server"']
    starts += 2 * ['KEYS_FILE: key 1 ("a")'] + 3 * ['KEYS_FILE: key 2 ("b")']
    assert len(found) == len(starts)
    assert [problem[: len(start)] for problem, start in zip(found, starts, strict=True)] == starts


@pytest.mark.parametrize(
    "name", ["API_KEY_NAME", "API_KEY_NAME_FILE", "API_KEY_SCOPE", "API_KEY_READ_ONLY", "TOKEN_FILE", "ENV_FILE",
             "ENV_VAR", "ENV_VAR_FILE", "ENV_SCOPE_ID_VAR", "JSON_FILE"],
)  # fmt: skip
def test_a_keys_settings_do_not_stand_in_two_places(name: str, file: Path) -> None:
    (problem,) = problems(file, one(), (), **{name: "x"})
    assert problem.startswith(f"{name}: with KEYS_FILE it is ")


def key(name: str, **fields: str) -> str:
    return "\n".join(["[[key]]", f'name = "{name}"', *(f'{field} = "{value}"' for field, value in fields.items()), ""])


@pytest.mark.parametrize("scopes", [("admin", "Admin"), ("tenant:x", " tenant: x"), ("org:x", "organisation:x")])
def test_two_keys_with_one_name_and_scope_are_told_however_they_are_written(
    scopes: tuple[str, str], file: Path
) -> None:
    first, second = scopes
    content = key("a", token_file="1", scope=first) + key("b", token_file="2") + key("a", token_file="3", scope=second)
    (problem,) = problems(file, content)
    assert problem == 'KEYS_FILE: key 3 ("a"): key 1 ("a") has the same name and scope'


def test_one_name_in_two_scopes_is_two_keys(file: Path) -> None:
    assert len(loaded(file, key("a", token_file="1") + key("a", token_file="2", scope="tenant:x"))) == 2


ENV = {"env_file": "{0}/.env", "env_var": "A"}


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"token_file": "-"}, {"json_file": "-"}, "standard output is named by two outputs"),
        ({"token_file": "{0}/x"}, {"token_file": "{0}/x"}, "{0}/x is named by two outputs"),
        ({"token_file": "{0}/x"}, {"token_file": "{0}/y/../x"}, "{0}/x is named by two outputs"),
        ({"token_file": "{0}/there"}, {"json_file": "{0}/link"}, "{0}/there is named by two outputs"),
        ({"token_file": "{0}/there"}, {"json_file": "{0}/hard"}, "{0}/hard is named by two outputs"),
        ({"token_file": "{0}/new"}, {"json_file": "{0}/folder/new"}, "{0}/new is named by two outputs"),
        (ENV, ENV, "{0}/.env (A) is named by two outputs"),
        (ENV, {"token_file": "{0}/.env"}, "{0}/.env is named by two outputs"),
        ({"token_file": "{0}/.env"}, ENV, "{0}/.env is named by two outputs"),
        (ENV, {**ENV, "env_var": "B", "env_scope_id_var": "A", "scope": "tenant:x"}, "(A) is named by two outputs"),
        (
            {**ENV, "env_scope_id_var": "ID", "scope": "tenant:x"},
            {**ENV, "env_var": "B", "env_scope_id_var": "ID", "scope": "tenant:y"},
            "(ID) is named by two outputs",
        ),
    ],
)
def test_one_output_of_two_keys_is_told_by_whatever_path_it_is_named(
    first: Mapping[str, str], second: Mapping[str, str], words: str, file: Path, tmp_path: Path
) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "hard").hardlink_to(tmp_path / "there")
    (tmp_path / "folder").symlink_to(tmp_path)
    (problem,) = problems(file, (key("a", **first) + key("b", **second)).replace("{0}", str(tmp_path)))
    assert words.replace("{0}", str(tmp_path)) in problem
    assert problem.startswith('KEYS_FILE: key 2 ("b"): ')
    assert problem.endswith('of this key and of key 1 ("a")')


@pytest.mark.parametrize("field", ["token_file", "env_file", "json_file"])
@pytest.mark.parametrize("path", ["keys.toml", "link", "hard"])
def test_the_file_itself_is_no_output(field: str, path: str, file: Path, tmp_path: Path) -> None:
    """A variable in it would be the end of the TOML."""
    file.touch()
    (tmp_path / "link").symlink_to(file)
    (tmp_path / "hard").hardlink_to(file)
    (problem,) = problems(file, key("a", **{field: f"{tmp_path}/{path}"}))
    shown = file if path == "link" else tmp_path / path
    assert problem == f'KEYS_FILE: key 1 ("a"): {shown} is KEYS_FILE itself'


def test_keys_without_a_name_have_no_name_in_common(file: Path) -> None:
    found = problems(file, '[[key]]\ntoken_file = "1"\n[[key]]\ntoken_file = "2"\n' + key("init-job", token_file="3"))
    assert found == [f"KEYS_FILE: key {number}: it has no name" for number in (1, 2)]


def test_two_outputs_of_one_key_are_told_as_well(file: Path) -> None:
    (problem,) = problems(file, one('json_file = "/shared/a"'))
    assert problem == 'KEYS_FILE: key 1 ("a"): /shared/a is named by two outputs'


@pytest.mark.parametrize("kind", ["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    if kind == "a folder":
        path.mkdir()
    with pytest.raises(ConfigurationError) as error:
        load({"KEYS_FILE": str(path)}, "/dev/null")
    assert "KEYS_FILE: " in str(error.value)
    assert str(path) in str(error.value)


def test_keys_are_chosen_by_their_names(file: Path) -> None:
    assert [key.name for key in loaded(file, THREE, ("app", "grafana", "app"))] == ["grafana", "app"]
    (problem,) = problems(file, THREE, ("app", "grafanna"))
    assert problem == "--key: there is no key 'grafanna', but grafana, bridge, app"


def test_the_one_key_without_a_file_has_a_name_too() -> None:
    environ = {"TOKEN_FILE": "/t", "API_KEY_NAME": "a"}
    assert load(environ, "/dev/null", only=("a",)).keys[0].name == "a"
    with pytest.raises(ConfigurationError, match="--key: there is no key 'b', but a"):
        load(environ, "/dev/null", only=("b",))


def test_a_token_that_is_named_for_a_check_is_that_of_one_key(file: Path) -> None:
    file.write_text(THREE)
    environ, named = {"KEYS_FILE": str(file)}, {"ENV_FILE": "/other", "ENV_VAR": "X"}
    (chosen,) = load(environ, "/dev/null", named, only=("app",)).keys
    assert (chosen.env_file, chosen.env_var, chosen.json_file, chosen.env_scope_id_var) == ("/other", "X", "", "")
    with pytest.raises(ConfigurationError, match="--key NAME says which"):
        load(environ, "/dev/null", named)


def test_what_is_wrong_with_a_token_that_is_named_for_a_check_is_told_with_the_rest(file: Path) -> None:
    file.write_text(one("colour = 1"))
    for environ in ({"KEYS_FILE": str(file)}, {"API_KEY_SCOPE": "x"}):
        with pytest.raises(ConfigurationError, match=r"2 problems.*TOKEN_FILE: /pasted/ is a folder"):
            load(environ, "/dev/null", {"TOKEN_FILE": "/pasted/"})


def test_variables_of_the_keys_are_no_misspelt_ones(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    loaded(file, key("a", env_file=".env", env_var="API_KEY_NAM"), API_KEY_NAM="x", KEY_FILE="tls.key")
    assert caplog.text == ""


def test_the_readmes_example_is_understood(file: Path) -> None:
    readme = Path(__file__).parent.parent / "README.md"
    content = readme.read_text().partition("```toml\n")[2].partition("```")[0]
    assert len(tomllib.loads(content)["key"]) == len(loaded(file, content)) == 2


def test_keys_in_secrets_are_looked_at_like_those_in_files(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = '[[key]]\nname = "a"\nkubernetes_secret = "app"\n[[key]]\nname = "b"\nkubernetes_secret = "here/app"\n'
    assert "kubernetes_secret: this is no pod of a Kubernetes cluster" in problems(file, secrets)[0]
    monkeypatch.setattr(account, "FOLDER", str(tmp_path))
    for name in ("token", "ca.crt", "namespace"):
        (tmp_path / name).write_text("here")
    pod = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert problems(file, secrets, (), **pod) == [
        'KEYS_FILE: key 2 ("b"): Secret here/app (CHIRPSTACK_API_TOKEN) is named by two outputs, of this key and of '
        'key 1 ("a")'
    ]
    keys = loaded(file, f'{secrets}env_var = "OTHER"\n', (), **pod)
    assert [key.kubernetes_secret for key in keys] == ["here/app", "here/app"]
