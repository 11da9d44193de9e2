"""What renews a certificate. Those that hosts make themselves are looked at only when somebody runs their command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from fortress import haproxy, mariadb, push
from fortress.facts import DatabaseFacts, EdgeFacts, StackOutputs

OF_OTHERS = "renew it in edge.certificate and edge_tls_key, then run `pulumi up`"
"""For a certificate of the edge that came from elsewhere."""


def of_edge(stack: str, outputs: StackOutputs, edge: EdgeFacts, names: Sequence[str] = ()) -> str:
    """For the certificate that the edge signed itself, for these names: the next one is for them too."""
    first = edge.server_name
    others = sorted(set(names) - {first})
    arguments = haproxy.certificate_arguments(haproxy.CERTIFICATE, first, others)
    return _on(stack, outputs, edge.host, "edge-certificate", arguments)


def of_database(stack: str, outputs: StackOutputs, database: DatabaseFacts) -> str:
    """For the certificate that the database's own authority signed."""
    host = database.host
    others = (mariadb.CLIENT_ADDRESS,) if database.servers else ()
    return _on(stack, outputs, host, "mariadb-authority", ("ensure", database.address, host, *others))


def _on(stack: str, outputs: StackOutputs, host: str, script: str, arguments: Sequence[str]) -> str:
    """The command of `pulumi up` for this, to be run once more. Both scripts renew in the last days only."""
    if (facts := outputs.hosts.get(host)) is None:
        return f"{host} is set as gone and no longer renews it"
    early = outputs.limits.certificate_days > haproxy.RENEW_DAYS
    when = f", possible from {haproxy.RENEW_DAYS} days before it expires" if early else ""
    command = shlex.join(push.script(script, *arguments))
    there = command if facts.user == "root" else f"sudo {command}"
    # One word: it is quoted for the host's shell already, and passes the operator's before.
    return f"renew it{when}: {shlex.join(['fortress', 'ssh', host, '--stack', stack, '--', there])}"
