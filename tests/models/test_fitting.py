"""The loop that trains every stage, on a problem of a few numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from splitwire.models.device import choose_compute
from splitwire.models.training.fitting.log import TrainingLog, Validation
from splitwire.models.training.fitting.loop import Training, fit
from splitwire.models.training.fitting.schedule import course
from splitwire.models.training.stages.features import SquaredError
from splitwire.models.training.stages.stage import CrossEntropy, StageSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from pydantic import JsonValue

COMPUTE = choose_compute("cpu", "float32")


@pytest.fixture(autouse=True)
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes most of so short a training."""
    monkeypatch.setattr(TrainingLog, "plot", lambda *_: None)


class Points:
    """Noisy points of two classes: [N, 4]."""

    variants = 1
    identity: Mapping[str, JsonValue] = {"points": 0}

    def __init__(self, count: int) -> None:
        self.labels: NDArray[np.int64] = np.arange(count) % 2
        noise = np.random.default_rng(0).normal(0, 1.5, (count, 4)).astype(np.float32)
        self._points = torch.from_numpy(noise) + torch.from_numpy(2.0 * self.labels - 1)[:, None].float()

    def batch(self, indices: NDArray[np.int64], _: NDArray[np.int64] | None = None) -> Tensor:
        return self._points[torch.from_numpy(indices)]


class Fitted:
    """A training in a folder, with what was measured on the way."""

    def __init__(self, folder: Path, settings: StageSettings, pictures: int = 20) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
        self.measured: list[float] = []
        held_out = Points(200)
        inputs, labels = held_out.batch(np.arange(200)), torch.from_numpy(held_out.labels)

        def validate() -> Validation:
            with torch.inference_mode():
                loss = nn.functional.cross_entropy(self.network(inputs), labels)
            self.measured.append(float(loss))
            return Validation(loss=float(loss), accuracy=0.5)

        self.training = Training(
            title="points",
            folder=folder,
            compute=COMPUTE,
            seed=0,
            settings=settings,
            network=self.network,
            optimizer=torch.optim.Adam(self.network.parameters(), lr=0.05),
            batches=Points(pictures),
            loss=CrossEntropy(),
            validate=validate,
        )

    def fit(self, *, resume: bool = False, stop: Callable[[int], bool] | None = None) -> Validation:
        if stop:
            validate, count = self.training.validate, len(self.measured)

            def stopped() -> Validation:
                if stop(len(self.measured) - count):
                    raise KeyboardInterrupt
                return validate()

            object.__setattr__(self.training, "validate", stopped)
        return fit(self.training, resume=resume)[0]

    def steps(self) -> int:
        return int((self.training.folder / "log.csv").read_text().splitlines()[-1].split(",")[0])


PLATEAU = StageSettings(epochs=1, least_steps=400, batch=5, schedule="plateau")


def test_a_training_ends_where_held_out_pictures_gain_nothing_with_the_best_network(tmp_path: Path) -> None:
    fitted = Fitted(tmp_path, PLATEAU)
    ended = fitted.fit()
    assert fitted.steps() < 400
    assert ended.loss == min(fitted.measured)
    assert ended.loss < fitted.measured[-2]


def test_of_two_networks_the_more_accurate_one_is_better_and_of_equal_ones_that_of_less_loss() -> None:
    network = nn.Linear(1, 1)
    rates = course("plateau", network, torch.optim.SGD(network.parameters(), lr=1), 10)
    for value, accuracy, loss in ((1.0, 0.8, 0.3), (2.0, 0.9, 0.6), (3.0, 0.9, 0.5), (4.0, 0.8, 0.1)):
        nn.init.constant_(network.weight, value)
        rates.measured(Validation(loss=loss, accuracy=accuracy))
    rates.end()
    assert network.weight.item() == 3


@pytest.mark.parametrize(("pictures", "steps"), [(20, 60), (200, 120)])
def test_few_pictures_are_gone_over_until_there_were_enough_steps(
    tmp_path: Path, pictures: int, steps: int
) -> None:
    fitted = Fitted(tmp_path, StageSettings(epochs=3, least_steps=57, batch=5), pictures)
    fitted.fit()
    assert fitted.steps() == steps


def test_a_stopped_training_with_plateaus_ends_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    whole = Fitted(tmp_path / "whole", PLATEAU)
    whole.fit()
    stopped = Fitted(tmp_path / "stopped", PLATEAU)
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(stop=lambda measured: measured == 5)
    again = Fitted(tmp_path / "stopped", PLATEAU)
    again.fit(resume=True)
    assert again.steps() == whole.steps()
    for name, weights in whole.network.state_dict().items():
        assert torch.equal(weights, again.network.state_dict()[name])


def test_what_changes_the_answer_costs_an_autoencoder_more_where_the_answer_has_a_weight() -> None:
    classifier, inputs = nn.Linear(4, 2), torch.randn(8, 4)
    nn.init.zeros_(classifier.weight[:, 2:])

    def cost(weight: float, changed: int) -> float:
        restored = inputs + nn.functional.one_hot(torch.tensor(changed), 4)
        return float(SquaredError(classifier, weight)(Fixed(restored), inputs, torch.zeros(8)))

    assert cost(0, 0) == pytest.approx(cost(0, 3))
    assert cost(1, 0) > cost(1, 3)
    assert cost(1, 3) == pytest.approx(cost(0, 3))


class Fixed(nn.Module):
    def __init__(self, restored: Tensor) -> None:
        super().__init__()
        self._restored = restored

    def forward(self, _: Tensor) -> Tensor:
        return self._restored
