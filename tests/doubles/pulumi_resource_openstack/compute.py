"""Key pairs and server groups."""

# ruff: noqa: ARG002 - a type need not look at all that it is given

from __future__ import annotations

import base64
import hashlib

import pulumi_openstack

from ..cloud_plugin.kinds import CloudError, Properties
from . import catalogue
from .catalogue import State
from .kind import Stored
from .words import refused


class Keypair(Stored):
    token = "openstack:compute/keypair:Keypair"
    args = pulumi_openstack.compute.KeypairArgs
    collection = "keypairs"
    service = "compute"
    replaces = frozenset({"name", "publicKey", "region", "userId", "valueSpecs"})
    outputs = frozenset({"fingerprint", "privateKey", "publicKey", "region", "userId"})

    def identity(self, inputs: Properties) -> str:
        return str(inputs["name"])

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        doing, request = f"Unable to create openstack_compute_keypair_v2 {identity}", "POST /v2.1/os-keypairs"
        if identity in state["keypairs"]:
            raise refused(doing, request, 409, f"Key pair '{identity}' already exists.")
        if "publicKey" not in inputs:
            raise CloudError("the stand-in for OpenStack makes no private keys: give publicKey")
        try:
            blob = base64.b64decode(inputs["publicKey"].split()[1], validate=True)
        except (IndexError, ValueError):
            raise refused(doing, request, 400, "Keypair data is invalid: failed to generate fingerprint") from None
        digits = hashlib.md5(blob, usedforsecurity=False).hexdigest()
        fingerprint = ":".join(digits[place : place + 2] for place in range(0, 32, 2))
        return {**inputs, "fingerprint": fingerprint, "privateKey": "", "userId": catalogue.USER_ID}


class ServerGroup(Stored):
    token = "openstack:compute/serverGroup:ServerGroup"
    args = pulumi_openstack.compute.ServerGroupArgs
    collection = "server_groups"
    service = "compute"
    replaces = frozenset({"name", "policies", "region", "rules", "valueSpecs"})
    outputs = frozenset({"members", "region"})

    def made(self, state: State, identity: str, inputs: Properties) -> Properties:
        known = ("affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity")
        if inputs.get("policies") not in known:
            message = f"Invalid input for field/attribute policies. Value: {inputs.get('policies')}."
            raise refused("Error creating ServerGroup", "POST /v2.1/os-server-groups", 400, message)
        return inputs

    def shown(self, state: State, identity: str, entry: Properties) -> Properties:
        members = [name for name, server in state["servers"].items() if server["group"] == identity]
        return {**super().shown(state, identity, entry), "members": members}
