"""Records for tests: from the settings of a stack file, and the state as it was recorded."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from fortress.cli.record import read
from fortress.settings.declare import declare
from fortress.settings.parse import parse
from fortress.sovereignty.declared import written
from fortress.sovereignty.record.build import build
from fortress.sovereignty.record.model import ProcessingRecord
from tests import recorded
from tests.unit.stack_file import ROOT, changed, lab

NOW = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
DATABASE = "\n[mariadbd]\nrequire_secure_transport = ON\n"
FIREWALL = "type filter hook input priority filter; policy drop;\n"
CLOSED = "type filter hook output priority filter; policy drop;\n"

Settings = Callable[[], dict[str, Any]]


@cache
def _recorded(stack: str) -> dict[str, Any]:
    return recorded.read(stack)


def state(stack: str, settings: Settings, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What `pulumi stack export` prints of a stack with these settings; of texts of files it has those that matter."""
    found = copy.deepcopy(_recorded(stack))
    for resource in found["deployment"]["resources"]:
        if resource["type"] == "pulumi:pulumi:Stack":
            facts = declare(parse(changed(changes or {}, settings), ROOT))
            resource["outputs"]["sovereignty"] = written(facts)
        inputs = resource.get("inputs") or {}
        if "90-fortress.cnf" in str(inputs.get("create")):
            inputs["stdin"] = DATABASE
        elif "/etc/nftables.conf" in str(inputs.get("create")):
            inputs["stdin"] = FIREWALL + (CLOSED if "::fra-" in resource["urn"] else "")
    return found


def standing(stack: str, settings: Settings, changes: Mapping[str, Any] | None = None) -> ProcessingRecord:
    """The record of such a stack, whose state is kept in a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("PULUMI_BACKEND_URL", "file:///state")
        patch.setenv("PULUMI_SKIP_UPDATE_CHECK", "true")
        patch.setenv("PULUMI_CONFIG_PASSPHRASE", "six words that dice have chosen anew")
        return read.of_text(json.dumps(state(stack, settings, changes)), stack, NOW)


def steady(record: ProcessingRecord) -> ProcessingRecord:
    """Without what differs from one version of the program to the next."""
    stamp = record.state.model_copy(update={"sha256": "0" * 64, "resources": 99})
    return record.model_copy(update={"program": "1.2.3", "state": stamp})


def planned(changes: Mapping[str, Any] | None = None, settings: Settings = lab) -> ProcessingRecord:
    """The record of settings alone."""
    return build("lab", declare(parse(changed(changes or {}, settings), ROOT)))
