"""From a stack's settings to the arguments of its components, and to the facts that it gives out."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
from pulumi.runtime import config as runtime_config

from fortress import haproxy, mariadb, settings
from fortress.host_settings import Host as HostSettings
from fortress.settings import PROJECT, SECRETS, Settings, SettingsError
from fortress.wireguard import plan

from .clouds import Clouds, aws_machine, credential_problems, openstack_machine
from .data_fortress import DataFortress, DataFortressArgs
from .data_volume import OpenStackVolumeArgs, VolumeArgs
from .ephemeral_worker import EphemeralWorkerArgs
from .haproxy_edge import HAProxyEdge, HAProxyEdgeArgs
from .host import Host, HostArgs
from .remote import Member
from .wireguard_mesh import FlowArgs, WireGuardMeshArgs


@dataclass(frozen=True)
class Secrets:
    """The secret settings. Each is a leaf of its own, so that nothing else becomes unreadable in previews."""

    project: Path
    database_password: pulumi.Output[str]
    ssh_private_key: pulumi.Output[str] | None
    edge_tls_key: pulumi.Output[str] | None
    database_volume_key: pulumi.Output[str] | None


def load(config: pulumi.Config, project: Path) -> tuple[Settings, Secrets]:
    """Read and check everything that the stack file says.

    Raises `pulumi.RunError`, which the engine prints as it stands, before anything is made.
    """
    prefix = f"{PROJECT}:"
    given = {key.removeprefix(prefix): value for key, value in _all_settings().items() if key.startswith(prefix)}
    problems = list(_secret_problems(given))
    try:
        checked = settings.parse({key: _parsed(value) for key, value in given.items() if key not in SECRETS}, project)
    except SettingsError as bad:
        problems += str(bad).split("\n")
    else:
        if checked.edge.certificate and "edge_tls_key" not in given:
            problems.append(f"{prefix}edge_tls_key: missing; edge.certificate is given and needs its private key")
        if "edge_tls_key" in given and not checked.edge.certificate:
            problems.append(f"{prefix}edge.certificate: missing; edge_tls_key is given and is the key of one")
        volume = checked.database.volume
        if volume and volume.encrypted and "database_volume_key" not in given:
            problems.append(
                f"{prefix}database_volume_key: missing; database.volume is encrypted; "
                f"{_set_secret('database_volume_key')}"
            )
        problems += [f"{prefix}{line}" for line in credential_problems(checked, given)]
    if len(given.get("database_volume_key", "x" * 20)) < 20:
        problems.append(
            f"{prefix}database_volume_key: is shorter than 20 characters; `openssl rand -base64 33` makes one"
        )
    if "ssh_private_key" in given and not _is_private_key(given["ssh_private_key"]):
        problems.append(f"{prefix}ssh_private_key: is no private key without a passphrase, in OpenSSH's or PEM format")
    problems += _agent_problems("ssh_private_key" in given)
    if problems:
        raise pulumi.RunError("\n".join(["these settings cannot stand:", *(f"  {line}" for line in problems)]))
    return checked, Secrets(
        project,
        config.require_secret("database_password"),
        config.get_secret("ssh_private_key"),
        config.get_secret("edge_tls_key"),
        config.get_secret("database_volume_key"),
    )


def _is_private_key(text: str) -> bool:
    for read in (load_ssh_private_key, load_pem_private_key):
        try:
            read(text.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _all_settings() -> Mapping[str, str]:
    return dict(runtime_config.CONFIG.get())


def _secret_problems(given: Iterable[str]) -> Iterable[str]:
    """Every secret setting is encrypted, and no other one is."""
    if "database_password" not in given:
        yield f"{PROJECT}:database_password: missing; {_set_secret('database_password')}"
    for key in given:
        secret = runtime_config.is_config_secret(f"{PROJECT}:{key}")
        if key in SECRETS and not secret:
            yield f"{PROJECT}:{key}: stands in the stack file for everyone to read; {_set_secret(key)}"
        if key not in SECRETS and secret:
            yield (
                f"{PROJECT}:{key}: holds a secret, and would make all that is made from it unreadable in previews; "
                f"the secret settings are {', '.join(SECRETS)}"
            )


def _set_secret(key: str) -> str:
    return f"set it with `pulumi config set --secret {PROJECT}:{key}`"


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _agent_problems(key_given: bool) -> list[str]:
    """A dead agent fails every command, even with a key given, so it is found here. A preview alone needs none."""
    path = os.environ.get("SSH_AUTH_SOCK")
    if path:
        with socket.socket(socket.AF_UNIX) as agent:
            try:
                agent.connect(path)
            except OSError as bad:
                cure = "start one with `eval $(ssh-agent)` and `ssh-add`, or unset SSH_AUTH_SOCK"
                return [f"SSH_AUTH_SOCK: {path}: the SSH agent does not answer ({bad.strerror or bad}); {cure}"]
    elif not key_given and not pulumi.runtime.is_dry_run():
        return [
            "SSH_AUTH_SOCK: no SSH agent, and no secret setting ssh_private_key; start an agent with "
            f"`eval $(ssh-agent)` and `ssh-add`, or `pulumi config set --secret {PROJECT}:ssh_private_key`"
        ]
    return []


def lifetime(s: Settings, clouds: Clouds, name: str) -> pulumi.ResourceOptions:
    """Options of whatever stands on a host: who makes its machine, and what becomes of it with the machine.

    What is on a host that is gone is forgotten, not deleted: its delete commands would dial a dead machine. A machine
    that the stack makes takes what is on it along, dead or alive (`Member.host_urn`), and is the cloud's to end.
    """
    host = s.members[name]
    if host.made:
        return pulumi.ResourceOptions(providers=[clouds.providers[host.site]])
    return pulumi.ResourceOptions(retain_on_delete=True if host.gone else None)


def host_options(s: Settings, clouds: Clouds, name: str) -> pulumi.ResourceOptions:
    """Options of one `Host`. Its site comes first, so that a new machine has a way out."""
    host = s.members[name]
    site = clouds.openstack.get(host.site) or clouds.aws.get(host.site)
    return pulumi.ResourceOptions.merge(
        lifetime(s, clouds, name), pulumi.ResourceOptions(depends_on=[site] if site and host.made else None)
    )


def host_args(s: Settings, secrets: Secrets, clouds: Clouds, name: str) -> HostArgs:
    """Arguments of one `Host`."""
    host = s.members[name]
    args: HostArgs = {
        "site": host.site,
        "mesh_address": str(s.mesh_address(name)),
        "mesh_network": str(s.mesh.network),
        "operators": s.ssh.operators,
        "user": s.ssh.user,
        "port": s.ssh.port,
        "mesh_port": s.mesh.port,
        "incarnation": host.incarnation,
        "gone": host.gone,
    }
    if host.openstack:
        args["openstack"] = openstack_machine(s, clouds, name, host.openstack)
    elif host.aws:
        args["aws"] = aws_machine(s, clouds, name, host.aws)
    elif host.address:
        args["address"] = host.address
    if host.host_key:
        args["host_key"] = host.host_key
    if host.memory_mb:
        args["memory_mb"] = host.memory_mb
    if secrets.ssh_private_key:
        args["private_key"] = secrets.ssh_private_key
    if s.ssh.bastion:
        args["bastion"] = {
            "address": s.ssh.bastion.address,
            "user": s.ssh.bastion.user,
            "port": s.ssh.bastion.port,
            "host_key": s.ssh.bastion.host_key,
        }
    return args


def mesh_args(s: Settings, secrets: Secrets, members: Mapping[str, Member]) -> WireGuardMeshArgs:
    """Arguments of the mesh: flows that roles imply open no port here, since their services do."""
    flows: list[FlowArgs] = [
        {
            "source": flow.source,
            "destination": flow.destination,
            "port": flow.port,
            "protocol": flow.protocol,
            "open": opened,
        }
        for found, opened in ((s.implied_flows(), False), (s.extra_flows(), True))
        for flow in found
    ]
    args: WireGuardMeshArgs = {
        "members": members,
        "hubs": s.mesh.hubs,
        "flows": flows,
        "mtu": s.mesh.mtu,
        "port": s.mesh.port,
        "keepalive_s": s.mesh.keepalive_s,
    }
    if secrets.ssh_private_key:
        args["private_key"] = secrets.ssh_private_key
    return args


def database_args(s: Settings, secrets: Secrets, members: Mapping[str, Member]) -> DataFortressArgs:
    """Arguments of the database."""
    host = s.members[s.database_host]
    args: DataFortressArgs = {
        "host": members[s.database_host],
        "database": s.database.name,
        "user": s.database.user,
        "password": secrets.database_password,
        "clients": str(s.mesh.network),
        "privileges": s.database.privileges,
        "flush_log_at_commit": s.database.flush_log_at_commit,
        "cross_cloud_copy": s.database.cross_cloud_copy,
        "keep_data": s.database.keep_data,
    }
    if s.database.volume:
        args["volume"] = _volume(s.database.volume, secrets, host, members[s.database_host])
    if s.database.buffer_pool_mb:
        args["buffer_pool_mb"] = s.database.buffer_pool_mb
    if secrets.ssh_private_key:
        args["private_key"] = secrets.ssh_private_key
    return args


def _volume(volume: settings.Volume, secrets: Secrets, host: HostSettings, member: Member) -> VolumeArgs:
    args: VolumeArgs = {"encrypted": volume.encrypted}
    if volume.device:
        args["device"] = volume.device
    elif volume.size_gb and host.openstack:
        made: OpenStackVolumeArgs = {"size_gb": volume.size_gb, "instance_id": member["machine_id"]}
        if volume.type:
            made["type"] = volume.type
        if host.openstack.availability_zone:
            made["availability_zone"] = host.openstack.availability_zone
        args["openstack"] = made
    if volume.encrypted and secrets.database_volume_key:
        args["key"] = secrets.database_volume_key
    return args


def worker_args(
    s: Settings, secrets: Secrets, members: Mapping[str, Member], name: str, database: DataFortress
) -> EphemeralWorkerArgs:
    """Arguments of one worker."""
    work = s.workload
    args: EphemeralWorkerArgs = {
        "host": members[name],
        "workload": {
            "name": work.name,
            "packages": work.packages,
            "files": {
                there: (secrets.project / here).read_text(encoding="utf-8") for there, here in work.files.items()
            },
            "command": work.command,
            "port": work.port,
            "health": work.health,
            "environment": work.environment,
            "healthy_within_s": work.healthy_within_s,
        },
        "clients": [str(s.mesh_address(s.edge_host))],
        "database": {
            "address": database.address,
            "port": mariadb.PORT,
            "name": s.database.name,
            "user": s.database.user,
            "ca_pem": database.ca_pem,
        },
        "database_password": secrets.database_password,
    }
    if secrets.ssh_private_key:
        args["private_key"] = secrets.ssh_private_key
    return args


def edge_args(s: Settings, secrets: Secrets, members: Mapping[str, Member]) -> HAProxyEdgeArgs:
    """Arguments of the edge."""
    checks = s.edge.checks
    args: HAProxyEdgeArgs = {
        "host": members[s.edge_host],
        "server_name": s.edge.server_name,
        "primary": {
            "site": s.edge.primary,
            "servers": s.servers(s.edge.primary),
            "maxconn": s.edge.server_maxconn,
        },
        "overflow": {
            "site": s.edge.overflow,
            "servers": s.servers(s.edge.overflow),
            "maxconn": s.edge.server_maxconn,
        },
        "checks": {
            "inter_ms": checks.inter_ms,
            "fastinter_ms": checks.fastinter_ms,
            "timeout_ms": checks.timeout_ms,
            "connect_ms": s.edge.timeout_connect_ms,
            "rise": checks.rise,
            "fall": checks.fall,
        },
        "health_path": s.workload.health,
        "maxconn": s.edge.maxconn,
        "timeout_client_ms": s.edge.timeout_client_ms,
        "timeout_server_ms": s.edge.timeout_server_ms,
    }
    if s.edge.certificate and secrets.edge_tls_key:
        certificate = (secrets.project / s.edge.certificate.file).read_text(encoding="utf-8")
        args["tls"] = {"certificate": certificate, "key": secrets.edge_tls_key}
    if secrets.ssh_private_key:
        args["private_key"] = secrets.ssh_private_key
    return args


def facts(s: Settings, hosts: Mapping[str, Host], database: DataFortress, edge: HAProxyEdge) -> dict[str, Any]:
    """What `fortress verify` and other stacks read: where everything is and which limits hold. Nothing secret."""
    peers = plan({name: s.mesh_address(name) for name in s.members}, s.mesh.hubs, s.flows()).peers
    return {
        "hosts": {
            name: {
                "address": host.address,
                "port": s.ssh.port,
                "user": s.ssh.user,
                "host_key": host.host_key,
                "public_key": host.public_key,
                "mesh_address": str(s.mesh_address(name)),
                "site": s.members[name].site,
                "role": s.members[name].role,
                "peers": [peer.name for peer in peers[name]],
                "open_tcp": [s.ssh.port, 80, 443] if name == s.edge_host else [s.ssh.port],
            }
            for name, host in hosts.items()
            if not s.members[name].gone
        },
        "mesh": {
            "network": str(s.mesh.network),
            "port": s.mesh.port,
            "mtu": s.mesh.mtu,
            "path_mtu": s.mesh.path_mtu,
            "hubs": s.mesh.hubs,
            "interface": "wg0",
        },
        "database": {
            "host": s.database_host,
            "address": database.address,
            "port": mariadb.PORT,
            "name": s.database.name,
            "user": s.database.user,
            "ca_pem": database.ca_pem,
            "copy_wanted": s.database.cross_cloud_copy,
        },
        "edge": {
            "host": s.edge_host,
            "url": edge.url,
            "server_name": s.edge.server_name,
            "health_path": s.workload.health,
            "stats_socket": "/run/haproxy/admin.sock",
            # Not the guests: they come and go without this stack.
            "backends": {
                site: {name: s.servers(site)[name] for name in s.workers_at(site) if not s.members[name].gone}
                for site in (s.edge.primary, s.edge.overflow)
            },
            "silent_ms": haproxy.detection_bound_ms(s.edge.detection(), black_hole=True),
            "refused_ms": haproxy.detection_bound_ms(s.edge.detection(), black_hole=False),
        },
        "bastion": s.ssh.bastion.model_dump() if s.ssh.bastion else None,
        "limits": s.verify.model_dump(),
    }
