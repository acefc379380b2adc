"""Train one stage of a run."""

from __future__ import annotations

from splitwire.models.training.fitting.loop import CHECKPOINT_SECONDS, Training, fit
from splitwire.models.training.run import Run
from splitwire.models.training.stages.stage import AnyStage, Earlier, StageResult


def train_stage(
    run: Run, stage: AnyStage, *, resume: bool, checkpoint_seconds: float = CHECKPOINT_SECONDS
) -> StageResult:
    """Train one stage; write its folder."""
    pictures = run.pictures
    earlier = Earlier(stage, run.trained)
    network = run.untrained(stage, len(pictures.training.classes))
    stage.start(network, run, earlier)
    inputs = stage.inputs(network, run, earlier)
    stage.calibrate(network, inputs.training)
    if not resume:
        run.forget(stage)
    training = Training(
        title=stage.name,
        folder=run.folder / stage.name,
        compute=run.compute,
        seed=run.seed + stage.seed,
        settings=stage.settings,
        network=stage.to_train(network, run),
        optimizer=stage.optimizer(network),
        batches=inputs.training,
        loss=stage.loss(earlier),
        validate=lambda: stage.validate(network, inputs.held_out, earlier, run.compute),
    )
    validation, seconds = fit(training, resume=resume, checkpoint_seconds=checkpoint_seconds)
    result = StageResult(
        data=run.settings.preset.data,
        classes=pictures.training.classes,
        training_pictures=len(pictures.training),
        held_out_pictures=len(pictures.held_out),
        held_out_loss=validation.loss,
        held_out_accuracy=validation.accuracy,
        settings=stage.settings.model_dump(mode="json"),
        hours=seconds / 3600,
        compute=str(run.compute),
        data_sha256=pictures.training.digest(),
    )
    return run.end(stage, network, result)
