"""The stand-in as a whole: the types and functions that the program uses, and no others."""

from __future__ import annotations

import pulumi_aws

from ..cloud_plugin.kinds import Plugin
from . import VERSION, functions, network, routes, security
from .cloud import Cloud, connect
from .instance import Instance

PLUGIN: Plugin[Cloud] = Plugin(
    name="aws",
    version=VERSION,
    provider=pulumi_aws.ProviderArgs,
    kinds=(
        network.Vpc(),
        network.Subnet(),
        network.InternetGateway(),
        routes.RouteTable(),
        routes.RouteTableAssociation(),
        security.SecurityGroup(),
        security.IngressRule(),
        security.EgressRule(),
        security.KeyPair(),
        Instance(),
    ),
    functions=(
        functions.GetAvailabilityZones(),
        functions.GetAmi(),
        functions.GetKeyPair(),
        functions.GetVpc(),
        functions.GetSubnet(),
        functions.GetSubnets(),
        functions.GetInstanceType(),
    ),
    connect=connect,
)
