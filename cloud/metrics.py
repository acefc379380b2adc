"""What Prometheus is told."""

from __future__ import annotations

from functools import cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counts and times of one application.

    The gauges ``queue``, ``connections`` and ``bodies`` are given a function by whoever knows their value.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.queue = Gauge("splitwire_queue_pictures", "Pictures that wait for the model.", registry=registry)
        self.connections = Gauge(
            "splitwire_open_connections", "Connections that are open.", registry=registry
        )
        self.bodies = Gauge(
            "splitwire_body_bytes",
            "Bytes of bodies that are announced, read or waiting for their answer.",
            registry=registry,
        )
        self._refused = Counter(
            "splitwire_refused_connections",
            "Connections that were not taken: full, or the system's error.",
            ("reason",),
            registry=registry,
        )
        self._requests = Counter(
            "splitwire_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        of_frames = ("bundle", "quality")
        self._pictures = Counter("splitwire_pictures", "Pictures answered.", of_frames, registry=registry)
        self._bytes = Counter(
            "splitwire_frame_bytes", "Bytes of the frames of answered pictures.", of_frames, registry=registry
        )
        self._batches = Histogram(
            "splitwire_batch_pictures", "Pictures in a forward pass.", buckets=_PICTURES, registry=registry
        )
        stages = Histogram(
            "splitwire_stage_seconds",
            "Time of a request in decode and queue, and of a batch in tail.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._decode, self._wait, self._tail = map(stages.labels, ("decode", "queue", "tail"))
        # To look a label up takes longer than to count.
        self._requests_of = cache(self._requests.labels)
        self._pictures_of, self._bytes_of = cache(self._pictures.labels), cache(self._bytes.labels)

    def connection_refused(self, reason: str) -> None:
        """Count a connection that was not taken."""
        self._refused.labels(reason).inc()

    def request_done(self, route: str, status: int) -> None:
        """Count an answer; ``route`` is a pattern, so that strangers can't make up new ones."""
        self._requests_of(route, status).inc()

    def frame_done(
        self, bundle: str, quality: str, *, pictures: int, body_bytes: int, decoded: float, queued: float
    ) -> None:
        """Count a frame whose pictures have been answered, and note its times, in seconds."""
        self._pictures_of(bundle, quality).inc(pictures)
        self._bytes_of(bundle, quality).inc(body_bytes)
        self._decode.observe(decoded)
        self._wait.observe(queued)

    def batch_done(self, pictures: int, seconds: float) -> None:
        """Note a forward pass."""
        self._batches.observe(pictures)
        self._tail.observe(seconds)

    def text(self) -> bytes:
        """Write everything as Prometheus reads it, of type ``CONTENT_TYPE``."""
        return generate_latest(self._registry)
