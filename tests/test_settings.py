import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from init_job.errors import ConfigurationError
from init_job.settings import VARIABLES, Settings, load
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
        client_cert_file="", client_key_file="", tls_verify=True, health_url="", wait_timeout=300, request_timeout=10,
        key_name="init-job", scope=Scope("admin"), read_only=False, on_lost_token=OnLostToken.FAIL,
        token_file="/shared/token", env_file="", env_var="CHIRPSTACK_API_TOKEN", json_file="", file_mode=-1,
        warn_default_password=True, log_format="text", log_level="info",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        ({"CHIRPSTACK_URL": "https://host/chirpstack/"}, "url", "https://host/chirpstack"),
        ({"CHIRPSTACK_URL": "http://[::1]:8080"}, "url", "http://[::1]:8080"),
        ({"CHIRPSTACK_API": "v3"}, "api", "v3"),
        ({"CHIRPSTACK_TLS_VERIFY": "False"}, "tls_verify", False),
        ({"API_KEY_READ_ONLY": "1"}, "read_only", True),
        ({"WAIT_TIMEOUT": "90"}, "wait_timeout", 90),
        ({"WAIT_TIMEOUT": "5m"}, "wait_timeout", 300),
        ({"WAIT_TIMEOUT": "1h"}, "wait_timeout", 3600),
        ({"WAIT_TIMEOUT": "0"}, "wait_timeout", 0),
        ({"REQUEST_TIMEOUT": "500ms"}, "request_timeout", 0.5),
        ({"API_KEY_NAME": "ü" * 100}, "key_name", "ü" * 100),
        ({"API_KEY_SCOPE": "tenant:My: Tenant"}, "scope", Scope("tenant", "My: Tenant")),
        ({"API_KEY_SCOPE": "application:7"}, "scope", Scope("application", "7")),
        ({"ON_LOST_TOKEN": "add"}, "on_lost_token", OnLostToken.ADD),
        ({"FILE_MODE": "0640"}, "file_mode", 0o640),
        ({"FILE_MODE": "400"}, "file_mode", 0o400),
        ({"CHIRPSTACK_EMAIL": ""}, "email", "admin"),
    ],
)
def test_what_is_understood(variables: Mapping[str, str], field: str, value: object) -> None:
    assert getattr(loaded(**variables), field) == value


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"CHIRPSTACK_URL": "chirpstack:8080"}, "CHIRPSTACK_URL"),
        ({"CHIRPSTACK_URL": "http://"}, "CHIRPSTACK_URL"),
        ({"CHIRPSTACK_URL": "http://x:99999"}, "CHIRPSTACK_URL"),
        ({"CHIRPSTACK_URL": "http://x?a=1"}, "query"),
        ({"CHIRPSTACK_URL": "http://x/api"}, "use the server's root: http://x"),
        ({"CHIRPSTACK_URL": "https://x/cs/#/login"}, "use the server's root: https://x/cs"),
        ({"CHIRPSTACK_URL": "http://x:8080/api/internal/login"}, "use the server's root: http://x:8080"),
        ({"CHIRPSTACK_URL": "http://admin:hunter22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_URL": "ftp://admin:hunter22@x"}, "CHIRPSTACK_EMAIL"),
        ({"CHIRPSTACK_API": "v5"}, "v3, v4"),
        ({"CHIRPSTACK_TLS_VERIFY": "maybe"}, "true, false"),
        ({"WAIT_TIMEOUT": "-1"}, "WAIT_TIMEOUT"),
        ({"WAIT_TIMEOUT": "٣"}, "WAIT_TIMEOUT"),
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
        ({"TOKEN_FILE": ""}, "TOKEN_FILE, ENV_FILE or JSON_FILE"),
        ({"JSON_FILE": "/shared/token"}, "two outputs"),
        ({"TOKEN_FILE": "-", "JSON_FILE": "-"}, "two outputs"),
        ({"ENV_FILE": "-"}, "ENV_FILE"),
        ({"ENV_VAR": "A-B"}, "ENV_VAR"),
        ({"FILE_MODE": "0244"}, "owner read"),
        ({"FILE_MODE": "rw"}, "FILE_MODE"),
        ({"CHIRPSTACK_CA_FILE": "/no/such/file"}, "/no/such/file"),
        ({"CHIRPSTACK_CLIENT_KEY_FILE": "/dev/null"}, "CHIRPSTACK_CLIENT_CERT_FILE"),
        ({"LOG_FORMAT": "xml"}, "text, json"),
        ({"LOG_LEVEL": "loud"}, "debug, info"),
    ],
)
def test_what_is_refused(variables: Mapping[str, str], words: str) -> None:
    message = problem(**variables)
    assert words in message
    assert "hunter22" not in message


def test_every_problem_is_in_the_message() -> None:
    message = problem(CHIRPSTACK_API="v5", LOG_FORMAT="xml", TOKEN_FILE="")
    assert all(name in message for name in ("3 problems", "CHIRPSTACK_API", "LOG_FORMAT", "TOKEN_FILE"))


@pytest.mark.parametrize(
    ("content", "password"), [("pass word", "pass word"), ("pw\n", "pw"), ("pw\r\n", "pw"), ("pw\n\n", "pw\n")]
)
def test_a_value_comes_from_a_file_without_one_newline(tmp_path: Path, content: str, password: str) -> None:
    (tmp_path / "secret").write_bytes(content.encode())
    assert loaded(CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret")).password == password


def test_names_come_from_files_as_well(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("grafana\n")
    assert loaded(API_KEY_NAME_FILE=str(tmp_path / "name")).key_name == "grafana"


def test_a_value_and_its_file_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    message = problem(CHIRPSTACK_PASSWORD="y", CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret"))
    assert "both set" in message


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    assert "is empty" in problem(CHIRPSTACK_PASSWORD_FILE=str(tmp_path / "secret"))


def test_the_environment_goes_before_the_dotenv_file(tmp_path: Path) -> None:
    path = tmp_path / "job.env"
    path.write_text("\ufeffAPI_KEY_NAME='from file'\nexport CHIRPSTACK_EMAIL=me@example.com # comment\nENV_VAR=\n")
    settings = load({**LEAST, "API_KEY_NAME": "from environment", "CHIRPSTACK_EMAIL": ""}, env_file=str(path))
    assert (settings.key_name, settings.email) == ("from environment", "me@example.com")


def test_a_dotenv_file_in_the_working_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"OTHER=\xff\nTOKEN_FILE=/shared/token\n")
    assert load({}).token_file == "/shared/token"


def test_a_dotenv_file_that_is_named_must_be_there() -> None:
    with pytest.raises(ConfigurationError, match=r"/no/such\.env"):
        load(LEAST, env_file="/no/such.env")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CHIRPSTACK_PASWORD", "CHIRPSTACK_PASSWORD"),
        ("API_KEY_NAM", "API_KEY_NAME"),
        ("Chirpstack_Url", "CHIRPSTACK_URL"),
        ("TOKENFILE", "TOKEN_FILE"),
        ("CHIRPSTACK_PASSWORD_FIEL", "CHIRPSTACK_PASSWORD_FILE"),
    ],
)
def test_a_near_miss_is_pointed_out(name: str, meant: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded(**{name: "x"})
    assert f"{name} is not a variable of this job; was {meant} meant?" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["POSTGRES_PASSWORD", "CHIRPSTACK_API_TOKEN", "CHIRPSTACK_URL_2", "PATH", "CHIRPSTACK_API_KEY", "MQTT_PASSWORD"],
)
def test_other_services_variables_get_no_warning(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        loaded(**{name: "x"})
    assert caplog.text == ""


def test_no_variable_is_two_things() -> None:
    names = [name for variable in VARIABLES for name in (variable.name, variable.from_file) if name]
    assert len(set(names)) == len(names)
