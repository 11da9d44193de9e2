"""What the settings say of places, hosts, flows and data: the facts that the record of processing starts from."""

from __future__ import annotations

from fortress import haproxy
from fortress.settings import model
from fortress.settings.model import Settings
from fortress.sovereignty.declared import (
    Declared,
    DeclaredBackup,
    DeclaredEgress,
    DeclaredFlow,
    DeclaredHost,
    DeclaredSite,
)


def declare(s: Settings) -> Declared:
    """The output `sovereignty` of a stack with these settings."""
    return Declared(
        sites={
            name: DeclaredSite(
                operator=site.operator,
                country=site.country,
                region=site.place,
                sovereign=site.sovereign,
                cloud="openstack" if site.openstack else "aws" if site.aws else None,
                auth_url=site.openstack.auth_url if site.openstack else None,
                egress=site.egress,
                containers=tuple(site.openstack.containers) if site.openstack else (),
            )
            for name, site in s.sites.items()
        },
        hosts={
            name: DeclaredHost(
                setting=model.declared(name),
                site=host.site,
                role=host.role,
                mesh_address=str(s.mesh_address(name)),
                data_class=host.keeps,
            )
            for name, host in s.members.items()
        },
        flows=tuple(
            DeclaredFlow(source=flow.source, destination=flow.destination, port=flow.port, protocol=flow.protocol)
            for flow in s.flows()
        ),
        egress=tuple(
            DeclaredEgress(
                name=name,
                source=each.source,
                address=each.address,
                port=each.port,
                protocol=each.protocol,
                purpose=each.purpose,
            )
            for name, each in s.egress.items()
        ),
        mesh_network=str(s.mesh.network),
        open_ports=(f"udp/{s.mesh.port}", f"tcp/{haproxy.HTTP_PORT}", f"tcp/{haproxy.HTTPS_PORT}"),
        ssh_port=s.ssh.port,
        operators=tuple(s.ssh.operators),
        # restic encrypts on the host, whatever the target.
        backups=(DeclaredBackup(setting="database.backup", site=s.database.backup.site, encrypted=True),)
        if s.database.backup
        else (),
        guests=dict.fromkeys(s.edge.guests, s.edge.overflow),
        overflow=s.edge.overflow,
        home_paths=tuple(s.edge.home_paths),
        home_methods=tuple(s.edge.home_methods),
        workload_port=s.workload.port,
        database_encrypted=bool(s.database.volume and s.database.volume.encrypted),
        entries=s.sovereignty,
    )
