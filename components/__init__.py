"""What Pulumi builds: one component a file; text is rendered in `fortress`."""

from .data_fortress import DataFortress, DataFortressArgs
from .ephemeral_worker import EphemeralWorker, EphemeralWorkerArgs
from .haproxy_edge import HAProxyEdge, HAProxyEdgeArgs
from .host import Host, HostArgs
from .host_file import HostFile, HostFileArgs
from .remote import Member
from .wireguard_mesh import WireGuardMesh, WireGuardMeshArgs

__all__ = [
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
    "WireGuardMesh",
    "WireGuardMeshArgs",
]
