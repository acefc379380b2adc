"""What deploy/kubernetes says, as far as it can be seen without a cluster."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import ExitStack
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import httpx
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from splitwire.cloud.cli import app
from splitwire.cloud.metrics import Metrics
from splitwire.cloud.settings import CloudSettings, ServerSettings
from tests.e2e.containers import COMPOSE_FILE, ROOT, read_image
from tests.processes import cloud_process, free_port

FOLDER = ROOT / "deploy" / "kubernetes"
GUIDE = ROOT / "docs" / "guides" / "kubernetes.md"
OVERLAYS = ("cpu", "nvidia")
BUILDS = [("cpu", None), ("nvidia", None), ("cpu", "hpa"), ("nvidia", "keda")]
"""Overlays, and autoscalers on them."""
AUTOSCALERS = {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}
VERSIONS = ("1.30", "1.37")
"""The oldest Kubernetes that the manifests are for, and the newest whose schemas there are."""
OF_OPERATORS = {"PodMonitor", "ScaledObject"}
"""Kinds that are not Kubernetes' own: no schemas of theirs are at hand."""

Tree = dict[str, Any]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("overlay", "autoscaler"), BUILDS)
def test_schemas_allow_what_is_built(overlay: str, autoscaler: str | None, version: str) -> None:
    validate(build(overlay, autoscaler), version)


def test_schemas_notice_a_field_that_is_none() -> None:
    manifests = build("cpu")
    container_of(manifests)["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        validate(manifests, VERSIONS[-1])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_cloud_takes_the_command_line(overlay: str) -> None:
    manifests = build(overlay)
    container = container_of(manifests)
    server, settings = settings_of(container)
    assert server.host == "0.0.0.0"
    assert [port["containerPort"] for port in container["ports"]] == [server.port]
    assert settings.device == ("cuda" if overlay == "nvidia" else "auto")
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == (overlay == "nvidia")
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert waits + server.drain_seconds < pod_of(manifests)["terminationGracePeriodSeconds"]


@pytest.mark.parametrize(
    ("overlay", "compose"), [("cpu", "docker-compose"), ("nvidia", "docker-compose.gpu")]
)
def test_image_and_user_are_those_that_are_built(overlay: str, compose: str) -> None:
    manifests = build(overlay)
    container, security = container_of(manifests), pod_of(manifests)["securityContext"]
    services = YAML(typ="safe").load(COMPOSE_FILE.with_name(f"{compose}.yml"))["services"]
    assert container["image"] == services["cloud"]["image"]
    image = read_image(ROOT / "cloud" / "Dockerfile")
    assert f"{security['runAsUser']}:{security['runAsGroup']}" == image.user
    assert container["livenessProbe"]["exec"]["command"][0] == image.entrypoint[0]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_is_privileged_or_without_bounds(overlay: str) -> None:
    manifests = build(overlay)
    assert manifests["Namespace"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod, container = pod_of(manifests), container_of(manifests)
    assert not pod["automountServiceAccountToken"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


def test_a_real_cloud_answers_probes_and_prometheus_and_is_not_restarted_when_full(tmp_path: Path) -> None:
    manifests = build("cpu", "hpa")
    container = container_of(manifests)
    (scraped,) = manifests["PodMonitor"]["spec"]["podMetricsEndpoints"]
    keys = tmp_path / "keys.txt"
    keys.write_text("key")

    def alive(port: int | None) -> bool:
        arguments = [
            each.replace("8000", f"{port}") for each in container["livenessProbe"]["exec"]["command"][1:]
        ]
        run = subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL, check=False)
        return run.returncode == 0

    with cloud_process("--key-file", str(keys), "--connections", "2") as cloud, ExitStack() as stack:
        url = httpx.URL(cloud.url)
        for probe in ("startupProbe", "readinessProbe"):
            assert httpx.get(cloud.url + container[probe]["httpGet"]["path"], timeout=30).is_success
        answer = httpx.get(cloud.url + scraped["path"], headers={"Authorization": "Bearer key"})
        assert "splitwire_queue_pictures" in answer.text
        assert alive(url.port)
        while httpx.get(f"{cloud.url}/healthz").is_success:
            stack.enter_context(socket.create_connection((url.host, url.port or 0)))
        assert alive(url.port)
    assert not alive(free_port())


@pytest.mark.parametrize("autoscaler", AUTOSCALERS)
def test_an_autoscaler_asks_for_metrics_that_the_cloud_has(autoscaler: str) -> None:
    manifests = build("cpu", autoscaler)
    deployment, scaler = manifests["Deployment"], manifests[AUTOSCALERS[autoscaler]]
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]
    asked = str(scaler["spec"])
    metrics = Metrics().text().decode()
    assert "splitwire_queue_pictures" in asked
    for name in re.findall(r"splitwire_[a-z_]+", asked):
        assert re.search(rf"^{name}[ {{]", metrics, re.MULTILINE), name
    for label in re.findall(r'stage="[a-z]+"', asked):
        assert label in metrics
    for namespace in re.findall(r'namespace="([a-z]+)"', asked):
        assert namespace == scaler["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    target = re.search(r"'(?:averageValue|threshold)': '(\d+)'", asked)
    assert target
    assert int(target[1]) < CloudSettings().batch_pictures // 2, "an overloaded cloud's queue is no longer"


def test_everything_means_the_same_pods_and_port() -> None:
    manifests = build("cpu", "hpa")
    template = manifests["Deployment"]["spec"]["template"]
    labels, (port,) = template["metadata"]["labels"], template["spec"]["containers"][0]["ports"]
    (spread,) = template["spec"]["topologySpreadConstraints"]
    for selector in (
        manifests["Deployment"]["spec"]["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        manifests["PodMonitor"]["spec"]["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
    ):
        assert selector
        assert selector.items() <= labels.items()
    ports = [
        *(each["targetPort"] for each in manifests["Service"]["spec"]["ports"]),
        *(each["port"] for each in manifests["NetworkPolicy"]["spec"]["ingress"][0]["ports"]),
        *(each["port"] for each in manifests["PodMonitor"]["spec"]["podMetricsEndpoints"]),
    ]
    assert set(ports) == {port["name"]}


def test_the_guide_makes_the_secrets_that_are_used(tmp_path: Path) -> None:
    commands = re.findall(r"^ +kubectl (-n \w+ create secret [^|\n]+)$", GUIDE.read_text(), re.MULTILINE)
    made = {}
    for command in commands:
        (tmp_path / command.split("=")[-1]).write_text("key")
        (secret,) = load(kubectl(*command.split(), "--dry-run=client", "-o", "yaml", folder=tmp_path))
        kubernetes_validate.validate(secret, VERSIONS[0], strict=True)
        made[secret["metadata"]["name"]] = set(secret["data"])
    manifests = build("cpu", "hpa")
    container = container_of(manifests)
    (volume,) = (each for each in pod_of(manifests)["volumes"] if "secret" in each)
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == volume["name"])
    _, settings = settings_of(container)
    file = PurePosixPath(settings.key_file or "")
    assert str(file.parent) == mount["mountPath"]
    assert file.name in made[volume["secret"]["secretName"]]
    assert volume["secret"]["defaultMode"] == 0o440
    credentials = manifests["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["authorization"]["credentials"]
    assert credentials["key"] in made[credentials["name"]]


def test_the_guides_overlay_serves_two_bundles() -> None:
    parts = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    manifests = by_kind(build_text("".join(map(dedent, parts))))
    container = container_of(manifests)
    assert container["image"].startswith("registry.example.org/splitwire-cloud:")
    _, settings = settings_of(container)
    assert [path.name for path in settings.bundles] == ["OLD", "NEW"]
    validate(manifests, VERSIONS[-1])


def build(overlay: str, autoscaler: str | None = None) -> Tree:
    """What ``kubectl apply -k`` would send of an overlay, with Prometheus and an autoscaler or with neither."""
    names = ("pod-monitor", autoscaler) if autoscaler else ()
    components = ", ".join(f"../../components/{name}" for name in names)
    return by_kind(build_text(f"resources: [../{overlay}]\ncomponents: [{components}]\n"))


@cache
def build_text(kustomization: str) -> str:
    """Build an overlay that is beside the others."""
    with TemporaryDirectory() as folder:
        mine = Path(shutil.copytree(FOLDER, Path(folder) / "kubernetes")) / "overlays" / "mine"
        mine.mkdir()
        (mine / "kustomization.yaml").write_text(kustomization)
        return kubectl("kustomize", folder=mine)


def kubectl(*arguments: str, folder: Path) -> str:
    program = shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("kubectl is not installed")
    run = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def load(text: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(text))


def by_kind(text: str) -> Tree:
    manifests = load(text)
    found = {manifest["kind"]: manifest for manifest in manifests}
    assert len(found) == len(manifests)
    return found


def validate(manifests: Tree, version: str) -> None:
    for kind, manifest in manifests.items():
        if kind not in OF_OPERATORS:
            kubernetes_validate.validate(manifest, version, strict=True)


def pod_of(manifests: Tree) -> Tree:
    pod: Tree = manifests["Deployment"]["spec"]["template"]["spec"]
    return pod


def container_of(manifests: Tree) -> Tree:
    container: Tree
    (container,) = pod_of(manifests)["containers"]
    return container


def settings_of(container: Tree) -> tuple[ServerSettings, CloudSettings]:
    """What ``cloud-server`` takes the arguments for; one that it does not know is an error."""
    _, bound, _ = app.parse_args(container["args"])
    return bound.arguments["server"], bound.arguments["settings"]
