"""Who can read from outside: containers, the database's port, metadata, secrets."""

from __future__ import annotations

import base64
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Any

from fortress import mariadb
from fortress.sovereignty.evidence import Evidence, Resource, Withheld
from fortress.sovereignty.finding import RuleFinding, rule
from fortress.sovereignty.rules.words import about, unseen

CONTAINER = "openstack:objectstorage/container:Container"


@rule(
    "public-container",
    why="A container that anybody may read or list is published.",
    source="docs.openstack.org, Swift: access control lists, .r: and .rlistings",
)
def public_container(evidence: Evidence) -> Iterator[RuleFinding]:
    """No container, bucket, image or share is open to everybody, or to every project."""
    for resource in evidence.of_type(CONTAINER):
        for name in ("containerRead", "containerWrite"):
            value, cure = resource.get(name), f"leave {name} out, or name projects and users"
            if isinstance(value, Withheld):
                yield unseen(resource, name, value, cure)
            elif value is not None and _is_public(str(value)):
                yield about(resource, f"{name} {value!r} opens it to everybody", cure)
    for resource in evidence.of_type("openstack:objectstorage/tempUrl:TempUrl"):
        yield about(resource, "lets anybody who has the address read an object", "leave it out, or name users")
    yield from _images_and_shares(evidence)
    for resource in evidence.of_type("aws:s3/"):
        for name in ("acl", "policy"):
            value = resource.get(name)
            if isinstance(value, str) and (
                value.startswith("public") or re.search(r'"(AWS|Principal)":\s*"\*"', value)
            ):
                yield about(resource, f"{name} opens it to everybody", f"leave {name} out")


def _images_and_shares(evidence: Evidence) -> Iterator[RuleFinding]:
    for resource in evidence.of_type("openstack:images/image:Image"):
        value, cure = resource.get("visibility"), "set visibility to private, or leave it out"
        if isinstance(value, Withheld):
            yield unseen(resource, "visibility", value, cure)
        elif value not in (None, "private"):
            yield about(resource, f"visibility {value!r} shows it to other projects", cure)
    for resource in evidence.of_type("openstack:sharedfilesystem/share:Share"):
        value, cure = resource.get("isPublic"), "leave isPublic out"
        if isinstance(value, Withheld):
            yield unseen(resource, "isPublic", value, cure)
        elif value not in (None, False):
            yield about(resource, "isPublic shows it to every project", cure)
    for resource in evidence.of_type("openstack:sharedfilesystem/shareAccess:ShareAccess"):
        value, cure = resource.get("accessTo"), "name the addresses that need it"
        if isinstance(value, Withheld):
            yield unseen(resource, "accessTo", value, cure)
        elif str(value) in ("*", "0.0.0.0/0", "::/0"):
            yield about(resource, f"accessTo {value!r} opens it to everybody", cure)


def _is_public(acl: str) -> bool:
    """`.r:` is a referrer, which any client may claim; `*` is any project or user."""
    entries = [entry.strip() for entry in acl.split(",") if entry.strip()]
    return any(entry.startswith((".r:", ".ref", ".rlistings")) or "*" in entry.split(":") for entry in entries)


RULES = (
    "openstack:networking/secGroupRule:SecGroupRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:ec2/securityGroupRule:SecurityGroupRule",
)
GROUPS = ("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")


class Opening(dict[str, Any]):
    """A way in that a security group opens: protocol, first, last, sources; any may be `Withheld`."""


def openings(resource: Resource) -> Iterator[Opening]:
    """The ways in that a resource opens."""
    if resource.type == RULES[0]:
        if resource.get("direction") in ("ingress", None) or isinstance(resource.get("direction"), Withheld):
            ports = (resource.get("portRangeMin"), resource.get("portRangeMax"))
            sources = [resource.get("remoteIpPrefix")]
            if sources == [None] and not resource.get("remoteGroupId"):
                sources = ["0.0.0.0/0" if resource.get("ethertype") != "IPv6" else "::/0"]
            yield Opening(protocol=resource.get("protocol"), first=ports[0], last=ports[1], sources=sources)
    elif resource.type in RULES:
        if resource.type == RULES[2] and resource.get("type") == "egress":
            return
        if resource.type == RULES[1]:
            sources = [resource.get("cidrIpv4"), resource.get("cidrIpv6")]
        else:
            sources = [*_several(resource.get("cidrBlocks")), *_several(resource.get("ipv6CidrBlocks"))]
        protocol = resource.get("ipProtocol") or resource.get("protocol")
        yield Opening(protocol=protocol, first=resource.get("fromPort"), last=resource.get("toPort"), sources=sources)
    elif resource.type in GROUPS:
        inline = resource.get("ingress")
        if isinstance(inline, Withheld):
            yield Opening(protocol=inline, first=inline, last=inline, sources=[inline])
        for part in inline if isinstance(inline, list | tuple) else ():
            if isinstance(part, Mapping):
                sources = [*_several(part.get("cidrBlocks")), *_several(part.get("ipv6CidrBlocks"))]
                yield Opening(
                    protocol=part.get("protocol"), first=part.get("fromPort"), last=part.get("toPort"), sources=sources
                )


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def reaches(opening: Opening, protocol: str, port: int) -> bool:
    """Whether it may let this port in: what is not known may be anything."""
    kind = opening["protocol"]
    if not isinstance(kind, Withheld) and str(kind if kind is not None else "").lower() not in (
        *(protocol, "", "any", "all", "-1", "0"),
        {"tcp": "6", "udp": "17"}[protocol],
    ):
        return False
    first, last = opening["first"], opening["last"]
    if isinstance(first, Withheld) or isinstance(last, Withheld) or first is None:
        return True
    # OpenStack takes 0 to 0, and AWS -1, for all ports.
    return (int(first) in (0, -1) and int(last or 0) in (0, -1)) or int(first) <= port <= int(last if last else first)


@rule(
    "private-database",
    why="A database that answers to the world is one password away from it.",
    source="Article 32(1)(b) GDPR; MariaDB manual, require_secure_transport",
)
def private_database(evidence: Evidence) -> Iterator[RuleFinding]:
    """The database is reached from the tunnel's network only, and over TLS only."""
    mesh = evidence.declared.mesh_network if evidence.declared else None
    cure = "leave it out: the database is reached through the tunnel, which needs no rule of the cloud"
    for resource in evidence.of_type(*RULES, *GROUPS):
        for opening in openings(resource):
            if not reaches(opening, "tcp", mariadb.PORT):
                continue
            for source in opening["sources"]:
                if isinstance(source, Withheld):
                    yield unseen(resource, "its source", source, cure)
                elif source is not None and not _within(str(source), mesh):
                    yield about(resource, f"lets {source} reach port {mariadb.PORT}", cure)
    for resource in evidence.of_type("openstack:loadbalancer/listener:Listener"):
        port = resource.get("protocolPort")
        if isinstance(port, Withheld):
            yield unseen(resource, "protocolPort", port, cure)
        elif str(port) == str(mariadb.PORT):
            yield about(resource, f"leads to port {mariadb.PORT} past the tunnel", cure)
    for resource in evidence.of_package("openstack"):
        if resource.type.startswith("openstack:database/"):
            yield about(resource, "is a database that the cloud's operator runs", "use the fortress's own")
    for resource in evidence.of_type("command:remote:Command"):
        yield from _pushed(resource, mesh)


def _within(source: str, network: str | None) -> bool:
    try:
        inner, outer = ip_network(source, strict=False), ip_network(network or "")
    except ValueError:
        return False
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of one version


def _pushed(resource: Resource, mesh: str | None) -> Iterator[RuleFinding]:
    """A file that is put on a host: the database's configuration, or a part of the firewall."""
    command, text = resource.get("create"), resource.get("stdin")
    if not isinstance(command, str) or not isinstance(text, str):
        return
    if " put " not in command and " files " not in command:
        return
    if (
        "/etc/mysql/" in command
        and "[mariadbd]" in text
        and not re.search(r"(?mi)^require_secure_transport\s*=\s*(on|1)\b", text)
    ):
        yield about(resource, "the server takes connections without TLS", "set require_secure_transport = ON")
    if "/etc/nftables.d/" in command:
        for line in text.splitlines():
            rule_text = line.partition("#")[0]
            if not re.search(rf"dport\s+(\{{[^}}]*\b)?{mariadb.PORT}\b", rule_text) or "accept" not in rule_text:
                continue
            source = re.search(r"saddr\s+\{?\s*([0-9./, ]+?)\s*\}?\s+(?:ip daddr|tcp)\b", rule_text)
            sources = [part.strip() for part in source[1].split(",")] if source else []
            if 'iifname "wg0"' not in rule_text or not sources or not all(_within(one, mesh) for one in sources):
                cure = "take only what comes through wg0 from the tunnel's network"
                yield about(resource, f"the host's firewall lets others reach port {mariadb.PORT}", cure)


@rule(
    "database-secrets",
    why="What a cloud's interface is given stays in that cloud: in user data, in metadata, in its logs of calls.",
    source="docs.aws.amazon.com, EC2: instance metadata and user data are not protected by authentication",
)
def database_secrets(evidence: Evidence) -> Iterator[RuleFinding]:
    """No secret, and nothing made from the database, is a property of a resource on AWS."""
    cure = "hand it over through the tunnel, to the host itself"
    for resource in evidence.of_package("aws"):
        for path in resource.withheld(Withheld.SECRET):
            yield about(resource, f"{path} is a secret", cure)
        for urn in sorted(resource.depends):
            if "fortress:index:DataFortress" in urn:
                yield about(resource, f"is made from {urn.rpartition('::')[2]}, a part of the database", cure)


SECRETS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a key of AWS": re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    "a token": re.compile(r"\b(ghp|gho|glpat|xox[abp]|pul)[_-][A-Za-z0-9-]{16,}"),
    "a password": re.compile(
        r"(?i)(passw(or)?d|passphrase|secret|token|api[_-]?key)[\"']?\s*[:=]\s*[\"']?[^\s\"'{}$]{6,}"
    ),
    "a URL with a password": re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]+:[^/\s@]+@"),
    "an e-mail address": re.compile(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    "a Norwegian identity number": re.compile(r"(?<![0-9.])[0-7][0-9][01][0-9]{8}(?![0-9.])"),
}
"""What must not stand where everybody with a login to the cloud reads it."""

LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{24,}")
ENTROPY = 4.0
"""Bits per character from which a long word passes for a key: base64 has close to 5, English words below 4."""

READ_BY_MANY = (
    *("userData", "userDataBase64", "tags", "tagsAll", "metadata", "properties", "name", "description"),
    *("personality", "adminPass"),
)


@rule(
    "plain-metadata",
    why="User data, tags, metadata and names are read by everybody with a login to the cloud, and by the machine's own "
    "processes; they stand in logs and bills.",
    source="docs.aws.amazon.com, EC2: tags and user data are not for personal or confidential information",
)
def plain_metadata(evidence: Evidence) -> Iterator[RuleFinding]:
    """User data, tags, metadata, names and descriptions hold neither secrets nor personal data."""
    for login in evidence.of_type("pulumi:providers:aws"):
        yield from _read_by_many(login, "defaultTags", login.get("defaultTags"))
    for package in ("openstack", "aws"):
        for resource in evidence.of_package(package):
            for name in READ_BY_MANY:
                yield from _read_by_many(resource, name, resource.get(name))


def _read_by_many(resource: Resource, path: str, value: Any) -> Iterator[RuleFinding]:
    cure = f"take it out of {path}; what a machine needs is pushed to it over SSH"
    if value is Withheld.SECRET:
        yield about(resource, f"{path} holds a secret", cure)
    elif isinstance(value, Withheld):
        yield unseen(resource, path, value, cure)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _read_by_many(resource, f"{path}.{name}", part)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _read_by_many(resource, f"{path}[{index}]", part)
    elif isinstance(value, str) and (what := secret_in(_decoded(value) if path == "userDataBase64" else value)):
        yield about(resource, f"{path} holds {what}", cure)


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode(errors="replace")
    except ValueError:
        return value


def secret_in(text: str) -> str | None:
    """What a text holds that must not be there, in words; None where it looks harmless."""
    for what, pattern in SECRETS.items():
        if pattern.search(text):
            return what
    for word in LONG_WORD.findall(text):
        counts = Counter(word)
        bits = -sum(count / len(word) * math.log2(count / len(word)) for count in counts.values())
        mixed = any(c.isdigit() for c in word) and any(c.islower() for c in word) and any(c.isupper() for c in word)
        if bits >= ENTROPY and mixed:
            return "what looks like a key"
    return None
