"""What rules look at, of the example on two clouds: settings, and resources as its program makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from fortress import firewall, push, text
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty import evaluate
from fortress.sovereignty.evidence import Environment, Evidence, Resource, Toolchain
from fortress.sovereignty.finding import Outcome, RuleFinding
from tests.unit.stack_file import ROOT, changed, oslo

TODAY = date(2026, 11, 29)
CAREFUL = Environment(passphrase_bits=80, asks_for_updates=False)
AT_HOME = Toolchain(("aws", "openstack"), "file:///var/lib/pulumi", "passphrase", CAREFUL)
OSLO = "urn:pulumi:oslo::data-fortress::pulumi:providers:openstack::oslo"
FRANKFURT = "urn:pulumi:oslo::data-fortress::pulumi:providers:aws::frankfurt"
PERSONAL = {"data-class": "personal"}

VOLUME = "openstack:blockstorage/volume:Volume"
CONTAINER = "openstack:objectstorage/container:Container"
SERVER = "openstack:compute/instance:Instance"
GROUP_RULE = "openstack:networking/secGroupRule:SecGroupRule"
INSTANCE = "aws:ec2/instance:Instance"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
COMMAND = "command:remote:Command"
FIRST = push.steps(
    push.Install(machine="i-1"), push.Put(firewall.BASE, machine="i-1", resource="fra-1.1-push", mode="0755")
).render()
"""What comes first to a host: push.sh, and the firewall."""

WORKER: Mapping[str, Any] = {
    "ami": "ami-1",
    "tags": {"Name": "worker-node-dr", "data-class": "none"},
    "metadataOptions": {"httpTokens": "required"},
    "rootBlockDevice": {"encrypted": True, "deleteOnTermination": True},
    "userData": "#cloud-config\nhostname: fra-1\n",
}
HTTPS: Mapping[str, Any] = {
    **{"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "remoteIpPrefix": "0.0.0.0/0"},
    **{"portRangeMin": 443, "portRangeMax": 443},
}


def resource(kind: str, name: str, properties: Mapping[str, Any], **more: Any) -> Resource:
    """One resource, with its site's provider unless another is given."""
    provider = {"openstack": OSLO, "aws": FRANKFURT}.get(kind.split(":")[0], "")
    urn = f"urn:pulumi:oslo::data-fortress::{more.pop('within', '')}{kind}::{name}"
    return Resource(kind, name, urn, properties, **{"provider": provider, **more})


def good() -> dict[str, Resource]:
    """Resources of a stack that every rule holds for, by name."""
    login = {"authUrl": "https://api.coolvds.com/v3", "region": "NO-Oslo-1"}
    mysql = "/usr/local/sbin/fortress-push put /etc/mysql/mariadb.conf.d/90-fortress.cnf 0644 root:root"
    fragment = 'iifname "wg0" ip saddr { 10.100.0.0/24 } tcp dport 3306 accept  # MariaDB'
    closed = firewall.render_base(firewall.Base(operators=["192.0.2.10/32"], ssh_port=22, egress=[]))
    first = {"create": FIRST, "stdin": push.content(text.push_script()) + push.content(closed)}
    found = [
        Resource("pulumi:providers:openstack", "oslo", OSLO, login),
        Resource("pulumi:providers:aws", "frankfurt", FRANKFURT, {"region": "eu-central-1"}),
        resource(SERVER, "oslo-db-machine-instance", {"metadata": {"role": "primary-db", **PERSONAL}}),
        resource(VOLUME, "db-data", {"volumeType": "nvme", "size": 100, "metadata": PERSONAL}),
        resource(CONTAINER, "oslo-backups", {"name": "fortress-backups", "metadata": PERSONAL}),
        resource(GROUP_RULE, "oslo-edge-https-ipv4", HTTPS),
        resource(INSTANCE, "fra-1.1-machine-instance", WORKER),
        resource("aws:ec2/vpc:Vpc", "frankfurt-vpc", {"cidrBlock": "10.30.0.0/16", "tags": {"Name": "frankfurt-vpc"}}),
        resource(COMMAND, "db-90", {"create": mysql, "stdin": "[mariadbd]\nrequire_secure_transport = ON\n"}),
        resource(COMMAND, "fra-1.1-push", first),
        resource(COMMAND, "db-fw", {"create": "fortress-push put /etc/nftables.d/30-database.nft", "stdin": fragment}),
    ]
    return {one.name: one for one in found}


def evidence(
    changes: Mapping[str, Any] | None = None,
    resources: Sequence[Resource] = (),
    *,
    without: Sequence[str] = (),
    today: date = TODAY,
    toolchain: Toolchain = AT_HOME,
) -> Evidence:
    """A good stack with settings changed, as `stack_file.changed` takes them, and resources added or left out."""
    found = {**good(), **{one.name: one for one in resources}}
    kept = [one for name, one in found.items() if name not in without]
    logins = {one.urn: one for one in kept if one.is_provider}
    declared = declare(parse(changed(changes or {}, oslo), ROOT))
    return Evidence(today, declared, kept, logins, toolchain)


def altered(name: str, /, **properties: Any) -> Resource:
    """A good resource with other properties; `protect`, `provider` and `depends` are the resource's own."""
    own = {key: properties.pop(key) for key in ("protect", "provider", "depends") if key in properties}
    one = good()[name]
    return replace(one, properties={**one.properties, **properties}, **own)


def found(known: Evidence, *outcomes: Outcome) -> list[RuleFinding]:
    """What all rules find, of these outcomes; failed and not evaluated where none is named."""
    wanted = outcomes or (Outcome.FAILED, Outcome.NOT_EVALUATED)
    return [one for one in evaluate.findings(evaluate.evaluate(known)) if one.outcome in wanted]
