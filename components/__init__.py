"""What Pulumi builds: one component a file; text is rendered in `fortress`.

The schema of the source package (`package/`) is made from the annotations of arguments and outputs, as they are at run
time: the modules of public components do not put them off by `from __future__ import annotations`.

Importing them loads no cloud's package: `sdk` does when a component makes the first thing there. An argument whose type
allows None is not given when it is None.
"""

from .aws_machine import AwsMachine, AwsMachineArgs
from .aws_site import AwsSite, AwsSiteArgs
from .data_fortress import AccountArgs, ClusterArgs, DataFortress, DataFortressArgs
from .data_volume import VolumeArgs
from .database_replica import DatabaseReplica, DatabaseReplicaArgs, ServerArgs
from .database_witness import DatabaseWitness, DatabaseWitnessArgs
from .ephemeral_worker import DatabaseArgs, EphemeralWorker, EphemeralWorkerArgs, WorkloadArgs
from .facts import SiteArgs, export_facts
from .haproxy_edge import BackendArgs, ChecksArgs, HAProxyEdge, HAProxyEdgeArgs, TlsArgs
from .host import Host, HostArgs
from .host_exporters import HostExporters, HostExportersArgs
from .host_file import HostFile, HostFileArgs
from .openstack_machine import OpenStackMachine, OpenStackMachineArgs
from .openstack_site import OpenStackSite, OpenStackSiteArgs
from .password_rotation import PasswordRotation, PasswordRotationArgs
from .private_container import PrivateContainer, PrivateContainerArgs
from .remote import Member
from .removal import look_before_removal
from .wireguard_mesh import FlowArgs, WireGuardMesh, WireGuardMeshArgs

__all__ = [
    "AccountArgs",
    "AwsMachine",
    "AwsMachineArgs",
    "AwsSite",
    "AwsSiteArgs",
    "BackendArgs",
    "ChecksArgs",
    "ClusterArgs",
    "DataFortress",
    "DataFortressArgs",
    "DatabaseArgs",
    "DatabaseReplica",
    "DatabaseReplicaArgs",
    "DatabaseWitness",
    "DatabaseWitnessArgs",
    "EphemeralWorker",
    "EphemeralWorkerArgs",
    "FlowArgs",
    "HAProxyEdge",
    "HAProxyEdgeArgs",
    "Host",
    "HostArgs",
    "HostExporters",
    "HostExportersArgs",
    "HostFile",
    "HostFileArgs",
    "Member",
    "OpenStackMachine",
    "OpenStackMachineArgs",
    "OpenStackSite",
    "OpenStackSiteArgs",
    "PasswordRotation",
    "PasswordRotationArgs",
    "PrivateContainer",
    "PrivateContainerArgs",
    "ServerArgs",
    "SiteArgs",
    "TlsArgs",
    "VolumeArgs",
    "WireGuardMesh",
    "WireGuardMeshArgs",
    "WorkloadArgs",
    "export_facts",
    "look_before_removal",
]
