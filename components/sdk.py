"""The clouds' packages, each imported when the first thing on that cloud is made.

They are large, and come with extras of the wheel: hosts that exist need none of them.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    import pulumi_aws as aws
    import pulumi_openstack as openstack

__all__ = ["aws", "openstack"]


def __getattr__(name: str) -> ModuleType:
    """Import a package on first use. Raises `pulumi.RunError` with the cure where its extra is not installed."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = f"pulumi_{name}"
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as missing:
        if missing.name != package:
            raise
        raise pulumi.RunError(f"{package} is not installed; pip install 'data-fortress[{name}]'") from None
