"""Where a comment goes."""

from __future__ import annotations

from enum import StrEnum


class Forge(StrEnum):
    """A forge, which decides how long a comment may be."""

    GITHUB = "github"
    GITLAB = "gitlab"
    FORGEJO = "forgejo"


LIMITS = {Forge.GITHUB: 65_536, Forge.GITLAB: 1_000_000, Forge.FORGEJO: 262_144}
"""Bytes. GitHub and GitLab refuse more characters than that; Forgejo has no limit, and its pages get slow."""
