"""``report.json``: every number of the report. Bytes and times are means unless they say otherwise."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from splitwire.models.training.sae import AutoencoderComparison
from splitwire.report.measure.footprint import Costs
from splitwire.report.measure.on_device import FeatureBytes
from splitwire.report.measure.timing import Times
from splitwire.report.page.time_model import Crossing, Curve, Way
from splitwire.report.statistics import Difference, Spread
from splitwire.shared.evaluation import Share


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scored(_Part):
    """How often a way is right; ``change``: from VGG16 alone, on the same pictures."""

    accuracy: Share
    change: Difference
    by_class: dict[str, Share]
    change_by_class: dict[str, Difference]


class Size(_Part):
    """Bytes a picture."""

    mean: float
    least: int
    most: int


class Traffic(_Part):
    """Bytes a picture by the socket's count, HTTP's headers included."""

    sent: float
    received: float


class QualityResult(_Part):
    """Split, in one quality; ``body``: of the request, for one picture."""

    codec: str
    scored: Scored
    body: Size
    traffic: Traffic | None


class PictureResult(_Part):
    """The picture's file sent; ``codec`` is empty for the file as it is.

    ``base``: VGG16 alone on the same pictures. ``bare_bytes``: without what is the same in every file; None where
    that was not looked for.
    """

    codec: str
    setting: str
    scored: Scored
    base: Share
    file: Size
    bare_bytes: float | None
    traffic: Traffic | None

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"{self.codec}, {self.setting}" if self.codec else self.setting


class Elements(_Part):
    """The paper's way to count: elements of feature and latent, whatever an element takes."""

    feature: int
    latent: int
    saved: float


class Check(_Part):
    """An exchange as measured on a shaped link, and as the model has it.

    ``sent``, ``expected_sent``: bytes; more than expected was sent again by TCP.
    """

    way: str
    rate: float
    round_trip_ms: float
    measured: Spread
    modelled_ms: float
    sent: float | None
    expected_sent: float


class ConfidentPoint(_Part):
    """``--confident P``: who answers, what is sent (mean over all pictures), how often that is right."""

    p: float
    sent: Share
    body_bytes: float
    accuracy: Share
    change: Difference


class Confident(_Part):
    """By P, for one quality; ``change`` is from sending every picture."""

    quality: str
    points: tuple[ConfidentPoint, ...]


class Chosen(_Part):
    """What conclusion and curves are about.

    ``quality``: the one with the smallest body of those at most ``within`` less accurate than VGG16 alone, else the
    most accurate. ``picture``: likewise, the smallest file.
    """

    within: float
    quality: str
    picture: str


class Finding(_Part):
    """A number, what it is, and a sentence."""

    number: str
    label: str
    sentence: str


class Conclusion(_Part):
    """What is gained, what is lost, and when it should rather be the picture, or nothing."""

    gain: Finding
    loss: Finding
    rather: Finding


class SlowerDevice(_Part):
    """Where split and sending the picture take equally long, if the device took so many times as long."""

    times: float
    crossing: Crossing


class Published(_Part):
    """Somebody else's measurement, accuracy in percent; None where it was not stated, or for another task."""

    who: str
    what: str
    body_bytes: float | None
    accuracy: float | None
    note: str
    source: str


class PaperAccuracy(_Part):
    """Percent, without and with the convolutional autoencoder."""

    without: float
    coded: float

    @property
    def points(self) -> float:
        """What the autoencoder changes."""
        return self.coded - self.without

    @property
    def relative(self) -> float:
        """The same, in percent of the accuracy without."""
        return 100 * (self.coded / self.without - 1)


class PaperTable(_Part):
    """The paper's table 1."""

    by_class: dict[str, PaperAccuracy]
    average: PaperAccuracy


class Where(_Part):
    """What it was measured with. ``versions``: by package. ``commit``: None outside of a clone."""

    processor: str
    cores: int
    memory_bytes: int | None
    system: str
    threads: str
    versions: dict[str, str]
    commit: str | None
    bundle: str
    manifest_sha256: str
    hidden: tuple[int, ...]
    cloud: str
    cloud_here: bool
    data: str
    data_sha256: str
    test_pictures: int
    pictures: int
    codec_pictures: int
    timed_pictures: int
    seed: int
    head: str
    date: str
    seconds: float


class Report(_Part):
    """Everything that the page shows.

    ``pulled_bytes``: of the files that a device fetches when only the cloud's classifier is new.
    """

    format: Literal[1] = 1
    where: Where
    classes: tuple[str, ...]
    conclusion: Conclusion
    chosen: Chosen
    base: Scored
    paper: PaperTable
    paper_quality: str
    qualities: dict[str, QualityResult]
    pictures: tuple[PictureResult, ...]
    feature: FeatureBytes
    own: Scored | None
    elements: Elements
    published: tuple[Published, ...]
    costs: Costs
    file_bytes: dict[str, int]
    pulled_bytes: dict[str, int]
    autoencoders: AutoencoderComparison | None
    times: Times
    ways: tuple[Way, ...]
    rates: tuple[float, ...]
    curves: tuple[Curve, ...]
    crossings: tuple[Crossing, ...]
    slower: tuple[SlowerDevice, ...]
    checks: tuple[Check, ...]
    obstacle: str | None
    confident: Confident | None
