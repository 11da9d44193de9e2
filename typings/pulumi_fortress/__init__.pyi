"""The name under which the wheel has `components`, for mypy: an editable install says it only at run time."""

from components import *  # noqa: F403
from components import __all__ as __all__
