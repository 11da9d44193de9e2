"""The folder of the Pulumi project that the command is run in."""

from __future__ import annotations

from pathlib import Path


def project_folder() -> Path:
    """The folder of Pulumi.yaml, here or the nearest above, as the engine finds it; here where there is none."""
    here = Path.cwd()
    return next((each for each in (here, *here.parents) if (each / "Pulumi.yaml").exists()), here)
