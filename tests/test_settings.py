import logging
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from init_job import log
from init_job.errors import ConfigurationError
from init_job.load import log_settings
from init_job.load import settings as load
from init_job.settings import VARIABLES, KeySettings, Settings
from init_job.values import OnLostToken, Scope

LEAST = {"TOKEN_FILE": "/shared/token"}


def loaded(**variables: str) -> Settings:
    return load({**LEAST, **variables}, env_file="/dev/null")


def problem(**variables: str) -> str:
    with pytest.raises(ConfigurationError) as error:
        loaded(**variables)
    assert error.value.exit_code == 2
    return str(error.value)


def test_the_defaults() -> None:
    assert loaded() == Settings(
        url="http://chirpstack:8080", api="auto", email="admin", password="", initial_password="", ca_file="",
        client_cert_file="", client_key_file="", tls_verify=True, headers=(), health_url="", wait_timeout=300,
        request_timeout=10, warn_default_password=True, log_format="text", log_level="info", keys_file="", keys=(
            KeySettings(
                name="init-job", scope=Scope("admin"), read_only=False, on_lost_token=OnLostToken.FAIL,
                token_file="/shared/token", env_file="", env_var="CHIRPSTACK_API_TOKEN", env_scope_id_var="",
                json_file="", kubernetes_secret="", file_mode=-1,
            ),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        ({"CHIRPSTACK_URL": "https://host/chirpstack/"}, "url", "https://host/chirpstack"),
        ({"CHIRPSTACK_URL": "http://x:8080/#/"}, "url", "http://x:8080"),
        ({"CHIRPSTACK_URL": "http://[::1]:8080"}, "url", "http://[::1]:8080"),
        ({"CHIRPSTACK_API": "v3"}, "api", "v3"),
        ({"CHIRPSTACK_TLS_VERIFY": "False"}, "tls_verify", False),
        ({"API_KEY_READ_ONLY": "1"}, "read_only", True),
        ({"WAIT_TIMEOUT": "90"}, "wait_timeout", 90),
        ({"WAIT_TIMEOUT": "5m"}, "wait_timeout", 300),
        ({"WAIT_TIMEOUT": "1h"}, "wait_timeout", 3600),
        ({"WAIT_TIMEOUT": "0"}, "wait_timeout", 0),
        ({"REQUEST_TIMEOUT": "500ms"}, "request_timeout", 0.5),
        ({"API_KEY_NAME": "ü" * 100}, "name", "ü" * 100),
        ({"API_KEY_SCOPE": "tenant:My: Tenant"}, "scope", Scope("tenant", "My: Tenant")),
        ({"API_KEY_SCOPE": "application:7"}, "scope", Scope("application", "7")),
        ({"ON_LOST_TOKEN": "add"}, "on_lost_token", OnLostToken.ADD),
        ({"FILE_MODE": "0640"}, "file_mode", 0o640),
        ({"FILE_MODE": "400"}, "file_mode", 0o400),
        ({"CHIRPSTACK_EMAIL": ""}, "email", "admin"),
        ({"CHIRPSTACK_API": "V4"}, "api", "v4"),
        ({"CHIRPSTACK_API": "3"}, "api", "v3"),
        ({"CHIRPSTACK_TLS_VERIFY": "no"}, "tls_verify", False),
        ({"API_KEY_READ_ONLY": "ON"}, "read_only", True),
        ({"ON_LOST_TOKEN": "REPLACE"}, "on_lost_token", OnLostToken.REPLACE),
        ({"LOG_LEVEL": "INFO"}, "log_level", "info"),
        ({"LOG_LEVEL": "warn"}, "log_level", "warning"),
        ({"LOG_FORMAT": "JSON"}, "log_format", "json"),
        ({"API_KEY_SCOPE": "Tenant: ChirpStack"}, "scope", Scope("tenant", "ChirpStack")),
        ({"API_KEY_SCOPE": "organisation:x"}, "scope", Scope("organization", "x")),
        ({"API_KEY_SCOPE": "ADMIN"}, "scope", Scope("admin")),
        ({"WAIT_TIMEOUT": "1m30s"}, "wait_timeout", 90),
        ({"WAIT_TIMEOUT": "5 Minutes"}, "wait_timeout", 300),
        ({"API_KEY_NAME": '"grafana"'}, "name", "grafana"),
        ({"API_KEY_NAME": "it's"}, "name", "it's"),
        ({"API_KEY_NAME": '"a" and "b"'}, "name", '"a" and "b"'),
        ({"API_KEY_SCOPE": "'tenant:x' "}, "scope", Scope("tenant", "x")),
        ({"TOKEN_FILE": "/shared/t\r"}, "token_file", "/shared/t"),
        ({"CHIRPSTACK_URL": "\ufeff http://x\r\n"}, "url", "http://x"),
        ({"CHIRPSTACK_EMAIL": '""'}, "email", "admin"),
        ({"CHIRPSTACK_PASSWORD": '\ufeff"pw"\r\n'}, "password", '\ufeff"pw"\r\n'),
        ({"CHIRPSTACK_PASSWORD": "pa${x}"}, "password", "pa${x}"),
        ({"API_KEY_SCOPE": "tenant:a\xa0b"}, "scope", Scope("tenant", "a\xa0b")),
        ({"API_KEY_SCOPE": "tenant:a\u200db"}, "scope", Scope("tenant", "a\u200db")),
    ],
)
def test_what_is_understood(variables: Mapping[str, str], field: str, value: object) -> None:
    settings = loaded(**variables)
    (key,) = settings.keys
    assert getattr(key if hasattr(key, field) else settings, field) == value


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CHIRPSTACK_URL": "chirpstack:8080"}, "CHIRPSTACK_URL"),
        ({"CHIRPSTACK_URL": "http://"}, "CHIRPSTACK_URL"),
        ({"CHIRPSTACK_URL": "http://x:99999"}, "CHIRPSTACK_URL: its host or its port cannot be one"),
        ({"CHIRPSTACK_URL": "http://x?a=1"}, "query"),
        ({"CHIRPSTACK_URL": "http://b\u00fccher:8080"}, "a host that must be written in punycode"),
        ({"CHIRPSTACK_URL": "http://x/b\u00fccher"}, "percent-encoded"),
        ({"HEALTH_URL": "http://b\u00fccher:8080"}, "HEALTH_URL: 'http://b\u00fccher:8080' has a host"),
        ({"CHIRPSTACK_URL": "http://x/api"}, "use the server's root: http://x"),
        ({"CHIRPSTACK_URL": "https://x/cs/#/login"}, "use the server's root: https://x/cs"),
        ({"CHIRPSTACK_URL": "http://x:8080/api/internal/login"}, "use the server's root: http://x:8080"),
        ({"CHIRPSTACK_URL": "http://admin:hunter22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "ftp://admin:hunter22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_API": "v5"}, "v3, v4"),
        ({"CHIRPSTACK_TLS_VERIFY": "maybe"}, "true, false"),
        ({"WAIT_TIMEOUT": "-1"}, "WAIT_TIMEOUT"),
        ({"WAIT_TIMEOUT": "٣"}, "WAIT_TIMEOUT"),
        ({"WAIT_TIMEOUT": "11y"}, "WAIT_TIMEOUT: '11y' is not a duration such as"),
        ({"WAIT_TIMEOUT": "4000 days"}, "WAIT_TIMEOUT: '4000 days' is more than ten years"),
        ({"WAIT_TIMEOUT": "9" * 100}, "is more than ten years"),
        ({"WAIT_TIMEOUT": "9" * 400}, "WAIT_TIMEOUT: it is not a duration such as"),
        ({"WAIT_TIMEOUT": "9" * 100_000 + "x"}, "WAIT_TIMEOUT: it is not a duration such as"),
        ({"REQUEST_TIMEOUT": "0"}, "REQUEST_TIMEOUT"),
        ({"API_KEY_NAME": "  "}, "API_KEY_NAME"),
        ({"API_KEY_NAME": "x" * 101}, "API_KEY_NAME"),
        ({"API_KEY_NAME": "a\nb"}, "API_KEY_NAME"),
        ({"API_KEY_SCOPE": "tenant"}, "tenant:NAME-OR-ID"),
        ({"API_KEY_SCOPE": "admin:x"}, "API_KEY_SCOPE"),
        ({"API_KEY_SCOPE": "tenant:x", "CHIRPSTACK_API": "v3"}, "organization:NAME-OR-ID"),
        ({"API_KEY_SCOPE": "organization:x", "CHIRPSTACK_API": "v4"}, "tenant:NAME-OR-ID"),
        ({"API_KEY_SCOPE": "application:x", "CHIRPSTACK_API": "v4"}, "tenant:NAME-OR-ID"),
        ({"API_KEY_READ_ONLY": "true", "CHIRPSTACK_API": "v3"}, "API_KEY_READ_ONLY"),
        ({"ON_LOST_TOKEN": "panic"}, "fail, replace, add"),
        ({"TOKEN_FILE": ""}, "TOKEN_FILE, ENV_FILE, KUBERNETES_SECRET or JSON_FILE"),
        ({"JSON_FILE": "/shared/token"}, "two outputs"),
        ({"TOKEN_FILE": "-", "JSON_FILE": "-"}, "two outputs"),
        ({"ENV_FILE": "-"}, "ENV_FILE"),
        ({"ENV_VAR": "A-B"}, "ENV_VAR"),
        ({"FILE_MODE": "0244"}, "owner read"),
        ({"FILE_MODE": "rw"}, "FILE_MODE"),
        # What Compose makes of 0644, 0640 and 0660 without quotes.
        ({"FILE_MODE": "420"}, "in quotes"),
        ({"FILE_MODE": "416"}, "in quotes"),
        ({"FILE_MODE": "432"}, "in quotes"),
        ({"CHIRPSTACK_CA_FILE": "/no/such/file"}, "/no/such/file"),
        ({"CHIRPSTACK_CLIENT_KEY_FILE": __file__}, "CHIRPSTACK_CLIENT_CERT_FILE"),
        ({"CHIRPSTACK_CLIENT_KEY_FILE": "/dev/null"}, "CHIRPSTACK_CLIENT_KEY_FILE: /dev/null is no plain file"),
        ({"CHIRPSTACK_URL": "http://admin:hunter/22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "http://admin:hunter?22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "http://admin:hunter#22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "http://admin:hunter[22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "http://admin:hunter 22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "admin:hunter22@x:8080"}, "CHIRPSTACK_EMAIL"),
        ({"HEALTH_URL": "http://admin:hunter/22@x"}, "HEALTH_URL"),
        ({"CHIRPSTACK_URL": "http://admin:hunter22%40x:8080"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "http://admin:hunter22\u2100%40x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "admin:hunter22%40x:8080"}, "CHIRPSTACK_EMAIL"),
        ({"HEALTH_URL": "http://admin:hunter22%40x"}, "HEALTH_URL: user and password"),
        ({"CHIRPSTACK_URL": "http://admin:hunter/22%40x"}, "CHIRPSTACK_URL: its host or its port"),
        ({"CHIRPSTACK_URL": "http://admin:h\xfcnter/22%40x"}, "CHIRPSTACK_URL: its host or its port"),
        ({"CHIRPSTACK_URL": "admin:hunter/22%40x"}, "it is not an address"),
        ({"CHIRPSTACK_URL": "http://admin:hunter22"}, "CHIRPSTACK_URL: its host or its port"),
        ({"CHIRPSTACK_URL": "http://[hunter22]:8080"}, "CHIRPSTACK_URL: its host or its port"),
        ({"CHIRPSTACK_URL": "http://admin:22#hunter%40x"}, "it has a query or a fragment"),
        ({"CHIRPSTACK_URL": "http://:8080"}, "CHIRPSTACK_URL"),
        ({"CHIRPSTACK_URL": "http://chirpstack:"}, "expanded to nothing"),
        ({"CHIRPSTACK_URL": "http://${HOST}:8080"}, "${HOST}"),
        ({"CHIRPSTACK_EMAIL": "$(EMAIL)"}, "$(EMAIL)"),
        ({"API_KEY_NAME": "key-{{ .Node.Hostname }}"}, "{{ .Node.Hostname }}"),
        ({"API_KEY_SCOPE": "tenant:"}, "API_KEY_SCOPE"),
        ({"API_KEY_SCOPE": "$TENANT"}, "$TENANT"),
        ({"TOKEN_FILE": "/shared/"}, "TOKEN_FILE: /shared/ is a folder"),
        ({"ENV_FILE": "."}, "ENV_FILE"),
        (
            {"JSON_FILE": "/shared/.token.state"},
            "JSON_FILE: /shared/.token.state has a name as the job's own state files",
        ),
        ({"ENV_FILE": ".app.env.X.env-state"}, "ENV_FILE: .app.env.X.env-state has a name"),
        ({"TOKEN_FILE": "~/token"}, "~/"),
        ({"TOKEN_FILE": "/shared/to\x07ken"}, r"\x07"),
        ({"CHIRPSTACK_EMAIL": "ad\nmin"}, r"\n"),
        ({"API_KEY_SCOPE": "tenant:a\u200bb"}, r"\u200b"),
        ({"TOKEN_FILE": "\u202a/shared/token"}, r"\u202a"),
        *(
            ({"TOKEN_FILE": f"/shared/token{mark}"}, f"TOKEN_FILE: it has the character {mark!r} in it")
            for mark in "\xad\u180e\u200c\u200d\u200e\u202c\u2060"
        ),
        ({"CHIRPSTACK_EMAIL": " "}, "CHIRPSTACK_EMAIL: it is blank"),
        ({"WAIT_TIMEOUT": "5m and more"}, "WAIT_TIMEOUT"),
        ({"CHIRPSTACK_CA_FILE": "/"}, "bind-mounted file was missing"),
        ({"API_KEY_NAME_FILE": "/"}, "API_KEY_NAME_FILE: / is a folder"),
        ({"CHIRPSTACK_HEADERS_FILE": "/no/such/file"}, "CHIRPSTACK_HEADERS_FILE: cannot read /no/such/file"),
        ({"ENV_SCOPE_ID_VAR": "X", "ENV_FILE": "/e"}, "the scope admin has no id"),
        ({"ENV_SCOPE_ID_VAR": "X", "API_KEY_SCOPE": "tenant:x"}, "in ENV_FILE or KUBERNETES_SECRET, and there is none"),
        ({"ENV_SCOPE_ID_VAR": "X", "ENV_VAR": "X", "ENV_FILE": "/e", "API_KEY_SCOPE": "tenant:x"}, "the same variable"),
        ({"CHIRPSTACK_PASSWORD": "admin", "CHIRPSTACK_INITIAL_PASSWORD": "x"}, "it becomes the account's password"),
    ],
)
def test_what_is_refused(variables: Mapping[str, str], words: str) -> None:
    message = problem(**variables)
    assert words in message
    assert "hunter" not in message
    assert "22@" not in message


def test_every_problem_is_in_the_message() -> None:
    message = problem(CHIRPSTACK_API="v5", FILE_MODE="rw", TOKEN_FILE="")
    assert all(name in message for name in ("3 problems", "CHIRPSTACK_API", "FILE_MODE", "TOKEN_FILE"))


@pytest.mark.parametrize(
    ("content", "password"), [("pass word", "pass word"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n")]
)
def test_a_value_comes_from_a_file_without_one_newline(tmp_path: Path, content: str, password: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert loaded(CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret")).password == password


def test_names_come_from_files_as_well(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("grafana\n")
    assert loaded(API_KEY_NAME_FILE=str(tmp_path / "name")).keys[0].name == "grafana"


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    message = problem(CHIRPSTACK_PASSWORD="y", CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret"))
    assert "both set" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHIRPSTACK_HEADERS_FILE", "X-Name: hunter22@x"),
        ("CHIRPSTACK_HEADERS_FILE", "X-Name:hunter22@x"),
        ("CHIRPSTACK_PASSWORD_FILE", "CHIRPSTACK_PASSWORD=hunter22@x"),
        ("CHIRPSTACK_CLIENT_KEY_FILE", "-----BEGIN PRIVATE KEY----- hunter22@x"),
        ("CHIRPSTACK_CLIENT_KEY_FILE", "hunter22"),
        ("CHIRPSTACK_HEADERS_FILE", "hunter22"),
        ("CHIRPSTACK_PASSWORD_FILE", "hunter22"),
        ("CHIRPSTACK_PASSWORD_FILE", "hunter.22"),
        ("CHIRPSTACK_PASSWORD_FILE", "hunter/22+x=="),
        ("CHIRPSTACK_PASSWORD_FILE", "/hunter22+x=="),
        ("CHIRPSTACK_INITIAL_PASSWORD_FILE", "hunter22" * 100),
    ],
)
def test_a_value_where_a_path_is_due_is_not_quoted(name: str, value: str) -> None:
    message = problem(**{name: value})
    assert f"{name}: cannot read the file (what is named may be a value, not a path): " in message
    assert "hunter" not in message


@pytest.mark.parametrize(
    "path", ["/run/secrets/no such", "./missing", "../missing", "certs/missing.pem", "missing.env"]
)
def test_a_path_that_is_misspelt_is_quoted(path: str) -> None:
    assert f"CHIRPSTACK_CA_FILE: cannot read {path}: No such file" in problem(CHIRPSTACK_CA_FILE=path)


@pytest.mark.parametrize("name", ["CHIRPSTACK_CA_FILE", "CHIRPSTACK_CLIENT_CERT_FILE", "CHIRPSTACK_CLIENT_KEY_FILE"])
def test_a_certificate_from_a_pipe_is_refused_since_it_is_read_twice(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert f"{name}: {tmp_path}/pipe is no plain file" in problem(**{name: str(tmp_path / "pipe")})


def test_an_at_sign_in_a_path_may_be_encoded() -> None:
    assert loaded(CHIRPSTACK_URL="http://x:8080/%40me").url == "http://x:8080/%40me"


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    assert "is empty" in problem(CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret"))


def test_what_was_taken_off_is_told(caplog: pytest.LogCaptureFixture) -> None:
    loaded(API_KEY_NAME='" grafana"', TOKEN_FILE="/shared/t\r")
    assert "TOKEN_FILE (a line end at its end)" in caplog.text
    assert "API_KEY_NAME (quotes around it and white space at its beginning)" in caplog.text


@pytest.mark.parametrize(
    "name", [name for variable in VARIABLES for name in (variable.name, variable.from_file) if name]
)
def test_bytes_of_another_encoding_are_an_error_in_every_variable(name: str) -> None:
    value = b"p\xe4ss".decode("utf-8", "surrogateescape")
    with pytest.raises(ConfigurationError) as error:
        load({**({} if name == "KEYS_FILE" else LEAST), name: value}, "/dev/null")
    message = str(error.value)
    assert message.startswith("there is a problem in the settings: " + name.removesuffix("_FILE"))
    assert "not UTF-8" in message
    message.encode()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "NO_PROXY"])
def test_bytes_of_another_encoding_are_an_error_in_the_proxys_variables(name: str) -> None:
    assert f"{name} is not UTF-8" in problem(**{name: "\udce4"})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_encoding_of_a_values_file_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "secret").write_bytes("pässwort\n".encode(encoding))
    message = problem(CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret"))
    assert "CHIRPSTACK_PASSWORD_FILE" in message
    assert "not UTF-8" in message
    assert "wort" not in message


def test_a_byte_order_mark_before_a_files_value_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pw\n", encoding="utf-8-sig")
    assert loaded(CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret")).password == "pw"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
@pytest.mark.parametrize("name", ["CHIRPSTACK_CA_FILE", "CHIRPSTACK_CLIENT_CERT_FILE", "CHIRPSTACK_CLIENT_KEY_FILE"])
def test_certificates_in_an_encoding_that_openssl_does_not_read_are_named(
    tmp_path: Path, name: str, encoding: str
) -> None:
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n", encoding=encoding)
    assert f"{name}: {tmp_path}/ca.pem" in problem(**{name: str(tmp_path / "ca.pem")})


def test_a_certificates_comment_may_be_in_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"# Zertifizierungsstelle M\xfcnchen\n-----BEGIN CERTIFICATE-----\n")
    assert loaded(CHIRPSTACK_CA_FILE=str(tmp_path / "ca.pem")).ca_file


@pytest.mark.parametrize("variable", ["LOG_FORMAT", "LOG_LEVEL"])
@pytest.mark.parametrize("value", ["xml", " ", "${LOG}"])
def test_a_log_setting_that_is_not_understood_is_a_warning(
    variable: str, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = loaded(**{variable: value})
    assert (settings.log_format, settings.log_level) == ("text", "info")
    assert f"{variable}: " in caplog.text


def test_a_log_setting_that_is_no_text_does_not_take_the_other_one_with_it() -> None:
    assert log_settings({"LOG_FORMAT": "json", "LOG_LEVEL": "\udce4"}) == ("json", "info")
    assert log_settings({"LOG_FORMAT": "\udce4", "LOG_LEVEL": "debug"}) == ("text", "debug")


@pytest.mark.parametrize(
    "password", ["changeme", "<your password>", "replace-this", "CHANGE_ME", "your-password", "xxx"]
)
def test_a_placeholder_for_a_password_is_told(password: str, caplog: pytest.LogCaptureFixture) -> None:
    loaded(CHIRPSTACK_PASSWORD=password)
    assert "CHIRPSTACK_PASSWORD looks like a placeholder" in caplog.text
    assert password not in caplog.text


@pytest.mark.parametrize("password", ["admin", "correct horse battery", "x", "Insight2024", "mY8!sEcure", "settings"])
def test_a_password_is_not_taken_for_a_placeholder(password: str, caplog: pytest.LogCaptureFixture) -> None:
    loaded(CHIRPSTACK_PASSWORD=password)
    assert caplog.text == ""


# Headers


def test_headers_are_read_and_their_values_are_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_secrets", set())
    path = tmp_path / "headers"
    path.write_bytes(b"\xef\xbb\xbfCF-Access-Client-Id: abc.access\r\n\n# a comment\nCookie:a=b; c=open-sesame \n")
    settings = loaded(CHIRPSTACK_HEADERS_FILE=str(path))
    assert settings.headers == (("CF-Access-Client-Id", "abc.access"), ("Cookie", "a=b; c=open-sesame"))
    assert log.masked("you sent abc.access and a=b; c=open-sesame") == "you sent *** and ***"
    assert log.masked("no session open-sesame") == "no session ***"


@pytest.mark.parametrize(
    "line",
    [
        "Authorization: Bearer s3cret", "grpc-metadata-authorization: s3cret", "Content-Type: s3cret", "HOST: s3cret",
        "Transfer-Encoding: s3cret", "Connection: s3cret", "s3cret", "X-Name:", ": s3cret", "X Name: s3cret",
        "X-Name: s3crét", "X-Name: s3cret\x01", "x-first: s3cret",
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_sent_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "headers").write_text(f"X-First: 1\n\n{line}\n")
    message = problem(CHIRPSTACK_HEADERS_FILE=str(tmp_path / "headers"))
    assert f"CHIRPSTACK_HEADERS_FILE: {tmp_path}/headers, line 3: " in message
    assert "s3cr" not in message


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("# nothing\n")
    assert "no header" in problem(CHIRPSTACK_HEADERS_FILE=str(tmp_path / "headers"))


# Outputs


def test_one_file_under_two_names_is_two_outputs_in_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    message = problem(TOKEN_FILE=str(tmp_path / "link" / "t"), JSON_FILE=str(tmp_path / "folder" / "t"))
    assert f"{tmp_path}/folder/t is named by two outputs" in message


@pytest.mark.parametrize("output", ["TOKEN_FILE", "ENV_FILE", "JSON_FILE"])
@pytest.mark.parametrize("variable", ["CHIRPSTACK_PASSWORD_FILE", "CHIRPSTACK_HEADERS_FILE", "API_KEY_NAME_FILE"])
@pytest.mark.parametrize("is_link", [True, False])
def test_a_file_that_a_setting_is_read_from_is_no_output(
    is_link: bool, variable: str, output: str, tmp_path: Path
) -> None:
    """The next run would read the token as the password."""
    (tmp_path / "input").write_text("X-Gate: yes\n")
    where = tmp_path / ("link" if is_link else "input")
    if is_link:
        where.symlink_to("input")
    message = problem(**{variable: str(tmp_path / "input"), "TOKEN_FILE": "", output: str(where)})
    assert f"{tmp_path}/input is {variable} itself" in message


def test_a_file_of_settings_may_get_the_token(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CHIRPSTACK_PASSWORD=x\n")
    load({"ENV_FILE": str(tmp_path / ".env")}, str(tmp_path / ".env"))


@pytest.mark.parametrize(
    ("variables", "token_file"),
    [
        ({"TOKEN_FILE": ""}, "/image/token"),
        ({"TOKEN_FILE": "/mine"}, "/mine"),
        ({"TOKEN_FILE": "", "ENV_FILE": "/e"}, ""),
        ({"TOKEN_FILE": "", "JSON_FILE": "-"}, ""),
        ({"TOKEN_FILE": "/mine", "ENV_FILE": "/e"}, "/mine"),
    ],
)
def test_the_images_token_file_gives_way_to_any_output(variables: Mapping[str, str], token_file: str) -> None:
    assert loaded(**variables, DEFAULT_TOKEN_FILE="/image/token").keys[0].token_file == token_file


def test_the_scopes_id_is_a_second_variable() -> None:
    asked = {"ENV_FILE": "/e", "ENV_SCOPE_ID_VAR": "TENANT_ID", "API_KEY_SCOPE": "tenant:x"}
    assert loaded(**asked).keys[0].env_scope_id_var == "TENANT_ID"


def test_outputs_that_stand_in_the_place_of_others_take_the_scopes_variable_with_them() -> None:
    asked = {"ENV_FILE": "/e", "ENV_SCOPE_ID_VAR": "TENANT_ID", "API_KEY_SCOPE": "tenant:x"}
    (key,) = load(asked, "/dev/null", {"TOKEN_FILE": "/t"}).keys
    assert (key.token_file, key.env_file, key.env_scope_id_var) == ("/t", "", "")


# The `.env` of settings


def test_the_environment_goes_before_the_dotenv_file(tmp_path: Path) -> None:
    path = tmp_path / "job.env"
    path.write_text("\ufeffAPI_KEY_NAME='from file'\nexport CHIRPSTACK_EMAIL=me@example.com # comment\nENV_VAR=\n")
    settings = load({**LEAST, "API_KEY_NAME": "from environment", "CHIRPSTACK_EMAIL": ""}, env_file=str(path))
    assert (settings.keys[0].name, settings.email) == ("from environment", "me@example.com")


def test_a_dotenv_file_in_the_working_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"OTHER=\xff\nTOKEN_FILE=/shared/token\n")
    assert load({}).keys[0].token_file == "/shared/token"


def test_a_dotenv_file_that_is_named_must_be_there() -> None:
    with pytest.raises(ConfigurationError, match=r"/no/such\.env"):
        load(LEAST, env_file="/no/such.env")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_another_encoding_of_the_dotenv_file_is_named(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "job.env").write_text("TOKEN_FILE=/t\n", encoding=encoding)
    with pytest.raises(ConfigurationError, match=r"job\.env is not UTF-8"):
        load(LEAST, env_file=str(tmp_path / "job.env"))


def test_bytes_of_another_encoding_in_the_dotenv_file_are_an_error_in_our_variables(tmp_path: Path) -> None:
    (tmp_path / "job.env").write_bytes(b"CHIRPSTACK_PASSWORD=p\xe4ss\n")
    with pytest.raises(ConfigurationError, match="CHIRPSTACK_PASSWORD: it is not UTF-8"):
        load(LEAST, env_file=str(tmp_path / "job.env"))


def test_the_line_that_compose_would_not_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "job.env").write_text("A=1\nCHIRPSTACK_PASSWORD='open\n")
    with pytest.raises(ConfigurationError, match=r"job\.env, line 2: the quotes are not closed"):
        load(LEAST, env_file=str(tmp_path / "job.env"))


def test_a_variable_that_was_expanded_to_nothing_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "job.env").write_text("CHIRPSTACK_PASSWORD=pa${word}x\nCHIRPSTACK_EMAIL=a${user}\nOTHER=$nothing\n")
    assert load(LEAST, env_file=str(tmp_path / "job.env")).password == "pax"
    assert "nothing stands in CHIRPSTACK_EMAIL for user, which is not set" in caplog.text
    assert "nothing stands in CHIRPSTACK_PASSWORD for a variable in it, which is not set" in caplog.text
    assert "word" not in caplog.text
    assert "OTHER" not in caplog.text


def test_the_log_is_configured_before_anything_is_told(tmp_path: Path) -> None:
    (tmp_path / "job.env").write_text("LOG_FORMAT=json\nLOG_LEVEL=error\nAPI_KEY_NAM=x\nTOKEN_FILE=/\n")
    calls: list[tuple[str, str]] = []
    with pytest.raises(ConfigurationError):
        load({}, str(tmp_path / "job.env"), None, lambda *call: calls.append(call))
    assert calls == [("json", "error")]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CHIRPSTACK_PASWORD", "CHIRPSTACK_PASSWORD"),
        ("API_KEY_NAM", "API_KEY_NAME"),
        ("Chirpstack_Url", "CHIRPSTACK_URL"),
        ("TOKENFILE", "TOKEN_FILE"),
        ("CHIRPSTACK_PASSWORD_FIEL", "CHIRPSTACK_PASSWORD_FILE"),
        ("CHIRPSTACK_USERNAME", "CHIRPSTACK_EMAIL"),
        ("CHIRPSTACK_USER", "CHIRPSTACK_EMAIL"),
        ("CHIRPSTACK_ADMIN_EMAIL", "CHIRPSTACK_EMAIL"),
        ("CHIRPSTACK_USER_FILE", "CHIRPSTACK_EMAIL_FILE"),
        ("CHIRPSTACK_API_URL", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_HOST", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_ADMIN_PASSWORD", "CHIRPSTACK_PASSWORD"),
        ("CHIRPSTACK_ADMIN_PASSWORD_FILE", "CHIRPSTACK_PASSWORD_FILE"),
        ("CHIRPSTACK_API_KEY_NAME", "API_KEY_NAME"),
        ("CHIRPSTACK_TENANT_ID", "API_KEY_SCOPE"),
        ("CHIRPSTACK_VERIFY_SSL", "CHIRPSTACK_TLS_VERIFY"),
        ("INIT_JOB_WAIT_TIMEOUT", "WAIT_TIMEOUT"),
        ("API_KEY", "API_KEY_NAME"),
        ("CHIRPSTACK_HEADERS", "CHIRPSTACK_HEADERS_FILE"),
        ("CHIRPSTACK_CA", "CHIRPSTACK_CA_FILE"),
        ("CHIRPSTACK_CLIENT_CERT", "CHIRPSTACK_CLIENT_CERT_FILE"),
        ("CHIRPSTACK_CLIENT_KEY", "CHIRPSTACK_CLIENT_KEY_FILE"),
        ("CHIRPSTACK_TLS_CA_FILE", "CHIRPSTACK_CA_FILE"),
        ("CHIRPSTACK_SSL_CA_FILE", "CHIRPSTACK_CA_FILE"),
        ("CHIRPSTACK_ROOT_CA_FILE", "CHIRPSTACK_CA_FILE"),
        ("CHIRPSTACK_CA_CERTIFICATE", "CHIRPSTACK_CA_FILE"),
        ("CHIRPSTACK_TLS_CA_CERT", "CHIRPSTACK_CA_FILE"),
        ("CHIRPSTACK_CLIENT_CERTIFICATE", "CHIRPSTACK_CLIENT_CERT_FILE"),
        ("CHIRPSTACK_TLS_CLIENT_KEY", "CHIRPSTACK_CLIENT_KEY_FILE"),
        ("CHIRPSTACK_INSECURE_SKIP_VERIFY", "CHIRPSTACK_TLS_VERIFY"),
        ("CHIRPSTACK_TLS_INSECURE_SKIP_VERIFY", "CHIRPSTACK_TLS_VERIFY"),
        ("CHIRPSTACK_SKIP_TLS_VERIFY", "CHIRPSTACK_TLS_VERIFY"),
        ("CHIRPSTACK_ADMIN_PWD", "CHIRPSTACK_PASSWORD"),
        ("CHIRPSTACK_ADMIN_PASSWD", "CHIRPSTACK_PASSWORD"),
        ("CHIRPSTACK_INITIAL_ADMIN_PASSWORD", "CHIRPSTACK_INITIAL_PASSWORD"),
        ("CHIRPSTACK_DEFAULT_ADMIN_PASSWORD", "CHIRPSTACK_INITIAL_PASSWORD"),
        ("CHIRPSTACK_EMAIL_ADDRESS", "CHIRPSTACK_EMAIL"),
        ("CHIRPSTACK_LOGIN_USER", "CHIRPSTACK_EMAIL"),
        ("CHIRPSTACK_BASEURL", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_SERVER_HOST", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_SERVER_ADDRESS", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_GRPC_SERVER", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_API_ADDRESS", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_API_URI", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_WEB_URL", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_REST_API_URL", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_APPLICATION_SERVER_URL", "CHIRPSTACK_URL"),
        ("INIT_JOB_URL", "CHIRPSTACK_URL"),
        ("CHIRPSTACK_EXTRA_HEADERS_FILE", "CHIRPSTACK_HEADERS_FILE"),
        ("CHIRPSTACK_HTTP_HEADERS", "CHIRPSTACK_HEADERS_FILE"),
        ("CHIRPSTACK_ORG_ID", "API_KEY_SCOPE"),
        ("API_KEY_TENANT_ID", "API_KEY_SCOPE"),
        ("HEALTHCHECK_URL", "HEALTH_URL"),
        ("HEALTH_CHECK_URL", "HEALTH_URL"),
        ("ENV_VAR_NAME", "ENV_VAR"),
        ("KUBERNETES_SECRET_NAME", "KUBERNETES_SECRET"),
        ("TOKEN_FILE_MODE", "FILE_MODE"),
    ],
)
def test_a_near_miss_is_pointed_out(name: str, meant: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded(**{name: "x"})
    assert f"{name} is not a variable of this job; was {meant} meant?" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        "POSTGRES_PASSWORD",
        "CHIRPSTACK_API_TOKEN",
        "CHIRPSTACK_URL_2",
        "PATH",
        "CHIRPSTACK_API_KEY",
        "MQTT_PASSWORD",
        "API_URL",
        "USERNAME",
        "HOST",
        "CHIRPSTACK_LOG_LEVEL",
        "CHIRPSTACK_PORT",
        "CHIRPSTACK_API_SECRET",
        "DEFAULT_TOKEN_FILE",
        "TENANT",
        "TENANT_ID",
        "CA_CERT",
        "SERVER_ADDRESS",
        # What Kubernetes and Docker say of a service of this name.
        "CHIRPSTACK_SERVICE_HOST",
        "CHIRPSTACK_API_SERVICE_HOST",
        "CHIRPSTACK_PORT_8080_TCP_ADDR",
        "CHIRPSTACK_SERVER_PORT",
        "CHIRPSTACK_VERSION",
        "CHIRPSTACK_DATABASE_URL",
        "CHIRPSTACK_REDIS_HOST",
        "CHIRPSTACK_TLS",
    ],
)
def test_other_services_variables_get_no_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded(**{name: "x"})
    assert caplog.text == ""


def test_a_token_file_by_a_guessed_name_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    load({"JSON_FILE": "-", "CHIRPSTACK_TOKEN_FILE": "/t"}, "/dev/null")
    assert "was TOKEN_FILE meant?" in caplog.text


def test_a_guessed_name_beside_the_right_one_is_another_services(caplog: pytest.LogCaptureFixture) -> None:
    loaded(CHIRPSTACK_HOST="chirpstack.example.com", CHIRPSTACK_URL="https://chirpstack.example.com")
    assert caplog.text == ""


def test_no_variable_is_two_things() -> None:
    names = [name for variable in VARIABLES for name in (variable.name, variable.from_file) if name]
    assert len(set(names)) == len(names)
