"""What stands in the empty account: one region, images, a key pair, types of instances, and its limits.

The images are in `amis.json`, in the form that moto loads; their ids are made up, owners and the pattern of their names
are those that Debian (https://wiki.debian.org/Cloud/AmazonEC2Image) and Canonical publish.
"""

from __future__ import annotations

from pathlib import Path

ACCOUNT = "123456789012"
"""moto's own."""
REGION = "eu-central-1"
ZONES = tuple(f"{REGION}{letter}" for letter in "abc")
AMIS = Path(__file__).with_name("amis.json")

DEBIAN, CANONICAL = "136693071363", "099720109477"
LOGINS = {DEBIAN: "admin", CANONICAL: "ubuntu"}
"""The user that the images of an owner let in with the key pair's key."""

KEY_PAIR = "deploy_key_2020"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJgUHH0AH3MN+TsJwEFUYQ4nzJd95+d/QR8cHRlt81O3 nobody"
"""Of the key pair where no lab stands; nobody has the private half."""

ACCESS_KEY, SECRET_KEY = "fortress", "lab"

VCPU_LIMIT = 16
"""Of all running on-demand instances, and once more of all spot ones: what the lab's hosts would be as c5.large."""
