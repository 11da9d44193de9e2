"""Turns a stack's settings into the arguments of its components."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.data_fortress import AccountArgs, ClusterArgs, DataFortress, DataFortressArgs
from components.data_volume import VolumeArgs
from components.database_backup import BackupArgs
from components.database_replica import DatabaseReplica, DatabaseReplicaArgs, ServerArgs, bundle
from components.database_witness import DatabaseWitness, DatabaseWitnessArgs
from components.ephemeral_worker import EphemeralWorker, EphemeralWorkerArgs
from components.facts import SiteArgs
from components.haproxy_edge import HAProxyEdgeArgs, TlsArgs
from components.host import EgressTargetArgs, HostArgs
from components.host_exporters import HostExportersArgs
from components.password_rotation import PasswordRotationArgs
from components.remote import Bastion, Member
from components.wireguard_mesh import FlowArgs, WireGuardMeshArgs
from fortress import mariadb, push
from fortress.backup import Backup
from fortress.settings import model as settings
from fortress.settings.declare import declare
from fortress.settings.hosts import HostSettings
from fortress.settings.model import Settings
from fortress.sovereignty.declared import written
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


def declared(s: Settings) -> dict[str, Any]:
    """The register, and the places and flows that it is about, as `fortress record` and `fortress audit` read them."""
    return written(declare(s))


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
        "egress": _egress(s, name),
        "firewall_tables": s.verify.firewall_tables,
        "packages": list(dict.fromkeys(("python3", *s.workload.packages))) if name in s.workers else [],
        "adopt": host.adopt,
    }


def _egress(s: Settings, name: str) -> list[EgressTargetArgs] | None:
    targets = s.egress_of(name)
    if targets is None:
        return None
    return [
        {"address": each.address, "port": each.port, "protocol": each.protocol, "comment": each.comment}
        for each in targets
    ]


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


def database_name(s: Settings, name: str) -> str:
    """The name of a database's resource: by its host where there are several, whichever takes the writes."""
    return f"db-{name}" if s.copies else "db"


def database_options(s: Settings, clouds: Clouds, name: str) -> pulumi.ResourceOptions:
    """Options of one database: the one that was there before it had copies, or is left of several, stays itself."""
    before = "db" if s.copies else f"db-{name}"
    aliases = [pulumi.Alias(name=before)] if name == s.database_host else None
    return pulumi.ResourceOptions.merge(lifetime(s, clouds, name), pulumi.ResourceOptions(aliases=aliases))


def database_args(
    s: Settings,
    secrets: Secrets,
    members: Mapping[str, Member],
    name: str,
    before: Sequence[pulumi.Input[str]],
) -> DataFortressArgs:
    """Arguments of one database, which changes once those `before` it are at their place."""
    host = s.members[name]
    volume = s.database.volume
    return {
        "host": members[name],
        "database": s.database.name,
        "user": s.database.user,
        "password": secrets.database_password,
        "clients": str(s.mesh.network),
        "privileges": list(s.database.privileges),
        "connections_per_client": s.database.connections_per_client,
        "databases": list(s.database.databases),
        "roles": s.database.roles,
        "accounts": _accounts(s, secrets),
        "old_passwords": "keep" if s.database.keep_old_passwords else "overlap",
        "buffer_pool_mb": s.database.buffer_pool_mb,
        "flush_log_at_commit": s.database.flush_log_at_commit,
        "cross_cloud_copy": s.database.cross_cloud_copy,
        "variables": s.database.variables,
        "keep_data": s.database.keep_data,
        "upgrade_to": s.database.upgrade_to,
        "copies": s.copies,
        "cluster": _cluster(s, name),
        "restarts_last": name == s.database_host,
        "waits_for": before,
        "volume": _volume(s, volume, secrets, host, members[name]) if volume else None,
        # One of several is enough: each has all transactions in its own binary log.
        "backup": _backup(s.database.backup, secrets) if s.database.backup and name == s.backup_host else None,
        "monitored": name in s.monitored,
        "private_key": secrets.ssh_private_key,
    }


def _accounts(s: Settings, secrets: Secrets) -> dict[str, AccountArgs]:
    found: dict[str, AccountArgs] = {}
    for name, account in s.database.accounts.items():
        found[name] = {
            "password": secrets.database_account_passwords[name],
            "privileges": account.privileges,
            "connections_per_client": account.connections_per_client,
        }
        if account.role:
            found[name]["role"] = account.role
        if account.clients:
            found[name]["clients"] = [each for client in account.clients for each in s.client_networks(client)[0]]
    return found


def rotation_args(
    secrets: Secrets,
    members: Mapping[str, Member],
    name: str,
    databases: Mapping[str, DataFortress],
    workers: Mapping[str, EphemeralWorker],
) -> PasswordRotationArgs:
    """Arguments of the end of a server's old passwords, once every worker serves by the new one."""
    return {
        "host": members[name],
        "accounts": databases[name].accounts,
        "waits_for": [worker.endpoint for worker in workers.values()],
        "private_key": secrets.ssh_private_key,
    }


def joining_order(s: Settings) -> list[str]:
    """Servers of the database in the order in which they take their places: the one that takes the writes first."""
    return s.database_hosts[::-1] if s.clustered else s.database_hosts


def replica_args(
    s: Settings,
    secrets: Secrets,
    members: Mapping[str, Member],
    name: str,
    databases: Mapping[str, DataFortress],
    witness: DatabaseWitness | None,
    before: Sequence[DatabaseReplica],
) -> DatabaseReplicaArgs:
    """Arguments of a server's place among the others; in a cluster they join one after another."""
    args: DatabaseReplicaArgs = {
        "host": members[name],
        "servers": _standing(s, databases, name),
        "network": str(s.mesh.network),
        "password": None if s.clustered else secrets.database_replication_password,
        "first": name == s.database_host,
        "endpoint": databases[name].endpoint,
        "private_key": secrets.ssh_private_key,
    }
    if s.clustered:
        args["cluster"] = s.cluster_addresses
        args["waits_for"] = [each.endpoint for each in before[-1:]]
    if witness and not members[witness.host]["gone"]:
        args["witness"] = {"address": str(s.mesh_address(witness.host)), "ca_pem": witness.ca_pem}
    return args


def witness_args(
    s: Settings, secrets: Secrets, members: Mapping[str, Member], name: str, databases: Mapping[str, DataFortress]
) -> DatabaseWitnessArgs:
    """Arguments of a cluster's witness."""
    return {
        "host": members[name],
        "servers": _standing(s, databases),
        "members": s.cluster_addresses,
        "segment": s.segment(name),
        "private_key": secrets.ssh_private_key,
    }


def _standing(s: Settings, databases: Mapping[str, DataFortress], own: str = "") -> dict[str, ServerArgs]:
    return {
        each: {"address": str(s.mesh_address(each)), "ca_pem": databases[each].ca_pem}
        for each in s.database_hosts
        if each == own or not s.members[each].gone
    }


def _cluster(s: Settings, name: str) -> ClusterArgs | None:
    member = s.cluster_member(name)
    if member is None:
        return None
    return {"members": member["members"], "segment": member["segment"], "donors": member["donors"]}


def _servers(s: Settings) -> dict[str, str]:
    """Servers of the database that stand, by name."""
    return {name: str(s.mesh_address(name)) for name in s.database_hosts if not s.members[name].gone}


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
            "data_class": host.keeps,
            "instance_id": member["machine_id"],
        }
    return args


def _backup(backup: Backup, secrets: Secrets) -> BackupArgs:
    assert secrets.backup_password is not None  # noqa: S101 - looked at with the settings
    args: BackupArgs = {
        "site": backup.site,
        "password": secrets.backup_password,
        "directory": backup.directory,
        "daily_at": backup.daily_at,
        "keep": {"daily": backup.keep.daily, "weekly": backup.keep.weekly, "monthly": backup.keep.monthly},
        "point_in_time_days": backup.point_in_time_days,
        "ship_every_s": backup.ship_every_s,
        "drill_days": backup.drill_days,
        "append_only": backup.append_only,
    }
    if sftp := backup.sftp:
        args["sftp"] = {
            "address": sftp.address,
            "port": sftp.port,
            "user": sftp.user,
            "path": sftp.path,
            "host_key": sftp.host_key,
        }
        args["sftp_key"] = secrets.backup_sftp_key
    if s3 := backup.s3:
        args["s3"] = {
            "endpoint": s3.endpoint,
            "bucket": s3.bucket,
            "prefix": s3.prefix,
            "region": s3.region,
            "access_key_id": s3.access_key_id,
        }
        args["s3_secret_access_key"] = secrets.backup_s3_secret_access_key
    return args


def worker_args(
    s: Settings,
    secrets: Secrets,
    members: Mapping[str, Member],
    name: str,
    databases: Mapping[str, DataFortress],
    before: Sequence[pulumi.Input[str]],
) -> EphemeralWorkerArgs:
    """Arguments of one worker, which changes once those `before` it serve: databases, and other workers."""
    database = databases[s.database_host]
    standing = _servers(s)
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
            "ca_pem": bundle({each: databases[each].ca_pem for each in standing}) if s.copies else database.ca_pem,
            "servers": standing if s.copies else None,
        },
        "database_password": secrets.database_password,
        "waits_for": before,
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
        "home_paths": s.edge.home_paths,
        "home_methods": s.edge.home_methods,
        "client_maxconn": s.edge.client_maxconn,
        "timeout_client_ms": s.edge.timeout_client_ms,
        "timeout_server_ms": s.edge.timeout_server_ms,
        "timeout_queue_ms": s.edge.timeout_queue_ms,
        "timeout_tunnel_ms": s.edge.timeout_tunnel_ms,
        "hsts_s": s.edge.hsts_s,
        # Guests come and go without this stack, so they alone are no reason to fail.
        "answers_within_s": s.edge.answers_within_s if any(not s.members[name].gone for name in s.workers) else 0,
        "tls": _tls(s, secrets),
        "scrapers": s.scraper_addresses(s.edge_host),
        "private_key": secrets.ssh_private_key,
    }


def exporters_args(
    s: Settings,
    secrets: Secrets,
    members: Mapping[str, Member],
    name: str,
    databases: Mapping[str, DataFortress | DatabaseReplica],
) -> HostExportersArgs:
    """Arguments of a host's exporters; that of a database begins once it serves."""
    return {
        "host": members[name],
        "scrapers": s.scraper_addresses(name),
        "database": name in databases,
        "waits_for": [databases[name].endpoint] if name in databases else [],
        "private_key": secrets.ssh_private_key,
    }


def _tls(s: Settings, secrets: Secrets) -> TlsArgs | None:
    if s.edge.certificate is None or secrets.edge_tls_key is None:
        return None
    certificate = (secrets.project / s.edge.certificate.file).read_text(encoding="utf-8")
    return {"certificate": certificate, "key": secrets.edge_tls_key}
