"""Who serves at the edge: the servers of each site in the text that `fortress/haproxy.py` renders."""

from __future__ import annotations


def servers(config: str) -> dict[str, tuple[str, ...]]:
    """Names of the servers of each site. A backup is no server, it is the way to the other site."""
    found: dict[str, list[str]] = {}
    section: list[str] | None = None
    for line in config.split("\n"):
        words = line.split()
        if line[:1].strip():
            section = found.setdefault(words[1], []) if words[0] == "backend" and len(words) > 1 else None
        elif section is not None and len(words) > 2 and words[0] == "server" and "backup" not in words:
            section.append(words[1])
    return {site: tuple(names) for site, names in found.items()}
