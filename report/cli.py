"""``split-report``: from a data set to a folder with the report."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from statistics import median
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter
from cyclopts.types import PositiveInt
from pydantic import BaseModel, ValidationError

from splitwire.edge.network.address import address
from splitwire.models.errors import TrainingError
from splitwire.models.training.commands import DataPath
from splitwire.models.training.data.check import check
from splitwire.models.training.data.pictures import load_pictures
from splitwire.models.training.evaluate import SAE, AutoencoderComparison
from splitwire.models.training.fitting.progress import CONSOLE
from splitwire.models.training.painting.paintings import PAINTINGS, SHEET, Paintings
from splitwire.report.measure.run import Measuring, forecast
from splitwire.report.page.assemble import assemble
from splitwire.report.page.html import write_report
from splitwire.report.picture_codecs import settings as codec_settings
from splitwire.report.sample import take_sample
from splitwire.report.steps import Steps
from splitwire.report.testbed import environment
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.command import command_line, print_result
from splitwire.shared.errors import BundleInvalid

Found = TypeVar("Found", bound=BaseModel)

app = command_line("split-report")


@app.default
def command(
    *,
    data: DataPath,
    out: Annotated[Path, Parameter(help="Folder for report.html, report.json and plots/.")],
    limit: Annotated[
        PositiveInt | None, Parameter(help="How many pictures, of every class as many. Without: all.")
    ] = None,
    seed: Annotated[int, Parameter(help="Of every random choice.")] = 0,
    bundle: Annotated[
        Path, Parameter(env_var="SPLITWIRE_BUNDLE", help="Folder of a model bundle.")
    ] = default_bundle_path(),
    qualities: Annotated[
        str | None, Parameter(help="Which, with commas between. Without: all of the bundle.")
    ] = None,
    cloud: Annotated[
        str | None,
        Parameter(
            env_var="SPLITWIRE_CLOUD",
            help="URL of a cloud-server that runs already. Without: one on loopback, for as long as this takes.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        Parameter(
            env_var="SPLITWIRE_KEY",
            allow_leading_hyphen=True,
            help="That cloud's API key; better by variable.",
        ),
    ] = None,
) -> None:
    """Write the report. Stopped, it goes on where it was when it is started the same way again, by the same code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the servers, too
    commit = environment.commit()
    device = load_bundle(bundle, "device")
    names = tuple(filter(None, map(str.strip, (qualities or "").split(",")))) or tuple(
        device.manifest.qualities
    )
    for name in names:
        device.quality(name)
    autoencoders = load_beside(bundle, SAE, AutoencoderComparison)
    paintings = load_beside(bundle, PAINTINGS, Paintings)
    found = load_pictures(data, "test")
    if found.classes != device.manifest.classes:
        raise TrainingError(
            f"the pictures' classes are not those of {bundle}; use the data set that it was trained on"
        )
    sample = take_sample(check({"test": found})["test"], limit, seed)
    shorter_sides = [min(sample.pictures.image(index).size) for index in sample.coded]
    settings = codec_settings(device.manifest.preparation.view, int(median(shorter_sides)))
    identity: dict[str, Any] = {
        "commit": commit,
        "bundle": device.manifest.model_dump(mode="json"),
        "pictures": sample.pictures.digest(),
        "qualities": list(names),
        "seed": seed,
        "cloud": cloud and address(cloud, key).url,
        "counts": [len(sample.coded), len(sample.deciding), len(sample.timed)],
    }
    with Steps(out / "work", identity, forecast(sample, names, settings)) as steps:
        measured = Measuring(bundle, names, sample, settings, steps, cloud, key).run()
    report = assemble(device, sample, measured, autoencoders, paintings, commit, steps.seconds)
    sheet = bundle / SHEET
    write_report(report, out, sheet.read_bytes() if paintings and sheet.exists() else None)
    shutil.rmtree(steps.folder, ignore_errors=True)
    for finding in report.conclusion:
        print_result(finding.sentence)
    CONSOLE.print(f"written: {out / 'report.html'}", highlight=False, soft_wrap=True)


def load_beside(bundle: Path, name: str, kind: type[Found]) -> Found | None:
    """Read what a training left in a bundle's folder; None where it has none.

    Raises:
        BundleInvalid: the file is not of this kind.

    """
    file = bundle / name
    if not file.exists():
        return None
    try:
        return kind.model_validate_json(file.read_bytes())
    except (ValidationError, OSError) as exc:
        raise BundleInvalid(bundle, f"{name} can't be read; copy the bundle again") from exc
