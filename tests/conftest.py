"""For all tests: how hypothesis goes about it, and that Ctrl-C means what it does on a terminal."""

import signal

from hypothesis import HealthCheck, settings

# A machine that pauses for a moment is no failure of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# A shell has what it starts with `&` ignore Ctrl-C; programs that tests start would inherit that and never hear one.
signal.signal(signal.SIGINT, signal.default_int_handler)
