"""What the tests of both clouds' components share: what is looked at in each, and ranges of operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_network
from typing import Any

import pulumi
import pulumi_aws
import pulumi_openstack
from hypothesis import strategies as st
from pulumi_command import local

from tests.components.engine import said
from tests.doubles.pulumi_mocks import Registration, Run, holds_unknown, plain, run, secret_paths

OPERATORS = ["192.0.2.10/32", "198.51.100.0/24", "2001:db8::/64"]

# Ranges of any width but the whole world; few enough that they cannot be the whole world together.
RANGES = st.ip_addresses().flatmap(
    lambda address: st.integers(4, address.max_prefixlen).map(
        lambda length: str(ip_network(f"{address}/{length}", strict=False))
    )
)
OPERATOR_LISTS = st.lists(RANGES, min_size=1, max_size=6)


def run_in_cloud(
    make: Callable[[pulumi.ResourceOptions], Mapping[str, Any]],
    *,
    preview: bool = False,
    gated: bool = False,
) -> Run:
    """Run a program that makes a component of a cloud with the options given: explicit providers, and with `gated`
    something that it waits for."""

    def program() -> Mapping[str, Any]:
        providers = [
            pulumi_openstack.Provider("openstack", auth_url="https://cloud.example/v3", region="NO-Oslo-1"),
            pulumi_aws.Provider("aws", region="eu-central-1"),
        ]
        gate = [local.Command("gate", create="true")] if gated else None
        return make(pulumi.ResourceOptions(providers=providers, depends_on=gate))

    return run(program, preview=preview, stdout=said)


def inputs(resources: Mapping[str, Registration]) -> dict[str, Any]:
    """Exactly what each was made with."""
    return {name: plain(dict(found.inputs)) for name, found in resources.items()}


def types(resources: Mapping[str, Registration]) -> dict[str, str]:
    """What each is."""
    return {name: found.type for name, found in resources.items()}


def unknown(resources: Mapping[str, Registration]) -> dict[str, set[str]]:
    """The inputs with anything unknown in them, of each that has some."""
    found = {
        name: {key for key, value in one.inputs.items() if holds_unknown(value)} for name, one in resources.items()
    }
    return {name: keys for name, keys in found.items() if keys}


def check_children(done: Run, parent: str, provider: str, **special: Mapping[str, Any]) -> None:
    """What holds for each child in a cloud but where `special` says otherwise, by name with `-` as `_`."""
    assert done.below(parent) == done.children(parent), "children of a component are its own"
    for name, found in done.children(parent).items():
        looked_at = {
            "provider": found.provider,
            "protect": found.protect,
            "delete_before_replace": found.delete_before_replace,
            "replace_on_changes": found.replace_on_changes,
            "ignore_changes": found.ignore_changes,
            "retain_on_delete": found.retain_on_delete,
        }
        usual: dict[str, Any] = {
            "provider": provider,
            "protect": False,
            "delete_before_replace": False,
            "replace_on_changes": (),
            "ignore_changes": (),
            "retain_on_delete": False,
        }
        assert looked_at == {**usual, **special.get(name.replace("-", "_").replace(".", "_"), {})}, name
        assert secret_paths(found.inputs) == set(), name
