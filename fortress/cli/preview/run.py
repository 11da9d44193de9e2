"""`fortress preview`: the engine's preview as the comment of a pull request."""

from __future__ import annotations

import json

from fortress.cli.base.errors import CannotAskError
from fortress.cli.check import show
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.engine import run as engine
from fortress.cli.preview import comment, files, plan, registered
from fortress.cli.preview.forge import Forge

LONGEST_S = 1800.0
"""Seconds that a preview may take: it looks up in the clouds all that the settings name."""


def read(stack: str) -> plan.Plan:
    """The engine's plan, including its errors.

    Raises:
        CannotAskError: it cannot even begin: no engine, no such stack, no passphrase.
    """
    result = engine.ask("preview", "--json", "--show-sames", "--suppress-progress", stack=stack, longest_s=LONGEST_S)
    text = result.stdout
    try:
        # Plugins and hooks may have printed something before and after.
        found, _ = json.JSONDecoder().raw_decode(text, text.index("{\n"))
    except ValueError:
        if result.status == 0:
            raise CannotAskError("`pulumi preview --json` did not print JSON") from None
        if why := engine.could_not_ask(stack, result.status, result.stderr):
            raise CannotAskError(why) from None
        return plan.Plan(errors=(engine.explain(stack, result.status, result.stderr),), status=result.status)
    return plan.parse(found, result.status)


def render(stack: str, found: plan.Plan, forge: Forge, *, as_object: bool = False) -> str:
    """The comment, or the JSON object that includes it."""
    text = comment.render(stack, found, forge)
    return as_json(stack, found, text) if as_object else text


def unasked(stack: str, error: str) -> str:
    """The object for a failure before anything could be asked."""
    return show.as_json(stack, [], error, _more(plan.Plan(), ""))


def as_json(stack: str, found: plan.Plan, text: str) -> str:
    """One object for a program: what changes, what is at risk, and the comment."""
    status = Status.FAIL if found.errors else Status.OK
    check = Check(Kind.PREVIEW, "", status=status, value=found.status, limit=0, detail="; ".join(found.errors))
    return show.as_json(stack, [check], more=_more(found, text))


def _more(found: plan.Plan, text: str) -> dict[str, object]:
    seen = files.outlook(found)
    return {
        "counts": dict(found.counts),
        "risks": [
            {"name": one.name, "type": one.type, "change": one.op, "because": list(one.reasons), "risk": one.risk()}
            for one in found.risks
        ],
        "changes": [
            {
                "name": one.name,
                "type": one.type,
                "change": one.op,
                "host": one.host,
                "path": files.file_of(one) if one.is_command else "",
                "service": seen.said(one) if one.is_command and files.file_of(one) else "",
                "properties": list(one.differing),
                "because": list(one.reasons),
            }
            for one in found.changing
        ],
        "record": registered.changes(*found.registered),
        "comment": text,
    }
