"""What Prometheus is told."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The counts and times of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "splitwire_requests", "Requests answered.", ("route", "status"), registry=self._registry
        )
        self._pictures = Counter(
            "splitwire_pictures", "Pictures answered.", ("bundle", "quality"), registry=self._registry
        )
        self._bytes = Counter(
            "splitwire_frame_bytes",
            "Bytes of the frames of answered pictures.",
            ("bundle", "quality"),
            registry=self._registry,
        )
        self._queue = Gauge(
            "splitwire_queue_pictures", "Pictures that wait for the model.", registry=self._registry
        )
        self._connections = Gauge(
            "splitwire_open_connections", "Connections that are open.", registry=self._registry
        )
        self._refused = Counter(
            "splitwire_refused_connections",
            "Connections that were not taken: full, or the system's error.",
            ("reason",),
            registry=self._registry,
        )
        self._batches = Histogram(
            "splitwire_batch_pictures",
            "Pictures in a forward pass.",
            buckets=_PICTURES,
            registry=self._registry,
        )
        self._stages = Histogram(
            "splitwire_stage_seconds",
            "Time of a request in decode and queue, and of a batch in tail.",
            ("stage",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._bodies = Gauge(
            "splitwire_body_bytes",
            "Bytes of bodies that are announced, read or waiting for their answer.",
            registry=self._registry,
        )
        # To look a label up takes longer than to count.
        self._answered = cache(self._requests.labels)
        self._pictures_of, self._bytes_of = cache(self._pictures.labels), cache(self._bytes.labels)
        self._decode, self._wait, self._tail = map(self._stages.labels, ("decode", "queue", "tail"))

    def watch_queue(self, depth: Callable[[], int]) -> None:
        """Say where the number of waiting pictures is to be asked."""
        self._queue.set_function(depth)

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Say where the number of open connections is to be asked."""
        self._connections.set_function(count)

    def connection_refused(self, reason: str) -> None:
        """Count a connection that was not taken."""
        self._refused.labels(reason).inc()

    def request_done(self, route: str, status: int) -> None:
        """Count an answer; ``route`` is a pattern, so that strangers can't make up new ones."""
        self._answered(route, status).inc()

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

    def watch_bodies(self, held: Callable[[], int]) -> None:
        """Say where the bytes of bodies are to be asked."""
        self._bodies.set_function(held)

    def text(self) -> bytes:
        """Write everything as Prometheus reads it, of type ``CONTENT_TYPE``."""
        return generate_latest(self._registry)
