"""The witness of a Galera cluster of two servers: the third vote, on a host that keeps no data."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import pulumi

from fortress import activation, answers, firewall, galera, mariadb, push, wireguard

from .checking import Facts, arguments, build, check
from .database_replica import WITNESS, ServerArgs, bundle
from .host_file import fragment_file, packages, put, put_together, script, script_file
from .remote import Member, Target, after, child_options, question, serving, with_depends_on


class DatabaseWitnessArgs(TypedDict):
    """A vote without data."""

    host: Member
    """Where it runs: a `Host`'s `member`. At a sovereign site, since every write-set passes through it."""
    servers: Mapping[str, ServerArgs]
    """Every server of the database by its host's name; without those that are gone."""
    members: Sequence[str]
    """Addresses in the mesh of all servers and of the witness itself, those that are gone among them."""
    segment: NotRequired[int]
    """The number of its site, 0 when not given."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class DatabaseWitness(pulumi.ComponentResource):
    """Galera's arbitrator, which joins the cluster once that stands, and never makes one."""

    ca_pem: pulumi.Output[str]
    """Certificate of the authority that signs its own, PEM."""
    endpoint: pulumi.Output[str]
    """Its address in the mesh and port. What uses it waits until it runs."""

    def __init__(self, name: str, args: DatabaseWitnessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("DatabaseWitness", name, DatabaseWitnessArgs, args)
        host = args["host"]
        check("DatabaseWitness", name, _witness(args), _authority(args))
        witness = build("DatabaseWitness", name, _witness(args))
        names = mariadb.authority_arguments(build("DatabaseWitness", name, _authority(args)))
        super().__init__("fortress:index:DatabaseWitness", name, {}, opts)
        target: Target = {"member": host, "private_key": args.get("private_key")}
        late = serving(target)
        options = child_options(self, opts)
        prepared = put_together(
            f"{name}-prepared",
            target,
            [
                script_file("mariadb-authority"),
                fragment_file(
                    "32-database-witness.nft",
                    firewall.Fragment(
                        title="Galera, for the servers of the database.",
                        rules=[
                            firewall.AcceptRule(
                                port=galera.GROUP_PORT,
                                comment="Galera",
                                sources=[each for each in args["members"] if each != host["mesh_address"]],
                                interface=wireguard.INTERFACE,
                            )
                        ],
                    ),
                ),
            ],
            options,
            then=[packages(*galera.WITNESS_PACKAGES)],
            before_removal=[script(*push.script("mariadb-authority", "witness-remove"))],
        )
        authority = question(
            f"{name}-authority",
            target,
            lambda machine: push.for_machine(machine, *push.script("mariadb-authority", *names)),
            with_depends_on(options, prepared),
        )
        self.ca_pem = pulumi.Output.unsecret(authority.stdout).apply(
            lambda said: answers.certificate(host["name"], said)
        )
        known = {server: facts["ca_pem"] for server, facts in args["servers"].items()}
        trusted = put(
            f"{name}-ca.pem",
            late,
            galera.WITNESS_CA_PATH,
            bundle({**known, WITNESS: self.ca_pem}),
            with_depends_on(options, authority),
            apply=activation.restart_if_enabled(galera.WITNESS_UNIT),
            remove_apply="true",
        )
        unit = put(
            f"{name}-service",
            late,
            galera.WITNESS_UNIT_PATH,
            galera.render_witness(witness),
            with_depends_on(options, trusted),
            apply=activation.enable_and_restart_pushed(galera.WITNESS_UNIT),
            remove_apply=f"systemctl -q disable --now {galera.WITNESS_UNIT}; systemctl daemon-reload",
        )
        self.endpoint = after(f"{host['mesh_address']}:{galera.GROUP_PORT}", unit)
        self.host = host["name"]
        """Name of its host."""
        self.register_outputs({"ca_pem": self.ca_pem, "endpoint": self.endpoint})


def _authority(args: DatabaseWitnessArgs) -> Facts[mariadb.Authority]:
    host = args["host"]
    values = {"address": host["mesh_address"], "names": (host["name"],), "witness": True}
    return Facts(mariadb.Authority, values, {"address": "host.mesh_address", "names[0]": "host.name"})


def _witness(args: DatabaseWitnessArgs) -> Facts[galera.Witness]:
    values = {
        "name": args["host"]["name"],
        "address": args["host"]["mesh_address"],
        "segment": args.get("segment", 0),
        "members": tuple(args["members"]),
    }
    return Facts(galera.Witness, values, {"name": "host.name", "address": "host.mesh_address"})
