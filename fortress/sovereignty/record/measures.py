"""Security measures (Article 32(1) GDPR): organisational ones are declared, technical ones are read in the state."""

from __future__ import annotations

from collections.abc import Iterator

from fortress import firewall
from fortress.sovereignty.declared import Declared
from fortress.sovereignty.record.ground import Ground, entry, from_state, setting
from fortress.sovereignty.record.model import RecordEntry, RecordSection
from fortress.sovereignty.record.standing import CONTAINER, VOLUME, Standing

DATABASE = "/etc/mysql/mariadb.conf.d/90-fortress.cnf"
FIREWALL = "/etc/nftables.conf"


def section(ground: Ground) -> RecordSection:
    """All measures."""
    organisational = entry("organisational", "Organisational measures", ground.register.measures, setting("measures"))
    return RecordSection(
        name="measures",
        title="Security measures",
        entries=(organisational, *_technical(ground.standing), *_declared(ground.declared)),
    )


def _technical(standing: Standing) -> Iterator[RecordEntry]:
    outputs = standing.outputs
    if outputs is None:
        return
    if outputs.mesh:
        text = (
            f"Hosts reach each other through a WireGuard tunnel only ({outputs.mesh.network}): encrypted and "
            "authenticated from host to host"
        )
        yield entry("tunnel", "Encryption between hosts", text, "output fortress.mesh")
    if database := standing.files.get(DATABASE):
        # A text that is secret, or not in the state, is not known.
        sure = all(file.text and "\nrequire_secure_transport = ON\n" in file.text for file in database)
        text = "refuses connections without TLS" if sure else "not known: the state does not show its configuration"
        yield entry("database_tls", "Database", text, from_state(*(file.urn for file in database)))
    if outputs.edge:
        yield entry("edge_tls", "Requests from outside", f"arrive at {outputs.edge.url}", "output fortress.edge")
    if firewalls := standing.files.get(FIREWALL):
        dropping = [file for file in firewalls if file.text and firewall.DROPS_INPUT in file.text]
        text = f"drops what nothing allows, on {len(dropping)} of {len(outputs.hosts)} hosts"
        yield entry("firewall", "Firewall", text, from_state(*(file.urn for file in firewalls)))
    yield entry(
        "host_keys",
        "Access to hosts",
        "by SSH, with the pinned key of each host and a key of a named operator",
        "output fortress.hosts",
    )
    for volume in (found for found in standing.resources if found.type == VOLUME):
        kind = volume.properties.get("volumeType")
        text = f"{volume.name}{f', of the type {kind} of its operator' if isinstance(kind, str) else ''}"
        yield entry(f"volume_{volume.name}", "Data volume", text, from_state(volume.urn))
    if containers := [found for found in standing.resources if found.type == CONTAINER]:
        names = [
            f"{found.properties.get('name')}: {_access(found.properties)}"
            for found in sorted(containers, key=lambda one: one.name)
        ]
        yield entry("containers", "Object containers", names, from_state(*sorted(found.urn for found in containers)))
    if standing.secrets_provider:
        text = f"secret values in the engine's state are encrypted (provider: {standing.secrets_provider})"
        yield entry("state_secrets", "Secrets", text, "state: secrets_providers")


def _declared(declared: Declared) -> Iterator[RecordEntry]:
    """What the settings ask for, as the last `up` applied it."""
    if declared.database_encrypted:
        text = "encrypted on the host (LUKS), with a key from the secret setting database_volume_key"
        yield entry("database_volume", "Database's volume", text, "output sovereignty.database_encrypted")
    for name, site in sorted(declared.sites.items()):
        if site.egress == "closed":
            text = (
                f"hosts at {name} let out only what they need themselves (packages, names, time, the tunnel) and what "
                "the settings name"
            )
            yield entry(f"egress_{name}", "Connections from hosts", text, "output sovereignty.sites")
    for target in sorted(declared.egress, key=lambda one: one.name):
        text = f"{target.source} to {target.address}, {target.protocol}/{target.port}: {target.purpose}"
        yield entry(f"egress_target_{target.name}", "Named connection", text, "output sovereignty.egress")
    for backup in declared.backups:
        where = f"kept at {backup.site}" if backup.site else "kept at a place outside the sites of the stack"
        how = "encrypted on the host before it leaves" if backup.encrypted else "not encrypted on the host"
        yield entry(f"backup_{backup.setting}", "Backup", f"{where}, {how}", backup.setting)


def _access(properties: object) -> str:
    lists = [properties.get(acl) for acl in ("containerRead", "containerWrite")] if isinstance(properties, dict) else []
    return "nobody but the project's own users has access" if not any(lists) else "has an access list of its own"
