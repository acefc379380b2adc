"""Whether what was trained is worth having, beside something simpler that was measured on the same held-out pictures."""

from __future__ import annotations

import math

from splitwire.models.training.run import Run
from splitwire.models.training.stages.stage import AnyStage, StageResult


def shortcomings(run: Run) -> dict[str, str]:
    """Tell which stages answer worse than their yardstick: by name, a sentence that says so.

    The yardstick of all is the device's own small classifier on the same features, which costs no bytes. A learned
    quality's is also the one before it, which costs fewer. Worse is what lies below it by more than two
    standard errors of its share.
    """
    pipeline = run.pipeline
    best, name = run.result(pipeline.fallback), "the device's own classifier"
    found: dict[str, str] = {}
    measured: tuple[AnyStage, ...] = (pipeline.backbone, pipeline.cae, *pipeline.qualities)
    for stage in measured:
        result = run.result(stage)
        if _is_worse(result, best):
            found[stage.name] = (
                f"{stage.name} is right on {result.held_out_accuracy:.1%} of the held-out pictures, {name} on "
                f"{best.held_out_accuracy:.1%}: train it longer (--set {stage.name}.least_steps=N) or on more pictures"
            )
        elif stage in pipeline.qualities and result.held_out_accuracy > best.held_out_accuracy:
            best, name = result, f"{stage.name}, in fewer bytes,"
    return found


def _is_worse(result: StageResult, yardstick: StageResult) -> bool:
    count = yardstick.held_out_pictures
    share = (yardstick.held_out_accuracy * count + 1) / (count + 2)  # never 1, where an error would be 0
    return result.held_out_accuracy < yardstick.held_out_accuracy - 2 * math.sqrt(share * (1 - share) / count)
