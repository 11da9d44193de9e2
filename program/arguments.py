"""Turns a stack's settings into the arguments of its components."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

import pulumi

from components.data_fortress import DataFortress, DataFortressArgs
from components.data_volume import VolumeArgs
from components.ephemeral_worker import EphemeralWorker, EphemeralWorkerArgs
from components.facts import SiteArgs
from components.haproxy_edge import HAProxyEdgeArgs, TlsArgs
from components.host import HostArgs
from components.remote import Bastion, Member
from components.wireguard_mesh import FlowArgs, WireGuardMeshArgs
from fortress import mariadb, push
from fortress.settings import model as settings
from fortress.settings.hosts import HostSettings
from fortress.settings.model import Settings
from program import aws, openstack
from program.asking import Clouds
from program.load import Secrets


def lifetime(s: Settings, clouds: Clouds, name: str) -> pulumi.ResourceOptions:
    """Options of resources on a host: the provider of its machine, and what happens to them when the machine goes.

    Resources on a host that is gone are forgotten, not deleted: their delete commands would dial a dead machine. On a
    machine that the stack creates they are dropped with it, dead or alive (`Member.host_urn`); the cloud deletes it.
    """
    host = s.members[name]
    if host.made:
        return pulumi.ResourceOptions(providers=[clouds.providers[host.site]])
    return pulumi.ResourceOptions(retain_on_delete=True if host.gone else None)


def sites(s: Settings) -> dict[str, SiteArgs]:
    """Who runs the machines of each site, and where they are."""
    return {
        name: {"operator": site.operator, "country": site.country, "sovereign": site.sovereign}
        for name, site in s.sites.items()
    }


def host_options(s: Settings, clouds: Clouds, name: str) -> pulumi.ResourceOptions:
    """Options of one `Host`. Its site comes first, so that a new machine has outbound network access."""
    host = s.members[name]
    site = clouds.openstack.get(host.site) or clouds.aws.get(host.site)
    return pulumi.ResourceOptions.merge(
        lifetime(s, clouds, name), pulumi.ResourceOptions(depends_on=[site] if site and host.made else None)
    )


def host_args(s: Settings, secrets: Secrets, clouds: Clouds, name: str) -> HostArgs:
    """Arguments of one `Host`."""
    host = s.members[name]
    return {
        "address": host.address,
        "openstack": openstack.machine_args(s, clouds, name, host.openstack) if host.openstack else None,
        "aws": aws.machine_args(s, clouds, name, host.aws) if host.aws else None,
        "site": host.site,
        "mesh_address": str(s.mesh_address(name)),
        "mesh_network": str(s.mesh.network),
        "operators": s.ssh.operators,
        "user": s.ssh.user,
        "port": s.ssh.port,
        "mesh_port": s.mesh.port,
        "host_key": host.host_key,
        "private_key": secrets.ssh_private_key,
        "bastion": _bastion(s.ssh.bastion),
        "memory_mb": host.memory_mb,
        "incarnation": host.incarnation,
        "gone": host.gone,
        "firewall_tables": s.verify.firewall_tables,
        "adopt": host.adopt,
    }


def _bastion(bastion: settings.BastionSettings | None) -> Bastion | None:
    if bastion is None:
        return None
    return {
        "address": bastion.address,
        "user": bastion.user,
        "port": bastion.port,
        "host_key": bastion.host_key,
    }


def mesh_args(s: Settings, secrets: Secrets, members: Mapping[str, Member]) -> WireGuardMeshArgs:
    """Arguments of the mesh: it opens no port for flows that roles imply, since their services do."""
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
    return {
        "members": members,
        "hubs": s.mesh.hubs,
        "flows": flows,
        "mtu": s.mesh.mtu,
        "path_mtu": s.mesh.path_mtu,
        "port": s.mesh.port,
        "keepalive_s": s.mesh.keepalive_s,
        "private_key": secrets.ssh_private_key,
    }


def database_args(s: Settings, secrets: Secrets, members: Mapping[str, Member]) -> DataFortressArgs:
    """Arguments of the database."""
    host = s.members[s.database_host]
    volume = s.database.volume
    return {
        "host": members[s.database_host],
        "database": s.database.name,
        "user": s.database.user,
        "password": secrets.database_password,
        "clients": str(s.mesh.network),
        "privileges": list(s.database.privileges),
        "connections_per_client": s.database.connections_per_client,
        "buffer_pool_mb": s.database.buffer_pool_mb,
        "flush_log_at_commit": s.database.flush_log_at_commit,
        "cross_cloud_copy": s.database.cross_cloud_copy,
        "keep_data": s.database.keep_data,
        "volume": _volume(s, volume, secrets, host, members[s.database_host]) if volume else None,
        "private_key": secrets.ssh_private_key,
    }


def _volume(
    s: Settings, volume: settings.VolumeSettings, secrets: Secrets, host: HostSettings, member: Member
) -> VolumeArgs:
    args: VolumeArgs = {
        "device": volume.device,
        "encrypted": volume.encrypted,
        "key": secrets.database_volume_key if volume.encrypted else None,
    }
    cloud = s.sites[host.site].openstack
    if volume.size_gb and host.openstack and cloud:
        args["openstack"] = {
            "name_prefix": cloud.name_prefix,
            "size_gb": volume.size_gb,
            "type": volume.type,
            "availability_zone": host.openstack.availability_zone,
            "instance_id": member["machine_id"],
        }
    return args


def worker_args(
    s: Settings,
    secrets: Secrets,
    members: Mapping[str, Member],
    name: str,
    database: DataFortress,
    before: Sequence[pulumi.Input[str]],
) -> EphemeralWorkerArgs:
    """Arguments of one worker, which changes once those `before` it serve."""
    work = s.workload
    files = {there: (secrets.project / here).read_bytes() for there, here in work.files.items()}
    texts = {there: data.decode(errors="surrogateescape") for there, data in files.items()}
    binary = {there for there, text in texts.items() if push.is_binary(text)}
    return {
        "host": members[name],
        "workload": {
            "name": work.name,
            "packages": work.packages,
            "files": {there: text for there, text in texts.items() if there not in binary},
            "binary_files": {there: base64.b64encode(files[there]).decode() for there in files if there in binary},
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
        "waits_for": [database.endpoint, *before],
        "private_key": secrets.ssh_private_key,
    }


def edge_args(
    s: Settings, secrets: Secrets, members: Mapping[str, Member], workers: Mapping[str, EphemeralWorker]
) -> HAProxyEdgeArgs:
    """Arguments of the edge, which serves once the workers do."""
    checks = s.edge.checks
    endpoints = {name: worker.endpoint for name, worker in workers.items()}
    return {
        "host": members[s.edge_host],
        "server_name": s.edge.server_name,
        "primary": {
            "site": s.edge.primary,
            "servers": {name: endpoints.get(name, known) for name, known in s.servers(s.edge.primary).items()},
            "maxconn": s.edge.server_maxconn,
        },
        "overflow": {
            "site": s.edge.overflow,
            "servers": {name: endpoints.get(name, known) for name, known in s.servers(s.edge.overflow).items()},
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
        "other_names": s.edge.other_names,
        "client_maxconn": s.edge.client_maxconn,
        "timeout_client_ms": s.edge.timeout_client_ms,
        "timeout_server_ms": s.edge.timeout_server_ms,
        "timeout_queue_ms": s.edge.timeout_queue_ms,
        "timeout_tunnel_ms": s.edge.timeout_tunnel_ms,
        "hsts_s": s.edge.hsts_s,
        # Guests come and go without this stack, so they alone are no reason to fail.
        "answers_within_s": s.edge.answers_within_s if any(not s.members[name].gone for name in s.workers) else 0,
        "tls": _tls(s, secrets),
        "private_key": secrets.ssh_private_key,
    }


def _tls(s: Settings, secrets: Secrets) -> TlsArgs | None:
    if s.edge.certificate is None or secrets.edge_tls_key is None:
        return None
    certificate = (secrets.project / s.edge.certificate.file).read_text(encoding="utf-8")
    return {"certificate": certificate, "key": secrets.edge_tls_key}
