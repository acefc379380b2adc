"""``cuts`` says what each side takes, and which cut answers soonest over a link."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from splitwire.models.networks import build
from splitwire.models.training.commands import app
from splitwire.models.training.placement import Link, place, read_link
from splitwire.shared.bundle import NetworkSpec
from splitwire.shared.command import run
from splitwire.shared.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

SHAPE = (3, 64, 64)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build(NetworkSpec(name="test_resnet", cut="any"), 5)


@pytest.mark.parametrize(
    ("text", "rate"), [("1Mbit/s", 1e6), ("250kbit/s", 250e3), ("1.5 Mbit/s", 1.5e6), ("9600bit/s", 9600)]
)
def test_a_link_is_written_with_its_unit(text: str, rate: float) -> None:
    assert read_link(text, 20) == Link(rate=rate, rtt=20)


@pytest.mark.parametrize("text", ["1", "1MB/s", "0kbit/s", "...bit/s", "fast"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="write it as 1Mbit/s"):
        read_link(text, 20)


def test_an_answer_takes_device_link_and_cloud(network: nn.Module) -> None:
    placement = place("small", network, SHAPE, link=Link(rate=1e6, rtt=50), slowdown=3, passes=3)
    picture, *cuts, device = placement.places
    assert [picture.name, device.name] == ["picture", "device"]
    assert picture.device == device.cloud == 0
    assert device.answer == device.device == pytest.approx(3 * picture.cloud)
    assert picture.sent == round(64 * 64 * 1.1 / 8)
    for each in (picture, *cuts):
        assert each.sent is not None
        assert each.transfer is not None
        assert each.transfer == pytest.approx(50 + 8 * each.sent / 1000)
        assert each.answer == pytest.approx(each.device + each.transfer + each.cloud)
        assert each.device / 3 + each.cloud == pytest.approx(picture.cloud)
        whole = (each.device_parameters + each.cloud_parameters, each.device_multiplications)
        assert whole[0] == device.device_parameters
        assert whole[1] <= device.device_multiplications
    assert [each.device for each in cuts] == sorted(each.device for each in cuts)


def test_the_link_decides_where_to_cut(network: nn.Module) -> None:
    def best(rate: float, slowdown: float) -> str | None:
        link = Link(rate=rate, rtt=1)
        sent = {"code_bytes": 20, "picture_bytes": 10_000}
        return place("small", network, SHAPE, link=link, **sent, slowdown=slowdown, passes=3).best

    assert best(rate=1e9, slowdown=1e5) == "picture"
    assert best(rate=1e3, slowdown=1) == "device"
    assert best(rate=1e3, slowdown=1e3) not in {"picture", "device"}


def test_tokens_have_no_code_to_send() -> None:
    vit = build(NetworkSpec(name="test_vit", cut="any"), 5)
    placement = place("tokens", vit, (3, 160, 160), link=Link(rate=1e6, rtt=1), passes=1)
    tokens = next(each for each in placement.places if each.name == "blocks.0")
    assert tokens.shape == (101, 64)
    assert (tokens.sent, tokens.answer) == (None, None)


def test_the_command_lists_times_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = tmp_path / "plot.svg"
    command = ["cuts", "--network", "test_resnet", "--size", "64", "--passes", "2", "--link", "1Mbit/s"]
    run(lambda: app([*command, "--slowdown", "20", "--plot", str(plot)]))
    printed = capsys.readouterr()
    for said in ("layer2.0", "48x8x8", "soonest answer:", "1 Mbit/s, 50 ms", "the latent, a byte a number"):
        assert said in printed.out
    assert "timing" in printed.err
    assert "<svg" in plot.read_text()
    run(lambda: app([*command, "--json", "--code-bytes", "60"]))
    values = json.loads(capsys.readouterr().out)
    assert values["best"] in {each["name"] for each in values["places"]}
    assert {each["sent"] for each in values["places"][1:-1]} == {60}


def test_an_unknown_network_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        run(lambda: app(["cuts", "--network", "resnet-18"]))
    assert exited.value.code == 2
    errors = capsys.readouterr().err
    assert "did you mean" in errors
    assert errors.count("\n") == 1
