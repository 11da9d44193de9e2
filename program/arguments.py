"""From a stack's settings to the arguments of its components, and to the facts that it gives out."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi

from components.data_fortress import DataFortress, DataFortressArgs
from components.data_volume import OpenStackVolumeArgs, VolumeArgs
from components.ephemeral_worker import EphemeralWorkerArgs
from components.haproxy_edge import HAProxyEdgeArgs
from components.host import HostArgs
from components.remote import Member
from components.wireguard_mesh import FlowArgs, WireGuardMeshArgs
from fortress import mariadb
from fortress.settings import model as settings
from fortress.settings.hosts import Host as HostSettings
from fortress.settings.model import Settings
from program.asking import Clouds
from program.aws import aws_machine
from program.load import Secrets
from program.openstack import openstack_machine


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
