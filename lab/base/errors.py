"""The one error that the lab raises on purpose."""

from __future__ import annotations


class LabError(Exception):
    """Something that the lab cannot go on without, and what to do about it."""

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(f"{problem}. Fix: {cure}" if cure else problem)
        self.problem = problem
        self.cure = cure


class NotStandingError(LabError):
    """The lab, or one of its hosts, is not up."""
