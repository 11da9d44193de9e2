"""`aws.json` in the folder of the clouds: where moto answers, and which host of the pool is which instance.

It is what outlives the plugin, of which the engine starts one for each operation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.base.folders import locked


@dataclass
class Content:
    """`hosts` has the host of each instance; `released` the hosts that were one, the longest ago first."""

    endpoint: str | None = None
    hosts: dict[str, str] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """The file in one folder; processes may share it."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "aws.json"

    def read(self) -> Content:
        """What stands there now."""
        try:
            return Content(**json.loads(self.file.read_text()))
        except FileNotFoundError:
            return Content()

    @contextmanager
    def held(self) -> Iterator[Content]:
        """What stands there, to be changed: nobody else changes it meanwhile. Kept unless an error comes out."""
        with locked(self.folder / "aws"):
            content = self.read()
            yield content
            written = self.file.with_suffix(f".{os.getpid()}")
            written.write_text(json.dumps(asdict(content), indent=2) + "\n")
            written.rename(self.file)


def start(content: Content, instance: str, pool: list[str]) -> str | None:
    """Notes a free host of the pool as the instance and names it; None when there is none.

    One that was no instance yet comes first, then the one that was none for longest: an address that a lost instance
    had shall not answer as another so soon.
    """
    free = [name for name in pool if name not in content.hosts.values()]
    if not free:
        return None
    host = min(free, key=lambda name: content.released.index(name) if name in content.released else -1)
    content.hosts[instance] = host
    return host


def end(content: Content, instance: str) -> str | None:
    """Notes that the instance is no host any more; the one it was."""
    host = content.hosts.pop(instance, None)
    if host is not None:
        content.released = [*(name for name in content.released if name != host), host]
    return host
