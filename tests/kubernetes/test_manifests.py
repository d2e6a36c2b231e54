"""What users apply and install, with the image, in a namespace at the security level `restricted`."""

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from init_job.tokens import Kind, read_claims
from tests.container.harness import IMAGE, ROOT, SIMULATOR_IMAGE, Done, call, new_name
from tests.kubernetes.cluster import Admin

CHART = ROOT / "charts/chirpstack-init-job"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
EXAMPLES = ("kubernetes", "kubernetes-rotation")
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
API = dict(
    zip(
        ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
        os.environ.get("KUBERNETES_POD_API", "").split(":"),
        strict=False,
    )
)
"""Where pods find the API server, if the cluster does not tell them."""
Json = dict[str, Any]


class Site:
    """A namespace with a simulated ChirpStack in it."""

    def __init__(self, admin: Admin, namespace: str) -> None:
        self._admin = admin
        self.namespace = namespace

    def kubectl(self, *arguments: str, fails: bool = False, **options: Any) -> Done:
        return call("kubectl", "--namespace", self.namespace, *arguments, fails=fails, **options)

    def helm(self, *arguments: str, fails: bool = False) -> Done:
        return call("helm", "--namespace", self.namespace, *arguments, fails=fails)

    def apply(self, folder: Path) -> None:
        done = self.kubectl("apply", "--kustomize", str(folder))
        assert "would violate" not in done.stderr, done.stderr

    def create(self, content: Json) -> None:
        self.kubectl("create", "--filename", "-", input=json.dumps(content))

    def start_server(self) -> str:
        """Its address; it has the password `admin`, and no keys."""
        safe = {
            "allowPrivilegeEscalation": False, "runAsNonRoot": True, "runAsUser": 65532,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
        container = {
            "name": "server", "image": image(SIMULATOR_IMAGE), "imagePullPolicy": "IfNotPresent",
            "args": ["--api", "v4", "--host", "0.0.0.0", "--port", "8080"], "securityContext": safe,
        }  # fmt: skip
        spec = {"containers": [container], "automountServiceAccountToken": False}
        self.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chirpstack"}, "spec": spec})
        self.kubectl("wait", "pod/chirpstack", "--for=condition=Ready", "--timeout=120s")
        host = self.kubectl("get", "pod", "chirpstack", "--output", "jsonpath={.status.podIP}").stdout
        return f"http://{host}:8080"

    def set_password(self) -> None:
        self.kubectl("create", "secret", "generic", "chirpstack-admin", "--from-literal=password=admin")

    def end(self, job: str, condition: str = "Complete") -> str:
        """Its log, when it has ended like this."""
        try:
            self.kubectl("wait", f"job/{job}", f"--for=condition={condition}", "--timeout=120s")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tell()}") from None
        return self.log(f"job/{job}")

    def log(self, what: str) -> str:
        return self.kubectl("logs", what).stdout

    def expect_consumer(self) -> None:
        """That of the example has used the token."""
        self.kubectl("wait", "deployment/consumer", "--for=condition=Available", "--timeout=120s")
        deadline = time.monotonic() + 60
        while "the token works" not in self.log("deployment/consumer"):  # available is what has started
            assert time.monotonic() < deadline, self.tell()
            time.sleep(0.2)

    def tell(self) -> str:
        """Of a failure."""
        pods = self.kubectl("get", "pods,jobs", "--output", "wide", fails=True).stdout
        events = self.kubectl("get", "events", fails=True).stdout
        names = self.kubectl("get", "pods", "--output", "name", fails=True).stdout.split()
        return "\n".join([pods, events, *(self.kubectl("logs", name, fails=True).stdout for name in names)])

    def token(self, secret: str = "chirpstack-api", variable: str = "CHIRPSTACK_API_TOKEN") -> str:
        data = self._admin.secret(self.namespace, secret).get("data", {})
        return base64.b64decode(data.get(variable, "")).decode()

    def waiting_for(self, app: str) -> str:
        """Why the container of this pod has not started."""
        path = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}"
        return self.kubectl("get", "pods", f"--selector=app={app}", "--output", path).stdout


def image(name: str) -> str:
    return f"{name if '/' in name else f'docker.io/library/{name}'}:latest" if ":" not in name else name


@pytest.fixture
def site(admin: Admin) -> Iterator[Site]:
    with admin.namespace(new_name(), RESTRICTED) as name:
        yield Site(admin, name)


_PULL = [{"op": "add", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "IfNotPresent"}]
_CONSUMER = {"target": {"kind": "Deployment"}, "patch": json.dumps(_PULL)}
"""For an image that is called `latest`, and that is on the node already."""


def kustomization(folder: Path, example: str, url: str, *patches: Json) -> Path:
    """A user's own, over the example."""
    for name in EXAMPLES:
        shutil.copytree(ROOT / "examples" / name, folder / name, dirs_exist_ok=True)
    own = folder / "own"
    own.mkdir(exist_ok=True)
    repository, _, tag = image(IMAGE).rpartition(":")
    api = [f"{name}={value}" for name, value in API.items()]
    content = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{example}"],
        "images": [{"name": name, "newName": repository, "newTag": tag} for name in ("chirpstack-init-job", "python")],
        "configMapGenerator": [
            {"name": "chirpstack-init", "behavior": "merge", "literals": [f"CHIRPSTACK_URL={url}", *api]}
        ],
        "patches": [_CONSUMER, *patches],
    }
    (own / "kustomization.yaml").write_text(json.dumps(content))
    return own


def test_the_example_ends_with_a_consumer_that_uses_the_token(site: Site, tmp_path: Path) -> None:
    own = kustomization(tmp_path, "kubernetes", site.start_server())
    site.apply(own)
    # Without the password no key is made, and the consumer waits for the token.
    deadline = time.monotonic() + 60
    while site.waiting_for("consumer") != "CreateContainerConfigError":
        assert time.monotonic() < deadline, site.tell()
        time.sleep(0.2)
    assert site.token() == ""
    site.set_password()
    assert "created key 'kubernetes'" in site.end("chirpstack-init")
    site.expect_consumer()
    token = site.token()
    assert read_claims(token).kind is Kind.API_KEY

    site.apply(own)
    assert site.token() == token
    site.kubectl("delete", "job", "chirpstack-init")
    site.apply(own)
    assert "is up to date" in site.end("chirpstack-init")
    assert site.token() == token


def test_the_cronjob_replaces_an_old_key_and_leaves_a_young_one(site: Site, tmp_path: Path) -> None:
    url = site.start_server()
    site.set_password()
    site.apply(kustomization(tmp_path, "kubernetes-rotation", url))
    site.end("chirpstack-init")
    token = site.token()
    site.kubectl("create", "job", "young", "--from=cronjob/chirpstack-rotation")
    assert "is up to date" in site.end("young")
    assert site.token() == token
    # As docs/kubernetes.md says for a young one.
    now = ("create", "job", "now", "--from=cronjob/chirpstack-rotation", "--dry-run=client", "--output", "yaml")
    job = call("sed", "/--if-older-than/{N;d;}", input=site.kubectl(*now).stdout).stdout
    site.kubectl("create", "--filename", "-", input=job)
    assert "created key 'kubernetes'" in site.end("now")
    assert site.token() != token
    token = site.token()
    path = "/spec/jobTemplate/spec/template/spec/containers/0/args/2"
    old = [{"op": "replace", "path": path, "value": "0s"}]
    patch = {"target": {"kind": "CronJob"}, "patch": json.dumps(old)}
    site.apply(kustomization(tmp_path, "kubernetes-rotation", url, patch))
    site.kubectl("create", "job", "old", "--from=cronjob/chirpstack-rotation")
    log = site.end("old")
    assert "created key 'kubernetes'" in log
    assert "deleted key" in log
    assert site.token() != token
    assert read_claims(site.token()).kind is Kind.API_KEY


def test_a_job_that_another_try_would_not_mend_fails_at_once(site: Site, tmp_path: Path) -> None:
    own = kustomization(tmp_path, "kubernetes", site.start_server())
    site.kubectl("create", "secret", "generic", "chirpstack-admin", "--from-literal=password=wrong")
    site.apply(own)
    assert "exit 4" in site.end("chirpstack-init", "Failed")
    pods = site.kubectl("get", "pods", "--selector=app=chirpstack-init", "--output", "name").stdout.split()
    assert len(pods) == 1


def values(folder: Path, url: str, **more: Any) -> str:
    """A file of them."""
    repository, _, tag = image(IMAGE).rpartition(":")
    content = {
        "chirpstack": {"url": url, "existingSecret": "chirpstack-admin"},
        "keys": [
            {"name": "grafana", "secret": "grafana"},
            {"name": 'a "bridge"', "secret": "bridges", "envVar": "BRIDGE", "scope": "tenant:ChirpStack"},
            {"name": "other", "secret": "bridges", "envVar": "OTHER"},
        ],
        "image": {"repository": repository, "tag": tag},
        "env": API,
        **more,
    }
    path = folder / "values.json"
    path.write_text(json.dumps(content))
    return str(path)


def start_consumer(site: Site, url: str, secret: str) -> None:
    """That of the example, with a Secret of the chart's."""
    text = (ROOT / "examples/kubernetes/consumer.yaml").read_text()
    for theirs, ours in (
        ("image: python:3-alpine", f"image: {image(IMAGE)}\n          imagePullPolicy: IfNotPresent"),
        ("valueFrom:\n                configMapKeyRef: {name: chirpstack-init, key: CHIRPSTACK_URL}", f"value: {url}"),
        ("secretKeyRef: {name: chirpstack-api,", f"secretKeyRef: {{name: {secret},"),
    ):
        assert text.count(theirs) == 1
        text = text.replace(theirs, ours)
    site.kubectl("create", "--filename", "-", input=text)


def test_the_chart_makes_the_keys_and_an_upgrade_or_a_new_install_keeps_the_tokens(site: Site, tmp_path: Path) -> None:
    url = site.start_server()
    site.set_password()
    start_consumer(site, url, "grafana")  # it waits for the token
    done = site.helm("install", "tokens", str(CHART), "--values", values(tmp_path, url))
    assert "kubectl --namespace" in done.stdout
    name = "tokens-chirpstack-init-job"
    assert site.end(f"{name}-1").count("created key") == 3
    named = [("grafana", "CHIRPSTACK_API_TOKEN"), ("bridges", "BRIDGE"), ("bridges", "OTHER")]
    tokens = [site.token(*one) for one in named]
    assert len(set(tokens)) == 3
    assert {read_claims(token).kind for token in tokens} == {Kind.API_KEY}
    site.expect_consumer()

    rotation = {"schedule": "0 3 1 1 *", "olderThan": "0s"}
    site.helm("upgrade", "tokens", str(CHART), "--values", values(tmp_path, url, rotation=rotation))
    assert site.end(f"{name}-2").count("is up to date") == 3
    assert [site.token(*one) for one in named] == tokens

    site.helm("uninstall", "tokens", "--wait")
    assert [site.token(*one) for one in named] == tokens
    site.helm("install", "tokens", str(CHART), "--values", values(tmp_path, url, rotation=rotation))
    assert site.end(f"{name}-1").count("is up to date") == 3
    assert [site.token(*one) for one in named] == tokens

    site.kubectl("create", "job", "now", f"--from=cronjob/{name}")
    assert site.end("now").count("created key") == 3
    assert not {site.token(*one) for one in named} & set(tokens)


def test_install_with_wait_does_not_wait_for_itself(site: Site, tmp_path: Path) -> None:
    url = site.start_server()
    site.set_password()
    site.helm("install", "tokens", str(CHART), "--values", values(tmp_path, url), "--wait", "--timeout", "120s")
    site.end("tokens-chirpstack-init-job-1")


@pytest.mark.parametrize("file", CI_VALUES, ids=lambda path: path.name)
def test_the_chart_is_what_helm_and_the_api_server_expect(site: Site, file: Path) -> None:
    call("helm", "lint", "--strict", str(CHART), "--values", str(file))
    rendered = site.helm("template", "x", str(CHART), "--values", str(file)).stdout
    done = site.kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", "-", input=rendered)
    assert "would violate" not in done.stderr, done.stderr
    assert "Warning" not in done.stderr, done.stderr


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_what_the_api_server_expects(site: Site, example: str) -> None:
    folder = str(ROOT / "examples" / example)
    done = site.kubectl("apply", "--dry-run=server", "--validate=strict", "--kustomize", folder)
    assert "Warning" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("chirpstack.url=chirpstack:8080", "url"),
        ("chirpstack.existingSecret=", "existingSecret"),
        ("keys[0].secret=Upper", "secret"),
        ("keys[0].scope=everything", "scope"),
        ("keys[0].envVar=a-b", "envVar"),
        ("keys[0].readonly=true", "readonly"),
        ("rotaton.schedule=x", "rotaton"),
        ("enabled=1", "enabled"),
        ("image.repository=image:1.2", "repository"),
        ("image.repository=image@sha256:0", "repository"),
        ("image.tag=sha256:0", "tag"),
        ("env.WAIT_TIMEOUT=90", "WAIT_TIMEOUT': got number, want"),
        ("env.CHIRPSTACK_INITIAL_PASSWORD=12345678", "CHIRPSTACK_INITIAL_PASSWORD': got number, want string"),
        ("env.CHIRPSTACK_INITIAL_PASSWORD=true", "CHIRPSTACK_INITIAL_PASSWORD': got boolean, want string"),
    ],
)
def test_values_that_are_wrong_are_named(setting: str, what: str) -> None:
    command = ("helm", "template", "x", str(CHART), "--values", str(CI_VALUES[-1]), "--set", setting)
    done = call(*command, fails=True)
    assert done.returncode != 0
    assert what in done.stderr


def template(chart: Path, *more: str, **content: Any) -> list[Json]:
    """What the chart makes of these values."""
    command = ("helm", "template", *(more or ("x",)), str(chart), "--values", "-")
    return manifests(call(*command, input=json.dumps(content)).stdout)


def manifests(text: str) -> list[Json]:
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(made: list[Json], kind: str) -> Json:
    [found] = [one for one in made if one["kind"] == kind]
    return found


def pod(made: list[Json], kind: str = "Job") -> Json:
    """Its spec."""
    spec: Json = of_kind(made, kind)["spec"]
    found: Json = spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]
    return found


def image_of(made: list[Json], kind: str = "Job") -> str:
    return str(pod(made, kind)["containers"][0]["image"])


REQUIRED: Json = {
    "chirpstack": {"url": "http://x", "existingSecret": "admin"},
    "keys": [{"name": "grafana", "secret": "grafana"}],
}
DIGEST = f"@sha256:{64 * 'a'}"
VERSION = "app.kubernetes.io/version"


def test_the_role_of_the_chart_names_each_secret_once(tmp_path: Path) -> None:
    rendered = call("helm", "template", "x", str(CHART), "--values", values(tmp_path, "http://x")).stdout
    assert 'resourceNames: ["bridges","grafana"]' in rendered


@pytest.mark.parametrize(
    ("tag", "whole", "version"),
    [
        ("", "r:5000/i:latest", "latest"),
        ("1.2", "r:5000/i:1.2", "1.2"),
        (f"1.2{DIGEST}", f"r:5000/i:1.2{DIGEST}", "1.2"),
        (DIGEST, f"r:5000/i{DIGEST}", None),
        (f"{62 * 'a'}.b", f"r:5000/i:{62 * 'a'}.b", 62 * "a"),
        (f"{60 * 'a'}-_.b", f"r:5000/i:{60 * 'a'}-_.b", 60 * "a"),
        ("_edge-", "r:5000/i:_edge-", "edge"),
        ("__", "r:5000/i:__", None),
    ],
)  # fmt: skip
def test_any_tag_or_digest_makes_an_image_and_a_valid_label(tag: str, whole: str, version: str | None) -> None:
    made = template(CHART, **REQUIRED, image={"repository": "r:5000/i", "tag": tag}, rotation={"schedule": "@daily"})
    assert [image_of(made, kind) for kind in ("Job", "CronJob")] == [whole, whole]
    assert {one["metadata"]["labels"].get(VERSION) for one in made} == {version}


def test_a_name_of_its_own_makes_a_valid_label() -> None:
    for name in ("My App!", 62 * "a" + "._-", "on"):
        for one in template(CHART, **REQUIRED, nameOverride=name, fullnameOverride="x"):
            label = one["metadata"]["labels"]["app.kubernetes.io/name"]
            assert len(label) <= 63
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", label)


def test_a_name_that_yaml_takes_for_something_else_stays_a_string(tmp_path: Path) -> None:
    def everything(text: str) -> Json:
        return {
            "chirpstack": {"url": "http://x", "email": text, "existingSecret": text, "existingSecretKey": text},
            "keys": [{"name": text, "secret": text, "envVar": "on"}],
            "env": {text: text},
            "rotation": {"schedule": text},
            "image": {"repository": text, "tag": text},
            "imagePullSecrets": [{"name": text}],
            "job": {"annotations": {text: text}},
            **{name: {text: text} for name in ("podLabels", "podAnnotations", "nodeSelector")},
            "volumes": [{"name": text, "configMap": {"name": text}}],
            "volumeMounts": [{"name": text, "mountPath": text}],
            "nameOverride": text,
            "fullnameOverride": text,
        }

    def strings(content: Any) -> int:
        """How many there are."""
        if isinstance(content, dict):
            return sum(strings(one) for pair in content.items() for one in pair)
        return sum(map(strings, content)) if isinstance(content, list) else isinstance(content, str)

    plain = template(CHART, "xyz", "--namespace", "xyz", **everything("xyz"))
    for text in ("456", "1.5", "on", "null"):
        made = template(CHART, text, "--namespace", text, **everything(text))
        assert strings(made) == strings(plain)
    given = tmp_path / "values.json"
    given.write_text(json.dumps(everything("456")))
    notes = call("helm", "install", "x", str(CHART), "--dry-run=client", "--values", str(given)).stdout
    assert 'secretKeyRef: {name: "456", key: "on"}' in notes


def test_whole_numbers_of_the_job_are_written_out() -> None:
    job = {"backoffLimit": 1000000, "activeDeadlineSeconds": 12345678, "ttlSecondsAfterFinished": 31536000}
    spec = of_kind(template(CHART, **REQUIRED, job=job), "Job")["spec"]
    assert [repr(spec[name]) for name in job] == [str(number) for number in job.values()]


@pytest.mark.parametrize("name", ["chirpstack-init-job", "tokens"])
def test_another_chart_may_depend_on_it_under_a_condition(tmp_path: Path, name: str) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / CHART.name)
    alias = {} if name == CHART.name else {"alias": name}
    dependency = {"name": CHART.name, "version": ">=0", "condition": f"{name}.enabled", **alias}
    parent = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(json.dumps(parent))
    on = {name: {"enabled": True, **REQUIRED}, "global": {"imageRegistry": "x"}}
    assert image_of(template(tmp_path, **on)) == "chirpstack-init-job:latest"
    # Nothing is required of who does not want it.
    assert template(tmp_path, **{name: {"enabled": False}}) == []


def test_the_image_of_the_example_is_the_rotations_as_well(tmp_path: Path) -> None:
    own = kustomization(tmp_path, "kubernetes-rotation", "http://x")
    file = tmp_path / "kubernetes/kustomization.yaml"
    content = yaml.safe_load(file.read_text())
    name = "chirpstack-init-job"
    content["images"] = [{"name": name, "newName": "ghcr.io/owner/repository", "newTag": "1"}]
    file.write_text(json.dumps(content))
    made = manifests(call("kubectl", "kustomize", str(tmp_path / "kubernetes-rotation")).stdout)
    assert [image_of(made, kind) for kind in ("Job", "CronJob")] == 2 * ["ghcr.io/owner/repository:1"]

    # And by a user's own kustomization over it, as docs/kubernetes.md says.
    shutil.copytree(ROOT / "examples/kubernetes", tmp_path / "kubernetes", dirs_exist_ok=True)
    [line] = re.findall(r"^images: .*", (ROOT / "docs/kubernetes.md").read_text(), re.MULTILINE)
    own_content = {**json.loads((own / "kustomization.yaml").read_text()), **yaml.safe_load(line)}
    (own / "kustomization.yaml").write_text(json.dumps(own_content))
    made = manifests(call("kubectl", "kustomize", str(own)).stdout)
    assert [image_of(made, kind) for kind in ("Job", "CronJob")] == 2 * ["ghcr.io/OWNER/REPOSITORY:1"]
