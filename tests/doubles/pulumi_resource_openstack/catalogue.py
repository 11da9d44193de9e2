"""What the empty cloud holds before anything is made in it: one project of one region."""

from __future__ import annotations

import copy
from typing import Any, TypeAlias

State: TypeAlias = "dict[str, dict[str, Any]]"
"""All that is in the cloud, by collection and id; and the project's quota."""

AUTH_URL = "https://api.coolvds.com/v3"
REGION = "NO-Oslo-1"
ZONE = "nova"
USER = "fortress"
PASSWORD = "lab"
APPLICATION_CREDENTIAL = ("8d0c3f5e7a9b4c1d8e2f6a7b9c0d1e2f", "lab")
"""Id and secret, the other way in."""
USER_ID = "5b1e6c6ac0d94f0ba2f8a1d7e5c4b3a2"
PROJECT = "fortress"
PROJECT_ID = "0f4a6d2c9b8e4715a3d6c1b0e9f82a47"
KEY_PAIR = "deploy_key_2020"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJkq4XnQm0F3t5m7Y0m0iGq0H1m2v9V6bC8d1e2f3g4h deploy_key_2020"
"""Of that key pair where no lab stands; in a lab it is the operator's, so that machines let the operator in."""

EXTERNAL_NETWORK = "2c6f7f5d-5f0a-4b7e-9c36-0d6a8f1b2e30"
EXTERNAL_SUBNET = "9a5e1c74-3b8d-4f26-8e01-7c2d4b6f8a10"
DEFAULT_GROUP = "3e8a9b7c-6d5f-4e2a-b1c0-9f8e7d6c5b4a"

FLAVORS: dict[str, tuple[str, int, int, int]] = {
    "v2-highcpu-nvme": ("b0c2f0f6-6a0f-4c53-9f1c-2f5f4f7f0a01", 4, 8192, 40),
    "v2-standard-2": ("b0c2f0f6-6a0f-4c53-9f1c-2f5f4f7f0a02", 2, 4096, 20),
    "v2-standard-1": ("b0c2f0f6-6a0f-4c53-9f1c-2f5f4f7f0a03", 1, 2048, 20),
}
"""Name: id, virtual CPUs, memory in MB, disk in GB."""

IMAGES: dict[str, tuple[str, str, str]] = {
    "7d1f0c8e-1a55-4d0e-8a4b-3f2b6c9d0e12": ("Debian 12", "debian", "2025-06-01T00:00:00Z"),
    "7d1f0c8e-1a55-4d0e-8a4b-3f2b6c9d0e13": ("Debian 13", "debian", "2025-09-01T00:00:00Z"),
    "7d1f0c8e-1a55-4d0e-8a4b-3f2b6c9d0e24": ("Ubuntu 24.04", "ubuntu", "2025-05-01T00:00:00Z"),
}
"""Id: name, the user that cloud-init makes there, when it was uploaded. All of them boot the lab's Debian."""

VOLUME_TYPES = ("nvme", "hdd")  # the first is the default

QUOTA = {"instances": 10, "cores": 40, "ram": 64 * 1024, "volumes": 20}
"""Of the project; `ram` in MB."""

COLLECTIONS = (
    "networks",
    "subnets",
    "routers",
    "interfaces",
    "groups",
    "rules",
    "ports",
    "floating",
    "keypairs",
    "server_groups",
    "servers",
    "volumes",
    "attachments",
    "containers",
)


def empty(public_key: str) -> State:
    """The cloud before anything is made in it."""
    state: State = {name: {} for name in COLLECTIONS}
    state["quota"] = dict(QUOTA)
    state["networks"][EXTERNAL_NETWORK] = {"name": "public", "external": True, "shared": False, "adminStateUp": True}
    state["subnets"][EXTERNAL_SUBNET] = {
        "name": "public-v4",
        "networkId": EXTERNAL_NETWORK,
        "cidr": "192.0.2.0/24",
        "gatewayIp": "192.0.2.1",
        "ipVersion": 4,
    }
    state["groups"][DEFAULT_GROUP] = {"name": "default", "description": "Default security group"}
    state["keypairs"][KEY_PAIR] = {"name": KEY_PAIR, "publicKey": public_key}
    return copy.deepcopy(state)
