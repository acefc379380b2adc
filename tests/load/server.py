"""What a cloud says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from tests.processes import CloudProcess


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Since its start: forward passes and the pictures in them, and answers to frames by status."""

    batches: int
    batched_pictures: int
    answers: dict[int, int]


def counts(cloud: CloudProcess) -> Counts:
    """Read ``/metrics``."""
    families = text_string_to_metric_families(httpx.get(f"{cloud.url}/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    values = {sample.name: sample.value for sample in samples if not sample.labels}
    return Counts(
        batches=round(values["splitwire_batch_pictures_count"]),
        batched_pictures=round(values["splitwire_batch_pictures_sum"]),
        answers={
            int(sample.labels["status"]): round(sample.value)
            for sample in samples
            if sample.name == "splitwire_requests_total" and sample.labels["route"] == "/infer"
        },
    )
