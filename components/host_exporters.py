"""Metrics of a host for Prometheus: its exporters, on the tunnel only."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from fortress import activation, firewall, monitoring, wireguard

from .checking import Facts, arguments, build
from .host_file import FileToPut, fragment_file, packages, program_file, put_together, script
from .remote import Member, Target, child_options, serving


class HostExportersArgs(TypedDict):
    """What is measured, and who may ask for it."""

    host: Member
    """Where they run: a `Host`'s `member`, as the mesh gives it."""
    scrapers: Sequence[str]
    """Addresses in the mesh of those who may ask."""
    database: NotRequired[bool]
    """Whether a `DataFortress` with `monitored` is there, whose figures belong to it; no when not given."""
    waits_for: NotRequired[Sequence[pulumi.Input[str]]]
    """Endpoints of what is measured: the database's."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class HostExporters(pulumi.ComponentResource):
    """Debian's exporters of a host's figures, and of its database's: each answers those who are named, and nobody
    else."""

    ready: pulumi.Output[bool]
    """True once all of them answer."""

    def __init__(self, name: str, args: HostExportersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("HostExporters", name, HostExportersArgs, args)
        facts = build("HostExporters", name, _exporters(args))
        super().__init__("fortress:index:HostExporters", name, {}, opts)
        target: Target = {"member": args["host"], "private_key": args.get("private_key")}
        rules = [
            firewall.AcceptRule(
                port=monitoring.PORTS[each],
                comment=monitoring.UNITS[each],
                sources=facts.scrapers,
                interface=wireguard.INTERFACE,
            )
            for each in facts.names
        ]
        fragment = firewall.Fragment(title="Metrics, for those who scrape them.", rules=rules)
        login = FileToPut(
            monitoring.LOGIN_PATH,
            monitoring.login(),
            apply=activation.restart_if_enabled(monitoring.UNITS[monitoring.MYSQLD]),
            remove_apply="true",
        )
        made = put_together(
            f"{name}-files",
            serving(target, *args.get("waits_for", [])),
            [
                fragment_file("50-exporters.nft", fragment),
                program_file(monitoring.SCRIPT, monitoring.TOOL),
                *([login] if facts.database else []),
                *(_unit(each, facts.address) for each in facts.names),
                *_figures(),
            ],
            child_options(self, opts),
            # A package starts its unit everywhere, behind a firewall that lets nobody in, until the drop-in follows.
            first=[
                *([] if args["host"].get("adopt") else [script(*monitoring.free(each)) for each in facts.names]),
                packages("python3", *(monitoring.UNITS[each] for each in facts.names)),
            ],
            then=[script(*monitoring.answers(facts))],
        )
        self.ready = made.stdout.apply(lambda _: True)
        self.host = args["host"]["name"]
        """Name of its host."""
        self.facts = {each: monitoring.PORTS[each] for each in facts.names}
        """Its part of the output `fortress`, as `fortress.facts.HostFacts.exporters` has it."""
        self.register_outputs({"ready": self.ready})


def _unit(exporter: str, address: str) -> FileToPut:
    unit = monitoring.UNITS[exporter]
    return FileToPut(
        monitoring.drop_in_path(exporter),
        monitoring.drop_in(exporter, address),
        apply=activation.enable_and_restart_pushed(unit),
        # Its package stays, and would start it everywhere.
        remove_apply=f"systemctl -q disable --now {unit}; systemctl daemon-reload",
        unit=unit,
    )


def _figures() -> list[FileToPut]:
    """What writes the figures that no exporter has."""
    units = "/etc/systemd/system"
    return [
        program_file(monitoring.FIGURES_SCRIPT, monitoring.FIGURES_TOOL),
        FileToPut(
            f"{units}/{monitoring.FIGURES_UNIT}",
            monitoring.figures_service(),
            apply="systemctl daemon-reload",
            remove_apply=f"rm -f {monitoring.FIGURES_PATH}; systemctl daemon-reload",
        ),
        FileToPut(
            f"{units}/{monitoring.FIGURES_TIMER}",
            monitoring.figures_timer(),
            apply=activation.enable_and_restart_pushed(monitoring.FIGURES_TIMER),
            remove_apply=f"systemctl -q disable --now {monitoring.FIGURES_TIMER}; systemctl daemon-reload",
            unit=monitoring.FIGURES_TIMER,
        ),
    ]


def _exporters(args: HostExportersArgs) -> Facts[monitoring.Exporters]:
    values = {
        "address": args["host"]["mesh_address"],
        "scrapers": list(args["scrapers"]),
        "database": args.get("database", False),
    }
    return Facts(monitoring.Exporters, values, {"address": "host.mesh_address"})
