"""User data of a cloud's machine, as far as the lab carries it out."""

from __future__ import annotations

import re
from typing import Any

import yaml

from lab.base.errors import LabError

CARRIED_OUT = ("hostname", "user")
AS_IT_IS = {"preserve_hostname": False, "manage_etc_hosts": "localhost", "ssh_pwauth": False, "disable_root": True}
"""What every host of the lab is like; other values of these would have no effect, so they are refused."""


def hostname(user_data: str, default: str) -> str:
    """The name that a machine is to have, from its user data; `default` when that says nothing.

    Raises:
        LabError: it is no cloud-config, or it asks for what the lab's hosts cannot do.
    """
    return _checked(_read(user_data).get("hostname", default))


def login(user_data: str, default: str) -> str:
    """The first user of a machine, from its user data; `default`, the image's own name for it, when that says nothing.

    Raises:
        LabError: as `hostname` does.
    """
    return str(_read(user_data).get("user", {"name": default})["name"])


def _read(user_data: str) -> dict[str, Any]:
    if not user_data.strip():
        return {}
    if user_data.splitlines()[0].rstrip() != "#cloud-config":
        raise LabError("user data other than #cloud-config is not supported on hosts of the lab")
    try:
        config = yaml.safe_load(user_data) or {}
    except yaml.YAMLError as error:
        raise LabError(f"the user data is not YAML: {error}") from None
    if not isinstance(config, dict):
        raise LabError("the user data is not a mapping")
    for key, value in config.items():
        if key not in (*CARRIED_OUT, *AS_IT_IS):
            raise LabError(f"user data with {key!r} is not supported on hosts of the lab")
        if (key in AS_IT_IS and value != AS_IT_IS[key]) or (key == "hostname" and not isinstance(value, str)):
            raise LabError(f"user data with {key}: {value!r} is not supported on hosts of the lab")
        if key == "user" and not (isinstance(value, dict) and value.keys() == {"name"}):
            raise LabError(f"user data with {key}: {value!r} is not supported on hosts of the lab")
    return config


def _checked(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name):
        raise LabError(f"{name!r} is not a host name")
    return name
