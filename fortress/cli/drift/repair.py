"""`fortress drift --repair`: what was found is written into the state, and the engine puts it right.

The engine compares what the program wants with what its state says, and never asks a host. So the state is made to say
what was read back, as a refresh would: a preview then shows the very lines that drifted, and `pulumi up` undoes them.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fortress import push, records
from fortress.cli.base.errors import CannotAskError, printable
from fortress.cli.drift.readback import Finding
from fortress.cli.engine import run as engine
from fortress.cli.hosts import ssh
from fortress.cli.hosts.visit import visit
from fortress.facts import StackOutputs

LONGEST_PUSH_S = 600.0
"""Seconds that the engine may need to end what it began: a push that waits for a service, then the next on the list."""


class NotRepairedError(Exception):
    """Nothing, or not everything, was repaired; the text says why. Exit status 1."""


def with_findings(exported: Mapping[str, Any], findings: Iterable[Finding]) -> dict[str, Any]:
    """An exported state that says what was found in place of what was pushed.

    A secret's text is not in it, nor one with a private key: there the command carries a comment that says what
    differs, and so for all that is no file's text, mode or owner.
    """
    stack: dict[str, Any] = copy.deepcopy(dict(exported))
    by_urn = {resource["urn"]: resource for resource in stack["deployment"]["resources"]}
    for finding in findings:
        for urn in finding.urns:
            resource = by_urn.get(urn)
            if resource is None:
                raise NotRepairedError("the state changed in the meantime; nothing was written, run this again")
            for values in (resource.get("inputs"), resource.get("outputs")):
                if values:
                    _say(values, finding, urn)
            if "replacementTrigger" in resource:
                # Of a question, whose update would dial as it was recorded: it is replaced, and asked by today's login.
                resource["replacementTrigger"] = [_note(finding)]
    return stack


def _say(values: dict[str, Any], finding: Finding, urn: str) -> None:
    file = finding.file if finding.file and finding.file.urn == urn else None
    line, stdin = values.get("create"), values.get("stdin")
    if file and file.path == push.PUSH and isinstance(stdin, str) and finding.text is not None:
        values["stdin"] = finding.text
    if not isinstance(line, str):
        return
    noted = push.without_note(line)[1].split("; ")
    if file and file.by_push and isinstance(stdin, str):
        line, values["stdin"] = push.with_file(line, stdin, file.path, lambda put, sent: _found(put, sent, finding))
    # Whatever it was, the command differs now from what the program wants. Of several files it says all that differ.
    others = [each for each in noted if each and not each.startswith(f"{finding.check.name}: ")]
    values["create"] = push.with_note(line, "; ".join([*others, _note(finding)]))


def _found(put: push.Put, sent: str, finding: Finding) -> tuple[push.Put, str]:
    if finding.standing:
        _, mode, owner = finding.standing.split(",")
        if finding.file and (mode, owner) != (finding.file.mode, finding.file.owner):
            put = replace(put, mode=mode, owner=owner)
    return put, sent if finding.text is None else push.exact(finding.text)


def _note(finding: Finding) -> str:
    return printable(f"{finding.check.name}: {finding.check.value}")


def repair(
    stack: str,
    outputs: StackOutputs,
    findings: Sequence[Finding],
    readable: Mapping[str, Any],
    credentials: ssh.Credentials,
    *,
    timeout: float,
    tell: Callable[[str], None] = lambda _message: None,
) -> None:
    """Put right what can be: write what was found into the state, then bring up just those resources.

    `readable` is the state, with its secrets, that the findings were made from: where it changed since, nothing is
    written. Hosts are told first what to apply again when it is next put, which changes nothing by itself. So until the
    state is written all is as it was, and another repair does it all; from then on the next `pulumi up` does the rest,
    or another repair.

    Raises:
        NotRepairedError: a host could not be told, or the state not be written.
    """
    # If push.sh itself is put back, it cannot be asked beforehand to apply files again: another repair does that.
    without_tool = {each.check.host for each in findings if each.urns and each.file and each.file.path == push.PUSH}
    findings = [each for each in findings if not (each.renew and each.check.host in without_tool)]
    urns = sorted({urn for finding in findings for urn in finding.urns})
    if not urns:
        return
    tell("writing the differences into the state")
    exported = engine.export(stack)  # encrypted, as it is written back; older than the one that it is compared by
    if engine.export(stack, "--show-secrets") != readable:
        raise NotRepairedError("the state changed in the meantime; nothing was written, run this again")
    found = with_findings(exported, findings)
    if refused := _renew(outputs, findings, credentials, timeout):
        raise NotRepairedError(f"nothing was repaired, and the state is unchanged: {'; '.join(refused)}")
    try:
        engine.run("stack", "import", stack=stack, text=json.dumps(found))
    except engine.EngineError as error:
        raise NotRepairedError(f"the engine refused the state with the differences: {error}") from None
    tell(f"bringing {len(urns)} resources up again")
    _up(stack, urns)


def _renew(
    outputs: StackOutputs, findings: Iterable[Finding], credentials: ssh.Credentials, timeout: float
) -> list[str]:
    """Let push.sh apply these files again when they are put, though nothing in them changed."""
    paths: dict[str, set[str]] = {}
    for finding in findings:
        if finding.renew:
            paths.setdefault(finding.check.host, set()).update(finding.renew)

    refused: list[str] = []

    def renew(name: str, session: ssh.Session) -> None:
        command = shlex.join([*session.sudo, push.PUSH, "again"])
        result = session.run(command, text="".join(f"{path}\n" for path in sorted(paths[name])), takes=300.0)
        if result.status != 0:
            why = records.cure(result.stderr) or printable(result.stderr) or "its records cannot be written"
            refused.append(f"{name}: {why}")

    return [*visit(outputs, credentials, timeout, renew, hosts=paths).values(), *refused]


def _up(stack: str, urns: Iterable[str]) -> None:
    """`pulumi up` of these alone. What the engine says goes to standard error, as it comes."""
    command = [engine.find(), "up", "--stack", stack, "--yes", "--skip-preview", "--suppress-outputs"]
    command += ["--non-interactive", "--color", "never", *(word for urn in urns for word in ("--target", urn))]
    environment = {"PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            encoding="utf-8",
            errors="replace",
            process_group=engine.OWN_GROUP,
        )
    except OSError as error:
        raise CannotAskError(f"pulumi cannot be started: {error.strerror}: {command[0]}") from None
    with process:
        try:
            for line in process.stdout or ():
                # By Python's own stream, which keeps it apart from the line that shows progress.
                with contextlib.suppress(OSError):  # nobody to hear it is no reason to stop in the middle
                    print(line, end="", file=sys.stderr, flush=True)
            status = process.wait()
        except BaseException:
            engine.end(process, LONGEST_PUSH_S)
            raise
    if status != 0:
        raise NotRepairedError(f"`pulumi up` failed; the next `pulumi up --stack {stack}` completes the repair")
