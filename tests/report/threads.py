"""The threads of what computes beside torch."""

from __future__ import annotations

from threadpoolctl import threadpool_info


def blas_threads() -> set[int]:
    """Tell how many threads numpy's BLAS computes with."""
    return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}
