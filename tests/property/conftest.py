"""``--hypothesis-profile=fuzz``, which `make fuzz` uses, tries 100,000 cases. No case is timed: machines are busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None)
settings.register_profile(
    "fuzz", max_examples=100_000, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
