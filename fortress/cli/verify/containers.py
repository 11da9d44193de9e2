"""Whether a container or bucket answers who has no login: asked from where the command runs, and judged."""

from __future__ import annotations

from collections.abc import Mapping

from fortress.cli.check.check import Check
from fortress.cli.check.kinds import Kind
from fortress.cli.verify import outside
from fortress.cli.verify.outside import SilentError, WrongAnswerError
from fortress.facts import StackOutputs

Answers = Mapping[str, int | WrongAnswerError | SilentError]
"""Name to HTTP status, or to why there is none."""

HOST = "the object store"
BACKUPS = "the backups"


def addresses(outputs: StackOutputs) -> dict[str, str]:
    """Name to address of all that are known: those in `verify.containers`, and the bucket of the backups."""
    kept = outputs.database and outputs.database.backup
    return {**({BACKUPS: kept.url} if kept and kept.url else {}), **outputs.limits.containers}


def ask(outputs: StackOutputs, timeout: float) -> Answers:
    """What each says to a list of its objects, `timeout` in seconds for each."""
    found: dict[str, int | WrongAnswerError | SilentError] = {}
    for name, address in addresses(outputs).items():
        try:
            found[name] = outside.anonymous(address, timeout)
        except (WrongAnswerError, SilentError) as error:
            found[name] = error
    return found


def judge(outputs: StackOutputs, answers: Answers) -> list[Check]:
    """Only a refusal for want of a login is well. What else is said may be of a proxy, or of another place."""
    return [
        _one(Check(Kind.ANONYMOUS, HOST, name, limit="refused"), address, answers.get(name))
        for name, address in addresses(outputs).items()
    ]


def _one(check: Check, address: str, answer: int | WrongAnswerError | SilentError | None) -> Check:
    if not isinstance(answer, int):
        return check.unknown(f"{address}: {answer or 'was not asked'}")
    if answer in (401, 403):
        return check.ok("refused", f"{answer} from {address}")
    if 200 <= answer < 300:
        cure = "take its access list or policy away: `openstack container show`, `aws s3api get-bucket-acl`"
        return check.fail("readable", f"{answer} from {address}: anybody lists it; {cure}")
    return check.unknown(f"{answer} from {address}, which is no refusal: is it the container's address?")
