"""What the cloud must reach, measured: ``make load``, or one of its targets (docs/performance.md)."""
