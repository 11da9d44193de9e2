"""Whom the machines of the drawing answer to, and what they keep: from the register, if the stack exports one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fortress.cli.base.errors import CannotAskError
from fortress.cli.engine import outputs as stack_outputs
from fortress.sovereignty.declared import Declared
from fortress.values import DataClass

UNDECLARED = "UNDECLARED"
GRAVEST: tuple[DataClass, ...] = ("personal", "pseudonymised", "ciphertext", "none")


@dataclass(frozen=True)
class Custody:
    """What the register has of sites, hosts and flows. Empty for a stack without one."""

    parents: Mapping[str, str] = field(default_factory=dict)
    """By site the country of the operator's ultimate parent, in two letters, or UNDECLARED."""
    kept: Mapping[str, DataClass] = field(default_factory=dict)
    """By host what somebody who reads its disk has, unless that is nothing."""
    passing: Mapping[tuple[str, str], DataClass] = field(default_factory=dict)
    """By source and destination, hosts, the gravest class of the registered flows between them."""
    reached: Mapping[str, DataClass] = field(default_factory=dict)
    """By site the gravest class of the registered flows from and to it."""


NO_REGISTER = Custody()


def custody(exported: Mapping[str, Any], stack: str) -> Custody:
    """What the state has; nothing where the program exports no register, or one of another version."""
    try:
        declared = stack_outputs.declared_of_state(exported, stack)
    except CannotAskError:
        return NO_REGISTER
    return of_register(declared)


def of_register(declared: Declared) -> Custody:
    """The same from the stack's output."""
    register = declared.entries
    if register is None:
        return NO_REGISTER
    operators = {name: register.operators.get(site.operator) for name, site in declared.sites.items()}
    passing: dict[tuple[str, str], list[DataClass]] = {}
    for flow in declared.flows:
        ends = [declared.hosts[end] for end in (flow.source, flow.destination)]
        for entry in register.flows.values():
            if (
                (entry.port, entry.protocol) == (flow.port, flow.protocol)
                and entry.source in (ends[0].setting, ends[0].site)
                and entry.destination in (ends[1].setting, ends[1].site)
            ):
                passing.setdefault((flow.source, flow.destination), []).append(entry.data_class)
    reached: dict[str, list[DataClass]] = {}
    for pair, classes in passing.items():
        for end in pair:
            reached.setdefault(declared.hosts[end].site, []).extend(classes)
    return Custody(
        {name: (operator and operator.parent_country) or UNDECLARED for name, operator in operators.items()},
        {name: host.data_class for name, host in declared.hosts.items() if host.data_class != "none"},
        {ends: _gravest(found) for ends, found in passing.items()},
        {site: _gravest(found) for site, found in reached.items()},
    )


def _gravest(found: list[DataClass]) -> DataClass:
    return min(found, key=GRAVEST.index)
