"""All that the stand-in models; whatever else a program asks for is refused by name."""

from __future__ import annotations

import pulumi_openstack

from ..cloud_plugin.kinds import Plugin
from .cloud import Cloud
from .compute import Keypair, ServerGroup
from .credentials import connect
from .floating import FloatingIp, FloatingIpAssociate
from .functions import FUNCTIONS
from .groups import SecGroup, SecGroupRule
from .instance import Instance
from .network import Network, Port, Router, RouterInterface, Subnet
from .storage import Container, Volume, VolumeAttach

PLUGIN: Plugin[Cloud] = Plugin(
    name="openstack",
    version="5.5.3+stand-in",
    provider=pulumi_openstack.ProviderArgs,
    kinds=[
        Network(),
        Subnet(),
        Router(),
        RouterInterface(),
        SecGroup(),
        SecGroupRule(),
        Port(),
        FloatingIp(),
        FloatingIpAssociate(),
        Keypair(),
        ServerGroup(),
        Instance(),
        VolumeAttach(),
        Volume(),
        Container(),
    ],
    functions=FUNCTIONS,
    connect=connect,
)
