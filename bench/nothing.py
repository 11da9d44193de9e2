"""Part `nothing`: an `up` that finds nothing to do, beside an empty program on the same engine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import stand
from bench.figures import Figure, alternating, median

EMPTY = "import pulumi\n"


def figures(repeat: int) -> Iterator[Figure]:
    """One figure; both stacks have the same backend and passphrase."""
    with stand.project() as project, stand.folder() as folder:
        empty = empty_project(folder)
        empty.pulumi("stack", "init", "--no-select")
        empty.pulumi(*stand.UP)
        project.pulumi(*stand.UP)
        runs = {"ours": partial(seconds, project), "empty": partial(seconds, empty)}
        found = alternating(repeat, runs)
        yield Figure(
            "`pulumi up` that changes nothing", median(found["ours"]), "s", median(found["empty"]), "empty program", 2.0
        )


def seconds(project: stand.Project) -> float:
    """Of one `up`."""
    return project.pulumi(*stand.UP).seconds


def empty_project(folder: Path) -> stand.Project:
    """A project whose program imports the engine's SDK and makes nothing."""
    made = stand.Project(folder, stand.engine()[0])
    (folder / "__main__.py").unlink()
    (folder / "__main__.py").write_text(EMPTY)
    (folder / "Pulumi.yaml").unlink()
    (folder / "Pulumi.yaml").write_text(
        (stand.ROOT / "Pulumi.yaml").read_text().replace("name: data-fortress", "name: empty")
    )
    made.file.write_text("encryptionsalt: " + stand.salt())
    return made
