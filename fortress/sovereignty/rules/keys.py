"""Who can decrypt: keys, volumes, backups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fortress.sovereignty.countries import inside
from fortress.sovereignty.evidence import Evidence, Resource, Withheld
from fortress.sovereignty.finding import RuleFinding, rule
from fortress.sovereignty.register import CONTROLLER
from fortress.sovereignty.rules.places import EDPB_01
from fortress.sovereignty.rules.words import about, needs_register, no_register, unseen

THIRD_PARTY_KEYS = ("aws-kms", "other-kms")
DATABASE = "fortress:index:DataFortress$"


@rule(
    "key-custody",
    why="Encryption protects from an operator only if the operator has no key: a key in AWS KMS is in the custody of "
    "AWS, in Frankfurt too.",
    source=f"{EDPB_01}, use case 1: keys are under the exporter's control, or in the EEA",
)
def key_custody(evidence: Evidence) -> Iterator[RuleFinding]:
    """Keys of personal data are held inside the area, by the controller or an operator there, never in AWS KMS."""
    yield from no_register(evidence, "who holds the keys of which data is not known")
    if evidence.settings and evidence.register:
        for name, data in evidence.register.data_sets.items():
            path = f"sovereignty.data_sets.{name}.keys"
            if data.data_class not in ("personal", "ciphertext"):
                continue
            if data.keys is None:
                yield RuleFinding(path, "UNDECLARED: who can decrypt it", f"set {path}: holder, country, service")
                continue
            if data.keys.service == "unencrypted":
                continue  # volume-encryption's
            cure = "hold the keys yourself, or with an operator inside"
            if data.keys.service in THIRD_PARTY_KEYS:
                yield RuleFinding(f"{path}.service", f"{data.keys.service} is in the custody of its operator", cure)
            if not inside(data.keys.country, evidence.profile):
                wrong = f"{data.keys.country} is outside the {evidence.profile}"
                yield RuleFinding(f"{path}.country", wrong, cure)
            if data.keys.holder != CONTROLLER:
                why = evidence.outside(evidence.register.operators[data.keys.holder])
                if why:
                    yield RuleFinding(
                        f"{path}.holder", f"{data.keys.holder} {why}, outside the {evidence.profile}", cure
                    )
    for resource in evidence.of_type("aws:kms/", "aws:cloudhsmv2/", "aws:secretsmanager/", "aws:ssm/"):
        yield about(resource, f"{resource.type} keeps keys or secrets in the custody of AWS", "hold them at home")
    for resource in evidence.of_package("aws"):
        for path in ("kmsKeyId", "kmsKeyArn"):
            if resource.get(path):
                yield about(resource, f"{path} names a key of AWS KMS", f"leave {path} out")


@rule(
    "volume-encryption",
    why="A disk that is taken out, or a volume that is copied, must be worth nothing.",
    source="Article 32(1)(a) GDPR; BSI IT-Grundschutz CON.1",
)
def volume_encryption(evidence: Evidence) -> Iterator[RuleFinding]:
    """Volumes are encrypted: by the host (LUKS), or by an operator whose type of volume is known to be."""
    cure = (
        "set database.volume.encrypted, before there is data, or use a type in encrypted_volume_types of the operator"
    )
    if evidence.settings and evidence.register and evidence.declared:
        for name, data in evidence.register.data_sets.items():
            if data.keys and data.keys.service == "unencrypted" and data.data_class == "personal":
                yield RuleFinding(f"sovereignty.data_sets.{name}.keys.service", "it is kept in clear text", cure)
    for resource in evidence.of_type("openstack:blockstorage/volume:Volume"):
        if evidence.declared and evidence.declared.database_encrypted and DATABASE in resource.urn:
            continue
        yield from _of_type(evidence, resource, "volumeType", resource.get("volumeType"), cure)
    for resource in evidence.of_type("openstack:compute/instance:Instance"):
        disks = resource.get("blockDevices")
        if isinstance(disks, Withheld):
            yield unseen(resource, "blockDevices", disks, cure)
        for index, disk in enumerate(disks if isinstance(disks, list | tuple) else ()):
            # A volume that the machine makes for itself; one that exists is judged as what it is.
            makes = isinstance(disk, Mapping) and disk.get("destinationType") == "volume"
            if isinstance(disk, Withheld) or (makes and disk.get("sourceType") != "volume"):
                kind = disk if isinstance(disk, Withheld) else disk.get("volumeType")
                yield from _of_type(evidence, resource, f"blockDevices[{index}].volumeType", kind, cure)
    for resource in evidence.of_type("aws:ebs/volume:Volume"):
        if resource.get("encrypted") is not True:
            yield about(resource, "is not encrypted", "set encrypted")


def _of_type(evidence: Evidence, resource: Resource, path: str, kind: object, cure: str) -> Iterator[RuleFinding]:
    """What is wrong with a volume of the cloud of this type."""
    sites = evidence.sites_of(resource)
    if isinstance(kind, Withheld):
        yield unseen(resource, path, kind, cure)
        return
    if isinstance(sites, Withheld):
        yield unseen(resource, "its region", sites, cure)
        return
    operators = [evidence.operator(site) for site in sites]
    if evidence.register is None:
        yield needs_register(resource.name, "who encrypts the cloud's volumes is not known", resource.urn)
    elif not operators or not all(found and kind in found.encrypted_volume_types for found in operators):
        of_type = f"of type {kind}" if kind else "of the cloud's default type"
        yield about(resource, f"{of_type}, which no operator in the register is known to encrypt", cure)


@rule(
    "backup-encryption",
    why="A backup leaves the host: whoever keeps it must not be able to read it.",
    source=f"{EDPB_01}, use case 1; Article 32(1)(a) GDPR",
)
def backup_encryption(evidence: Evidence) -> Iterator[RuleFinding]:
    """Backups are encrypted on the host before they leave it, with a key that stays at home."""
    if evidence.settings and evidence.declared:
        backups = {backup.site for backup in evidence.declared.backups}
        for backup in evidence.declared.backups:
            if not backup.encrypted:
                yield RuleFinding(backup.setting, "is not encrypted on the host", "encrypt it with a key of your own")
            site = evidence.declared.sites.get(backup.site or "")
            if site is None:
                yield RuleFinding(backup.setting, "UNDECLARED: at which site it is kept", "name the site")
            elif not site.sovereign:
                yield RuleFinding(
                    backup.setting, f"is kept at {backup.site}, which is not sovereign", "name a sovereign site"
                )
            elif evidence.register and not any(
                backup.site in data.backups_at for data in evidence.register.data_sets.values()
            ):
                yield RuleFinding(
                    backup.setting,
                    f"keeps backups at {backup.site}, and no data set in the register says so",
                    f"add {backup.site} to backups_at of the data sets in it",
                    level="advisory",
                )
        for name, data in (evidence.register.data_sets if evidence.register else {}).items():
            for index, place in enumerate(data.backups_at):
                if place not in backups:
                    yield RuleFinding(
                        f"sovereignty.data_sets.{name}.backups_at[{index}]",
                        f"nothing in the stack keeps a backup at {place}",
                        "configure the backup, or leave the entry out",
                        level="advisory",
                    )
    for resource in evidence.of_type(
        "openstack:blockstorage/backup:Backup", "openstack:blockstorage/snapshot:Snapshot"
    ):
        yield about(resource, "a copy that the cloud makes is not encrypted by the host", "back up from the host")
