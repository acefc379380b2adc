"""What the images and the Compose file say, as far as it can be seen without an engine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from ruamel.yaml import YAML

from tests.e2e.containers import COMPOSE_FILE, ROOT, read_container, read_image


@pytest.mark.parametrize("service", ["cloud", "edge"])
def test_a_service_runs_a_module_that_its_image_has(service: str) -> None:
    container = read_container(service, {"api-key": Path("key")})
    python, option, module = container.image.entrypoint
    assert (python, option) == ("python", "-m")
    copied = {mount.target: mount.source for mount in container.image.files}
    place = PurePosixPath("/app", *module.split(".")).with_suffix(".py")
    target = max((target for target in copied if place.is_relative_to(target)), key=len)
    assert (copied[target] / place.relative_to(target)).is_file()


def test_the_device_has_neither_the_clouds_weights_nor_torch() -> None:
    image = read_image(ROOT / "edge" / "Dockerfile")
    sources = {mount.source for mount in image.files}
    bundle = ROOT / "models" / "weights" / "vgg16-cifar10"
    assert bundle / "device" in sources
    assert not sources & {bundle, bundle / "cloud"}
    assert "requirements/edge.txt" in (ROOT / "edge" / "Dockerfile").read_text()
    packages = (ROOT / "requirements" / "edge.txt").read_text()
    assert "numpy==" in packages
    assert "torch" not in packages


def test_prometheus_asks_the_cloud_where_it_listens_with_a_secret_that_it_has() -> None:
    compose = YAML(typ="safe").load(COMPOSE_FILE)
    service = compose["services"]["prometheus"]
    (config,) = service["configs"]
    assert f"--config.file={config['target']}" in service["command"]
    settings = YAML(typ="safe").load(ROOT / compose["configs"][config["source"]]["file"])
    (scraped,) = settings["scrape_configs"]
    assert scraped["authorization"]["credentials_file"] in {
        f"/run/secrets/{name}" for name in service["secrets"]
    }
    (target,) = scraped["static_configs"]
    host, _, port = target["targets"][0].partition(":")
    assert host in service["depends_on"]
    assert compose["services"][host]["ports"][0].endswith(f":{port}")


def test_no_service_is_without_bounds() -> None:
    services = YAML(typ="safe").load(COMPOSE_FILE)["services"]
    for service in services.values():
        _, _, tag = service["image"].partition(":")
        assert tag not in {"", "latest"}
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
