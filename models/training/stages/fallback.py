"""Stage ``fallback``: the device's own small classifier, by cross-entropy, everything else frozen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer

from splitwire.models.fallback import Fallback
from splitwire.models.loading import fill
from splitwire.models.training.settings import StageSettings, Widths
from splitwire.models.training.stages.classification import CrossEntropy
from splitwire.models.training.stages.features import FeatureStage
from splitwire.models.training.stages.stage import Draft, Earlier
from splitwire.shared.bundle import FALLBACK, Bundle


class FallbackSettings(StageSettings):
    """The device's own small classifier. ``hidden``: widths of its layers."""

    hidden: Widths = (128,)
    epochs: int = Field(default=5, gt=0)
    batch: int = Field(default=256, gt=0)
    rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)


@dataclass(frozen=True, kw_only=True)
class FallbackStage(FeatureStage[Fallback]):
    """Features to logits."""

    settings: FallbackSettings
    prefix = "fallback."
    what = (
        "the device's own classifier, on the mean of each of the feature's channels, by cross-entropy; Adam"
    )

    def build(self, classes: int) -> Fallback:
        return Fallback(classes, self.settings.hidden)

    def optimizer(self, network: Fallback) -> Optimizer:
        settings = self.settings
        return torch.optim.AdamW(network.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)

    def loss(self, earlier: Earlier) -> nn.Module:
        return CrossEntropy(label_smoothing=self.settings.label_smoothing)

    def export(self, network: Fallback, draft: Draft) -> None:
        draft.device.append(draft.add("device/fallback.safetensors", {FALLBACK: network.layers}))

    def restore(self, network: Fallback, device: Bundle, cloud: Bundle) -> None:
        fill(network.layers, FALLBACK, device, None)
