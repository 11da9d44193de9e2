"""What Pulumi builds: one component a file; text is rendered in `fortress`."""

from .aws_machine import AwsMachine, AwsMachineArgs
from .aws_site import AwsSite, AwsSiteArgs
from .data_fortress import DataFortress, DataFortressArgs
from .ephemeral_worker import EphemeralWorker, EphemeralWorkerArgs
from .haproxy_edge import HAProxyEdge, HAProxyEdgeArgs
from .host import Host, HostArgs
from .host_file import HostFile, HostFileArgs
from .openstack_machine import OpenStackMachine, OpenStackMachineArgs
from .openstack_site import OpenStackSite, OpenStackSiteArgs
from .private_container import PrivateContainer, PrivateContainerArgs
from .remote import Member
from .wireguard_mesh import WireGuardMesh, WireGuardMeshArgs

__all__ = [
    "AwsMachine",
    "AwsMachineArgs",
    "AwsSite",
    "AwsSiteArgs",
    "DataFortress",
    "DataFortressArgs",
    "EphemeralWorker",
    "EphemeralWorkerArgs",
    "HAProxyEdge",
    "HAProxyEdgeArgs",
    "Host",
    "HostArgs",
    "HostFile",
    "HostFileArgs",
    "Member",
    "OpenStackMachine",
    "OpenStackMachineArgs",
    "OpenStackSite",
    "OpenStackSiteArgs",
    "PrivateContainer",
    "PrivateContainerArgs",
    "WireGuardMesh",
    "WireGuardMeshArgs",
]
