"""``report.json``: every number of the report. Bytes and times are means unless they say otherwise."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import BaseModel, ConfigDict

from splitwire.models.training.evaluate import AutoencoderComparison
from splitwire.models.training.painting.paintings import Paintings
from splitwire.report.statistics import Difference, Spread
from splitwire.shared.evaluation import Share

PHASES = ("load", "head", "encode", "network", "queue", "decode", "tail", "answer")
BEYOND = ("network", "queue", "decode", "tail")
"""The phases that a cloud or the network takes, where there is one."""

PAPER = "paper"
"""The quality that the paper has."""
AS_IT_IS = "picture (as it is)"
WHOLE = "device alone (whole network)"
OWN = "device alone (own classifier)"


def split(quality: str) -> str:
    """Name the way that splits, in a quality."""
    return f"split ({quality})"


def rewritten(setting: str) -> str:
    """Name the way that sends the picture's file in another setting."""
    return f"picture ({setting})"


class Part(BaseModel):
    """A part of the results."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answers(Part):
    """What came of n pictures on one way, by picture; empty is what a way does not have or nobody counted.

    ``classes``: the answers. ``probabilities``: of the device's own classifier, 0 to 1. ``body_bytes``: of the
    requests. ``bare_bytes``: of a picture's file without what is the same in every file. ``sent``, ``received``:
    bytes by the socket's count, HTTP's headers included.
    """

    classes: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    body_bytes: tuple[int, ...] = ()
    bare_bytes: tuple[int, ...] = ()
    sent: tuple[int, ...] = ()
    received: tuple[int, ...] = ()


class Scored(Part):
    """How often a way is right; ``change``: from the uncompressed network, on the same pictures."""

    accuracy: Share
    change: Difference


class ClassScore(Part):
    """How often the pictures of one class are answered rightly, uncompressed and in a quality."""

    name: str
    base: Share
    coded: Share
    change: Difference


class Confusion(Part):
    """How many pictures of class ``truth`` are answered with ``answer`` in a quality, and uncompressed (``base``)."""

    truth: str
    answer: str
    coded: int
    base: int


class Size(Part):
    """Bytes of a request's body."""

    mean: float
    least: int
    most: int


class Traffic(Part):
    """Bytes a picture by the socket's count, HTTP's headers included."""

    sent: float
    received: float


class Sent(Part):
    """What is sent for a picture, a frame in one quality or the picture's file in one setting, and its score.

    ``codec``: empty for the file as it is. ``setting``: empty for a frame. ``bare_bytes``: of a file, without what
    is the same in every file; None where that was not looked for.
    """

    codec: str
    setting: str = ""
    scored: Scored
    body: Size
    bare_bytes: float | None
    traffic: Traffic | None

    @property
    def name(self) -> str:
        """What the report calls a file."""
        return f"{self.codec}, {self.setting}" if self.codec else self.setting


class ConfidentPoint(Part):
    """``--confident P``: who answers, what is sent (mean over all pictures), how often that is right."""

    p: float
    sent: Share
    body_bytes: float
    accuracy: Share
    change: Difference


class Chosen(Part):
    """What conclusion and curves are about.

    ``quality``: the one with the smallest body of those at most ``within`` less accurate than the uncompressed
    network, else the most accurate. ``picture``: likewise, the smallest file.
    """

    within: float
    quality: str
    picture: str


class Scores(Part):
    """All that follows from the answers.

    ``base``: the uncompressed network. ``pictures``: files, the first as they are; those that decide which is chosen are of more
    pictures than the others. ``own``: the device's own classifier. ``confident``: with the chosen quality, ``change``
    from sending every picture; empty without ``own``. ``by_class``, ``confusions``: in ``table_quality``; of many classes
    the worst ones, and the most frequent confusions.
    """

    base: Scored
    qualities: dict[str, Sent]
    pictures: tuple[Sent, ...]
    own: Scored | None
    chosen: Chosen
    confident: tuple[ConfidentPoint, ...]
    table_quality: str
    by_class: tuple[ClassScore, ...]
    confusions: tuple[Confusion, ...]


class FeatureBytes(Part):
    """Bytes of a feature as float32, and mean after zstd."""

    plain: int
    zstd: float


class Cost(Part):
    """Of a part of the network: ``resident_bytes``: growth of its process, None where unknown; time for one picture."""

    parameters: int
    resident_bytes: int | None
    milliseconds: Spread


class WayTimes(Part):
    """Milliseconds by phase, those of ``PHASES`` that one way has, and their total for each picture."""

    phases: dict[str, Spread]
    total: Spread

    def sum_of_medians(self, phases: Collection[str] = PHASES) -> float:
        """Add the medians of some phases up, in milliseconds."""
        return sum(each.median for name, each in self.phases.items() if name in phases)


class Way(Part):
    """One way to an answer: milliseconds on the device and beyond, bytes that the socket sends and receives."""

    name: str
    device_ms: float
    beyond_ms: float
    sent: float
    received: float

    def on_slower_device(self, times: float) -> Way:
        """Let the device take so many times as long."""
        return self.model_copy(update={"device_ms": times * self.device_ms})


class Crossing(Part):
    """Where two ways take equally long: bits a second; below, ``first`` is the faster one.

    ``rate``: None where one is the faster at every rate: then that one is ``first``.
    """

    first: str
    second: str
    round_trip_ms: float
    rate: float | None


class OnLink(Part):
    """Exchanges of one way on a shaped link of a rate (bits a second) and a round trip.

    ``sent``: bytes a picture by the socket's count, what TCP had to send again included; None where unknown.
    """

    way: str
    rate: float
    round_trip_ms: float
    measured: Spread
    sent: float | None


class Check(OnLink):
    """The same, beside what the model of time expects."""

    modelled_ms: float
    expected_sent: float


class Finding(Part):
    """A number, what it is, and a sentence."""

    number: str
    label: str
    sentence: str


class Published(Part):
    """Somebody else's measurement, accuracy in percent; None where it was not stated, or for another task."""

    who: str
    what: str
    body_bytes: float | None
    accuracy: float | None
    note: str
    source: str


class PaperAccuracy(Part):
    """Of the paper's table 1: percent, without and with the convolutional autoencoder."""

    without: float
    coded: float


class Machine(Part):
    """What it was measured on. ``versions``: by package. ``memory_bytes``: None where the system does not say."""

    processor: str
    cores: int
    memory_bytes: int | None
    system: str
    threads: str
    versions: dict[str, str]


class Where(Part):
    """What it was measured with, of what. ``commit``: None outside of a clone. ``seconds``: that measuring took."""

    machine: Machine
    commit: str | None
    bundle: str
    manifest_sha256: str
    network: str
    cut: str
    cloud: str
    cloud_here: bool
    data: str
    data_sha256: str
    test_pictures: int
    pictures: int
    codec_pictures: int
    deciding_pictures: int
    timed_pictures: int
    seed: int
    head: str
    date: str
    seconds: float


class Report(Scores):
    """Everything that the page shows.

    ``conclusion``: what is gained, what is lost, and when to send the picture, or nothing. ``paper``: its table 1 by
    class, and ``paper_average`` over all: only beside its network, cut and pictures. ``published``: only of the same pictures.
    ``feature_elements``, ``code_elements``: numbers, whatever each takes; of the paper's code, ``latent_elements``. ``curves``: milliseconds from picture to answer at every rate (bits a second), by round trip in
    milliseconds and way. ``pulled_bytes``: of the files that a device fetches when only the cloud's half is new;
    ``tail_bytes``: of the network after the cut; ``device_bytes``: of the graph's weights. ``slower``: where split and sending the picture take equally long, if the
    device took so many times as long. ``obstacle``: why there are no ``checks``.
    """

    format: Literal[3] = 3
    where: Where
    class_count: int
    conclusion: tuple[Finding, Finding, Finding]
    paper: dict[str, PaperAccuracy]
    paper_average: PaperAccuracy | None
    feature: FeatureBytes
    feature_elements: int
    latent_elements: int
    code_elements: dict[str, int]
    published: tuple[Published, ...]
    costs: dict[str, Cost]
    tail_bytes: int
    device_bytes: int
    pulled_bytes: dict[str, int]
    autoencoders: AutoencoderComparison | None
    paintings: Paintings | None
    times: dict[str, WayTimes]
    ways: tuple[Way, ...]
    rates: tuple[float, ...]
    curves: dict[float, dict[str, tuple[float, ...]]]
    crossings: tuple[Crossing, ...]
    slower: dict[float, Crossing]
    checks: tuple[Check, ...]
    obstacle: str | None
