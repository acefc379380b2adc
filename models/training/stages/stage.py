"""What a training stage is.

    build, start                    inputs
(random weights, or               (pictures, or what
 an earlier stage's)            frozen layers make of them)
         |                              |
         v                              v
      network <── optimizer, loss ── training pictures
         |
         |──validate──> loss and accuracy on held-out pictures
         |
         └──export──> bundle ──restore──> network
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import torch
from pydantic import BaseModel, ConfigDict, JsonValue
from torch import Tensor, nn
from torch.optim import Optimizer

from splitwire.models.device import Compute
from splitwire.models.training.data.batches import Batches, Parts, outputs
from splitwire.models.training.fitting.log import Validation
from splitwire.models.training.settings import DataSettings, StageSettings
from splitwire.models.training.stages.classification import measure
from splitwire.shared.bundle import Bundle, Quality
from splitwire.shared.codecs import CODECS

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

Network = TypeVar("Network", bound=nn.Module)


class StageResult(BaseModel):
    """How a stage ended, for model card and report.

    ``stands_on``: the stages it started from or learned from, with the SHA-256 of their networks.
    ``held_out_loss``: None where it was not kept.
    """

    model_config = ConfigDict(frozen=True)

    stands_on: dict[str, str] = {}
    data: DataSettings
    classes: tuple[str, ...]
    training_pictures: int
    held_out_pictures: int
    held_out_loss: float | None
    held_out_accuracy: float
    settings: dict[str, JsonValue]
    hours: float
    compute: str
    data_sha256: str


@dataclass(kw_only=True)
class Draft:
    """A bundle while its stages put it together.

    ``tensors``: by file, then by name. ``device``, ``cloud``: files that each side needs for every quality.
    ``features``: what was trained on, [N, 512, 7, 7].
    """

    features: Batches
    compute: Compute
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    device: list[str] = field(default_factory=list)
    cloud: list[str] = field(default_factory=list)
    qualities: dict[str, Quality] = field(default_factory=dict)

    def add(self, file: str, networks: Mapping[str, nn.Module]) -> str:
        """Add a file: networks' weights in float16, each under its name. Returns the file's name."""
        self.tensors[file] = {
            f"{name}.{key}": value.detach().cpu().to(torch.float16).contiguous()
            for name, network in networks.items()
            for key, value in network.state_dict().items()
        }
        return file

    def fit(self, file: str, codec: str, latents: Callable[[Tensor], Tensor]) -> str:
        """Add a file: a codec's tables, that suit the latents of all features. Returns the file's name."""
        measured = torch.cat(list(outputs(latents, self.features, self.compute))).numpy()
        self.tensors[file] = {
            name: torch.from_numpy(table) for name, table in CODECS[codec].fit(measured).items()
        }
        return file


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """What a stage's inputs will be, known before they are there.

    ``shape``: of one input; ``count``: inputs to train on. Of ``cached_count`` pictures, what the first
    ``cached_blocks`` of VGG16's blocks make of them is computed once and kept in the cache named ``cache``.
    """

    shape: tuple[int, ...]
    count: int
    cache: str = ""
    cached_blocks: int = 0
    cached_count: int = 0


@dataclass(frozen=True, kw_only=True)
class Stage(ABC, Generic[Network]):
    """One stage of a training; its methods are called in the order in which they stand here.

    ``for_bundle``: a bundle wants it; one that no bundle wants is trained only by its name. ``in_bundle``: a bundle
    holds its network.
    """

    name: str
    settings: StageSettings
    for_bundle: bool = True
    in_bundle: bool = True

    prefix: ClassVar[str] = ""
    """Stands before the names of the network's weights in the run's folder."""
    what: ClassVar[str]
    """What it trains, for the model card."""

    @property
    def needs(self) -> tuple[AnyStage, ...]:
        """Earlier stages that must have ended."""
        return ()

    @property
    def seed(self) -> int:
        """Added to the run's seed."""
        return 0

    @abstractmethod
    def build(self, classes: int) -> Network:
        """Build the network with random weights."""

    def start(self, network: Network, run: Run, earlier: Earlier) -> None:
        """Give it the weights that it starts from."""

    @abstractmethod
    def inputs(self, network: Network, run: Run, earlier: Earlier) -> Parts[Batches]:
        """Build what it is trained on, and what it is measured on."""

    def calibrate(self, network: Network, inputs: Batches) -> None:
        """Set weights that are computed from the inputs before the training."""

    def to_train(self, network: Network, run: Run) -> nn.Module:
        """Build what the inputs run through: the network, or a part of it with something before it."""
        return network

    @abstractmethod
    def optimizer(self, network: Network) -> Optimizer:
        """Build the optimiser of the weights that are trained."""

    @abstractmethod
    def loss(self, earlier: Earlier) -> nn.Module:
        """Build the loss: (network, inputs [N, ...], labels [N] int64) -> scalar."""

    def validate(self, network: Network, held_out: Batches, earlier: Earlier, compute: Compute) -> Validation:
        """Measure the network on held-out pictures; here as one that classifies them."""
        return measure(network, held_out, compute)

    @abstractmethod
    def sizes(self, run: Run) -> InputSizes:
        """Tell what ``inputs`` will be."""

    def export(self, network: Network, draft: Draft) -> None:
        """Add to a bundle what the two sides need."""

    def restore(self, network: Network, device: Bundle, cloud: Bundle) -> None:
        """Take the weights back out of a bundle."""


AnyStage = Stage[Any]


class Earlier:
    """The networks of the stages that a stage needs, each loaded once."""

    def __init__(self, stage: AnyStage, load: Callable[[AnyStage], nn.Module]) -> None:
        self._networks = {needed.name: load(needed) for needed in stage.needs}

    def __getitem__(self, stage: Stage[Network]) -> Network:
        """Look one up."""
        return cast("Network", self._networks[stage.name])
