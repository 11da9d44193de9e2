"""Options that a program gives a component: what is made for it stands below its parent, uses the provider and is
protected. `transforms` are the engine's to call: tests/engine/test_component_options.py."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args

import pulumi
import pulumi_aws
import pulumi_command
import pulumi_openstack
import pytest

import components
from tests.components.engine import HOST_KEY, member, said
from tests.doubles.pulumi_mocks import Run, run

MACHINE = {"image_id": "i", "key_pair": "k", "network_id": "n", "subnet_id": "s", "group_ids": ["g"], "flavor": "f"}
EC2 = {"ami": "a", "key_pair": "k", "subnet_id": "s", "group_ids": ["g"]}
PLACE = {"site": "oslo", "mesh_address": "10.100.0.1", "mesh_network": "10.100.0.0/24", "operators": ["192.0.2.10/32"]}
MADE: dict[str, tuple[type[pulumi.ComponentResource], Mapping[str, Any]]] = {
    "host": (components.Host, {**PLACE, "address": "192.0.2.11"}),
    "host on openstack": (components.Host, {**PLACE, "openstack": MACHINE}),
    "host on aws": (components.Host, {**PLACE, "aws": EC2}),
    "file": (components.HostFile, {"host": member(), "path": "/etc/motd", "content": "Welcome\n"}),
    "mesh": (
        components.WireGuardMesh,
        {
            "members": {"a": member("a"), "b": member("b", mesh_address="10.100.0.2")},
            "hubs": ["a"],
            "flows": [{"source": "b", "destination": "a", "port": 5432}],
            "mtu": 1360,
        },
    ),
    "database": (
        components.DataFortress,
        {
            "host": member(),
            "database": "app",
            "user": "app",
            "password": "p",
            "clients": "10.100.0.0/24",
            "volume": {"openstack": {"size_gb": 10, "instance_id": "instance-1"}},
        },
    ),
    "rotation": (components.PasswordRotation, {"host": member(), "accounts": "accounts 1"}),
    "replica": (
        components.DatabaseReplica,
        {
            "host": member(),
            "servers": {"oslo-db": {"address": "10.100.0.1", "ca_pem": "CA"}},
            "network": "10.100.0.0/24",
            "password": "p",
            "first": True,
            "endpoint": "10.100.0.1:3306",
        },
    ),
    "witness": (
        components.DatabaseWitness,
        {
            "host": member(),
            "servers": {"oslo-db2": {"address": "10.100.0.6", "ca_pem": "CA"}},
            "members": ["10.100.0.1", "10.100.0.6", "10.100.0.7"],
        },
    ),
    "worker": (
        components.EphemeralWorker,
        {
            "host": member(),
            "workload": {"name": "app", "command": "/usr/bin/true", "port": 80, "health": "/health"},
            "clients": ["10.100.0.3"],
            "database": {"address": "10.100.0.1", "port": 3306, "name": "app", "user": "app", "ca_pem": "CA"},
            "database_password": "p",
        },
    ),
    "edge": (
        components.HAProxyEdge,
        {
            "host": member(),
            "server_name": "www.example.org",
            "primary": {"site": "oslo", "servers": {"web": "10.100.0.4:80"}, "maxconn": 40},
        },
    ),
    "exporters": (components.HostExporters, {"host": member(), "scrapers": ["10.100.0.6"], "database": True}),
    "openstack machine": (components.OpenStackMachine, {**MACHINE, "floating_pool": "public"}),
    "openstack site": (
        components.OpenStackSite,
        {
            "external_network_id": "n",
            "network": {"cidr": "10.20.0.0/24", "dns": []},
            "operators": ["192.0.2.10/32"],
            "key_pair": "k",
            "public_key": "ssh-ed25519 AAAA",
            "anti_affinity": True,
        },
    ),
    "aws machine": (components.AwsMachine, EC2),
    "aws site": (
        components.AwsSite,
        {
            "network": {"cidr": "10.30.0.0/16", "ipv6": True},
            "zones": ["eu-central-1a"],
            "operators": ["192.0.2.10/32"],
            "key_pair": "k",
            "public_key": "ssh-ed25519 AAAA",
        },
    ),
    "container": (components.PrivateContainer, {"container": "backup", "versioning": True}),
}
PROVIDERS = {"command": "our-command", "openstack": "our-openstack", "aws": "our-aws"}


class Outer(pulumi.ComponentResource):
    """A component of another program."""

    def __init__(self, make: Callable[[pulumi.ResourceOptions], Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__("other:index:Outer", "outer", {}, opts)
        make(pulumi.ResourceOptions(parent=self))


def _printed(command: str) -> str:
    return HOST_KEY if command == "it-host-key" else said(command)


def made(what: str, *, protect: bool = False, more: Mapping[str, Any] | None = None) -> Run:
    """The component below one of another program, whose options are all it is given. `more` are further arguments."""
    component, args = MADE[what]
    args = {**args, **(more or {})}

    def program() -> None:
        providers = [
            pulumi_command.Provider(PROVIDERS["command"]),
            pulumi_openstack.Provider(PROVIDERS["openstack"]),
            pulumi_aws.Provider(PROVIDERS["aws"], region="eu-central-1"),
        ]
        options = pulumi.ResourceOptions(providers=providers, protect=protect)
        Outer(lambda opts: component("it", args, opts), options)  # type: ignore[arg-type]

    return run(program, stdout=_printed, known_by=lambda kind, name: kind if name == "it" else name)


def test_every_public_component_is_looked_at() -> None:
    exported = [getattr(components, name) for name in components.__all__]
    public = {one for one in exported if isinstance(one, type) and issubclass(one, pulumi.ComponentResource)}
    assert {component for component, _ in MADE.values()} == public


@pytest.mark.parametrize("what", MADE)
def test_all_of_it_stands_below_its_parent_and_uses_its_providers(what: str) -> None:
    done = made(what, protect=False)
    inside = done.below("outer")
    assert set(done.resources) == {*inside, "outer", *PROVIDERS.values()}
    (own,) = done.children("outer").values()
    assert own.type == f"fortress:index:{MADE[what][0].__name__}"
    custom = {name: found for name, found in inside.items() if not found.type.startswith("fortress:")}
    assert custom
    assert {name: found.provider for name, found in custom.items()} == {
        name: PROVIDERS[found.type.split(":")[0]] for name, found in custom.items()
    }


@pytest.mark.parametrize("what", MADE)
def test_protect_reaches_all_of_it(what: str) -> None:
    inside = made(what, protect=True).below("outer")
    assert [name for name, found in inside.items() if not found.protect] == []


def test_what_holds_data_is_protected_without_being_asked() -> None:
    for what, names in (("database", {"it-data"}), ("container", {"it-container"})):
        inside = made(what, protect=False).below("outer")
        assert {name for name, found in inside.items() if found.protect} == names, what


@pytest.mark.parametrize("what", MADE)
def test_an_argument_that_is_none_is_not_given(what: str) -> None:
    component, args = MADE[what]
    taken = inspect.get_annotations(component.__init__)["args"]
    kinds = {name: get_args(kind)[0] for name, kind in taken.__annotations__.items() if name in taken.__optional_keys__}
    nothing = {name: None for name, kind in kinds.items() if type(None) in get_args(kind) and name not in args}
    assert nothing
    assert made(what, more=nothing).resources == made(what).resources


def test_what_a_volume_is_not_given_may_be_none() -> None:
    volume = {"size_gb": 10, "instance_id": "instance-1"}
    nothing = {"device": None, "key": None, "openstack": {**volume, "type": None, "availability_zone": None}}
    assert made("database", more={"volume": nothing}).resources == made("database").resources
