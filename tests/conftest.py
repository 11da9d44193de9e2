"""For all tests: how hypothesis goes about it."""

from hypothesis import HealthCheck, settings

# A machine that pauses for a moment is no failure of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
