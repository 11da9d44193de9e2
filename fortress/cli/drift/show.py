"""How drift is shown: what differs with its diff, then the tally; one JSON object for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from fortress.cli.base.screen import Screen
from fortress.cli.check.check import Check, Status
from fortress.cli.check.show import STYLES, WORDS, envelope, tally
from fortress.cli.drift.readback import Finding, drifted

_LINES = {"-": "red", "+": "green", "@": "cyan"}


def as_json(
    stack: str, findings: Sequence[Finding], error: str | None = None, before: Sequence[Finding] | None = None
) -> str:
    """One object as `fortress verify` prints it; a check that fails has a `diff` where there are lines to compare.

    `before` is what was found before a repair; what of it differed and holds now is `mended`.
    """
    more = None if before is None else {"mended": [finding.as_json() for finding in _repaired(before, findings)]}
    return envelope(stack, [finding.as_json() for finding in findings], error, more)


def _repaired(before: Sequence[Finding], after: Sequence[Finding]) -> list[Finding]:
    """What differed and does not any more. A stranger's rule or peer that is gone is in no finding then."""
    left = {(each.check.host, each.check.name) for each in after if each.check.status is not Status.OK}
    silent = {each.check.host for each in after if each.check.status is Status.UNKNOWN}
    found = {(each.check.host, each.check.name) for each in after}
    return [
        each
        for each in before
        if each.check.status is Status.FAIL
        and (key := (each.check.host, each.check.name)) not in left
        and (key in found or each.check.host not in silent)
    ]


def as_text(
    stack: str,
    findings: Sequence[Finding],
    *,
    terminal: bool,
    width: int | None = None,
    cure: bool = False,
    before: Sequence[Finding] = (),
) -> str:
    """What differs, and the tally of all. `terminal` and `width` are as `Screen` has them.

    `cure` is whether to say what would put right how much of it; `before` what was found before a repair.
    """
    screen = Screen(terminal=terminal, width=width)
    for finding in _repaired(before, findings):
        was = finding.check
        repaired = Text(f"repaired  {_safe(f'{was.host}  {was.name}: {was.value}')}")
        repaired.stylize(STYLES[Status.OK], 0, len("repaired"))
        screen.print(repaired, soft_wrap=True)
    reasons: dict[tuple[str, str], list[Check]] = {}
    for finding in findings:
        check = finding.check
        if check.status is Status.UNKNOWN:  # a silent host leaves all that is on it unknown, for one reason
            reasons.setdefault((check.host, check.detail), []).append(check)
        elif check.status is Status.FAIL:
            detail = f" ({check.detail})" if check.detail and check.detail != check.value else ""
            screen.print(_line(check.status, f"{check.host}  {check.name}: {check.value}{detail}"), soft_wrap=True)
            for line in finding.diff:
                screen.print(Text(f"    {_safe(line)}", style=_LINES.get(line[:1], "")), soft_wrap=True)
    for (host, detail), checks in reasons.items():
        what = checks[0].name if len(checks) == 1 else f"{len(checks)} checks"
        screen.print(_line(Status.UNKNOWN, f"{host}  {what}: {detail}"), soft_wrap=True)
    screen.print(Text(f"{stack}: {tally([finding.check for finding in findings])}"))
    if cure and (curable := sum(bool(finding.urns) for finding in drifted(findings))):
        said = (
            f"`fortress drift --stack {stack} --repair` repairs {curable} of these; `pulumi up` alone would not notice"
        )
        screen.print(Text(said), soft_wrap=True)
    return screen.text()


def _line(status: Status, said: str) -> Text:
    line = Text(f"{WORDS[status]}  {_safe(said)}")
    line.stylize(STYLES[status], 0, len(WORDS[status]))
    return line


def _safe(line: str) -> str:
    """A line from elsewhere as a terminal may have it: nothing in it can move the cursor."""
    return "".join(character if character.isprintable() else "?" for character in line.expandtabs(8))
