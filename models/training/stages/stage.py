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

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, TypeVar, cast

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PositiveInt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from splitwire.models.device import Compute
from splitwire.models.training.data.batches import Batches, Parts, outputs
from splitwire.models.training.data.pictures import Amount
from splitwire.models.training.fitting.log import Validation
from splitwire.shared.bundle import Bundle, Quality
from splitwire.shared.codecs import CODECS

if TYPE_CHECKING:
    from splitwire.models.training.run import Run

Network = TypeVar("Network", bound=nn.Module)

Schedule = Literal["constant", "one-cycle", "plateau"]


_FEATURES, _MOST_VARIANTS = 2000, 16


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Widths = Annotated[tuple[PositiveInt, ...], BeforeValidator(_split)]
"""Sizes of layers; as a string: 512,512."""


class Settings(BaseModel):
    """Settings that don't change, and have no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """Which pictures are used.

    Each a count, or a share below 1, of every class the same. ``pictures``: for training; 0: all that are not held
    out. ``held_out``: training pictures set aside to measure progress on, since the test pictures choose nothing; 0:
    a fifth, at most 2,500.
    ``variants``: features of each picture where all up to the cut is frozen, each of the picture mirrored and
    moved at random; 0: as many as make 2,000 of all pictures, at most 16. ``plain``: the first one is of the picture
    as it is.
    """

    pictures: Amount = 0
    held_out: Amount = 0
    variants: int = Field(default=1, ge=0)
    plain: bool = True
    seed: int = Field(default=0, ge=0)

    def times(self, pictures: int) -> int:
        """Count the variants of each of so many pictures."""
        return self.variants or min(_MOST_VARIANTS, math.ceil(_FEATURES / pictures))


class StageSettings(Settings):
    """What every stage has: how long it goes on, pictures a step, course of the rate.

    ``epochs``: passes over the pictures, more where ``least_steps`` want them, as with few pictures.
    ``schedule``: ``constant``; ``one-cycle``: up, and down to nothing at the end; ``plateau``: lower each time that
    held-out pictures do no better any more, until that helps no more; then the best network counts.
    """

    epochs: int = Field(gt=0)
    least_steps: int = Field(default=0, ge=0)
    batch: int = Field(gt=0)
    schedule: Schedule = "one-cycle"

    def steps(self, pictures: int) -> int:
        """Count the steps that a training takes, at most."""
        epoch = math.ceil(pictures / self.batch)
        return epoch * max(self.epochs, math.ceil(self.least_steps / epoch))


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

    ``features``: what was trained on, [N, *feature_shape]; None: nothing yet, and codecs get no tables. ``front``,
    ``outputs``: what a device computes, the network before its cut and what sees its output. ``tensors``: by file, then by
    name. ``tail``: files that the cloud needs for every quality.
    """

    features: Batches | None
    compute: Compute
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    front: nn.Module = field(default_factory=nn.Identity)
    outputs: dict[str, nn.Module] = field(default_factory=dict)
    tail: list[str] = field(default_factory=list)
    qualities: dict[str, Quality] = field(default_factory=dict)

    def add(self, file: str, networks: Mapping[str, nn.Module]) -> str:
        """Add a file: networks' weights in float16, each under its name, if it has one. Returns the file's name.

        What batch norms measured stays in float32.
        """
        self.tensors[file] = {
            f"{name}.{key}".lstrip("."): value.detach()
            .cpu()
            .to(torch.float32 if "running_" in key else torch.float16)
            .contiguous()
            for name, network in networks.items()
            for key, value in network.state_dict().items()
            if not key.endswith("num_batches_tracked")
        }
        return file

    def fit(self, file: str, codec: str, latents: Callable[[Tensor], Tensor]) -> str:
        """Add a file: a codec's tables, that suit the latents of all features. Returns the file's name."""
        if self.features is not None:
            measured = torch.cat(list(outputs(latents, self.features, self.compute))).numpy()
            self.tensors[file] = {
                name: torch.from_numpy(table) for name, table in CODECS[codec].fit(measured).items()
            }
        return file


@dataclass(frozen=True, kw_only=True)
class CacheSizes:
    """What is computed once: of ``count`` pictures, what crosses a place in the network, of that shape."""

    name: str
    place: str
    shape: tuple[int, ...]
    count: int


@dataclass(frozen=True, kw_only=True)
class InputSizes:
    """What a stage's inputs will be, known before they are there. ``shape``: of one; ``count``: to train on."""

    shape: tuple[int, ...]
    count: int
    cached: CacheSizes | None = None


@dataclass(frozen=True, kw_only=True)
class Stage(ABC, Generic[Network]):
    """One stage of a training; its methods stand in the order of a training.

    ``for_bundle``: a bundle is not written without it. ``in_bundle``: a bundle
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

    def restore(self, network: Network, device: Mapping[str, Tensor], cloud: Bundle) -> None:
        """Take the weights back out of a bundle."""


AnyStage = Stage[Any]


class Earlier:
    """The networks of the stages that a stage needs, each loaded once."""

    def __init__(self, stage: AnyStage, load: Callable[[AnyStage], nn.Module]) -> None:
        self._networks = {needed.name: load(needed) for needed in stage.needs}

    def __getitem__(self, stage: Stage[Network]) -> Network:
        """Look one up."""
        return cast("Network", self._networks[stage.name])


class CrossEntropy(nn.Module):
    """Cross-entropy with the class, smoothed, and with a teacher's probabilities.

    ``soft_labels``: the teacher's share, 0 to 1. It sees the same inputs as the network.
    """

    def __init__(
        self, *, label_smoothing: float = 0.0, teacher: nn.Module | None = None, soft_labels: float = 0.0
    ) -> None:
        super().__init__()
        self._label_smoothing = label_smoothing
        self._soft_labels = soft_labels
        self.teacher = teacher.eval().requires_grad_(requires_grad=False) if teacher else None

    def forward(self, network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of one batch."""
        logits = network(inputs).float()  # [N, classes]
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._label_smoothing)
        if self.teacher is None:
            return loss
        taught = functional.cross_entropy(logits, self.teacher(inputs).float().softmax(1))
        return (1 - self._soft_labels) * loss + self._soft_labels * taught


def measure(
    network: Callable[[Tensor], Tensor], held_out: Batches, compute: Compute, *, beside: bool = False
) -> Validation:
    """Measure accuracy and loss of what a network answers, [N, classes]: cross-entropy.

    With ``beside``, [N, classes + 1], the loss is the mean of the last column, and the rest are the logits.
    """
    logits, labels = torch.cat(list(outputs(network, held_out, compute))), torch.from_numpy(held_out.labels)
    if beside:
        loss, logits = logits[:, -1].mean(), logits[:, :-1]
    else:
        loss = functional.cross_entropy(logits, labels)
    return Validation(loss=float(loss), accuracy=float((logits.argmax(1) == labels).float().mean()))
