"""What a push does to the service behind a file: the commands that do it, and the same told from their text alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

from fortress import push


class Effect(IntEnum):
    """What happens to a service, the gentlest first."""

    UNTOUCHED = 0
    TAKES = 1
    """New values, while it runs."""
    RELOADS = 2
    STARTS = 3
    RESTARTS = 4
    STOPS = 5
    UNKNOWN = 6


WORDS = {
    Effect.UNTOUCHED: "is not touched",
    Effect.TAKES: "takes new values without a restart",
    Effect.RELOADS: "reloads",
    Effect.STARTS: "starts",
    Effect.RESTARTS: "restarts",
    Effect.STOPS: "stops",
    Effect.UNKNOWN: "unknown",
}


@dataclass(frozen=True)
class Activation:
    """What becomes of which service; `service` is empty where there is none, or none that can be told."""

    effect: Effect
    service: str = ""

    def __str__(self) -> str:
        if self.effect is Effect.UNTOUCHED and not self.service:
            return "no service is touched"
        return f"{self.service} {WORDS[self.effect]}".strip()


_CHANGED = "/run/fortress-changed-"
"""What begins the path of a mark: that a unit has to restart, since what it reads is another. See wait-healthy."""


def restart_if_enabled(unit: str) -> str:
    """Restarts a unit that is to run. Whether it does so just now says nothing: it may have failed."""
    return f"{_another_chance(unit)}; if systemctl -q is-enabled {unit}; then systemctl restart {unit}; fi"


def reload_if_enabled(unit: str) -> str:
    """Lets a unit that is to run read its files again, or starts it."""
    return f"{_another_chance(unit)}; if systemctl -q is-enabled {unit}; then systemctl reload-or-restart {unit}; fi"


def enable(unit: str) -> str:
    """From now on the unit runs after a boot. To be followed by && alone.

    To enable one that is enabled takes a second, in which systemd reads all units three times.
    """
    return f"systemctl -q is-enabled {unit} || systemctl -q enable {unit}"


def enable_and_restart(unit: str) -> str:
    """From now on the unit runs, also after a boot, and with what its files say."""
    return f"{_another_chance(unit)}; {enable(unit)} && systemctl restart {unit}"


def live_or_restart(unit: str) -> str:
    """The same of MariaDB, which is given what it takes while it runs, and restarted where that is not all."""
    return f"if {push.MARIADB_LIVE} {push.PUT_FILE}; then true; else {enable_and_restart(unit)}; fi"


def enable_and_reload(unit: str) -> str:
    """The same for a unit that can reload."""
    return f"{_another_chance(unit)}; {enable(unit)} && systemctl reload-or-restart {unit}"


def enable_and_restart_gated(unit: str) -> str:
    """The same for a unit whose own file is pushed, and that has a health gate.

    What that file says of boots may have changed, so it is enabled again.
    """
    started = f"systemctl -q enable {unit} && systemctl restart {unit} && rm -f {_CHANGED}{unit}"
    return f"{_another_chance(unit)}; systemctl daemon-reload && {started}"


def enable_and_restart_pushed(unit: str) -> str:
    """The same for a unit whose own file is pushed. What that file says of boots may have changed."""
    return f"{_another_chance(unit)}; systemctl daemon-reload && systemctl -q enable {unit} && systemctl restart {unit}"


def restart_at_the_gate(unit: str) -> str:
    """Leaves the restart to the unit's health gate, which restarts it once, however many files have changed."""
    return f"touch {_CHANGED}{unit}"


def _another_chance(unit: str) -> str:
    """Systemd starts no unit that failed too often, however good its files are by now, until this is said."""
    return f"systemctl reset-failed {unit} 2>/dev/null"


def gated_unit(apply: str) -> str | None:
    """The unit whose health gate makes a file take effect, by the file's command; None where the command does."""
    unit = apply.removeprefix(f"touch {_CHANGED}")
    return unit if unit != apply else None


_SEPARATORS = re.compile(r"&&|\|\||;|\n")
_KEYWORDS = re.compile(r"^(?:if|then|else|elif)\s+|^(?:then|else|fi)$")
_QUESTIONS = re.compile(r"^(?:!\s*)?(?:\[ .* \]|systemctl(?: -q)? is-(?:active|enabled|failed)\b.*|true|:)$")
_SYSTEMCTL = re.compile(r"^systemctl((?:\s+-\S+)*)\s+([a-z-]+)((?:\s+\S+)*)$")
_VERBS = {
    "reload": Effect.RELOADS,
    "reload-or-restart": Effect.RELOADS,
    "try-reload-or-restart": Effect.RELOADS,
    "restart": Effect.RESTARTS,
    "try-restart": Effect.RESTARTS,
    "start": Effect.RESTARTS,
    "stop": Effect.STOPS,
    "enable": Effect.UNTOUCHED,
    "reset-failed": Effect.UNTOUCHED,
    "daemon-reload": Effect.UNTOUCHED,
}


def of_command(command: str | None) -> Activation:
    """What a command that puts or removes a file does to a service; UNKNOWN wherever its text does not say.

    `reload-or-restart` counts as a reload: every service here that is given it can reload.
    """
    pushed = push.parse(command or "")
    if isinstance(pushed, push.Install | push.Uninstall):
        return Activation(Effect.UNTOUCHED)
    if not isinstance(pushed, push.Push):
        return Activation(Effect.UNKNOWN)
    unit = pushed.unit if isinstance(pushed, push.Put) else None
    found = [_of_part(part) for part in _parts(pushed.apply or "")]
    worst = max(found, key=lambda activation: activation.effect, default=Activation(Effect.UNTOUCHED))
    service = worst.service or unit or next((one.service for one in found if one.service), "")
    return Activation(worst.effect, "" if worst.effect is Effect.UNKNOWN and not unit else service)


_LEAVE_SERVICES = (
    push.READY,
    push.MEMORY[:2],  # older versions read it from standard input
    push.script("haproxy-drain"),
    push.HEALTH_GATE,
    push.script("edge-answers"),
    push.ENSURE_ACCESS,
    push.RETIRE_PASSWORDS,
    push.script("database-backup", "init"),
)
"""Words that begin what looks, waits or grants."""


def leaves_services(command: str) -> bool:
    """Whether a command that is no push of a file is one of those that look, wait or grant, and touch no service."""
    match push.parse(command):
        case push.Confirm():
            return True
        case push.Run() as run:
            return any(run.begins(words) for words in _LEAVE_SERVICES)
        case push.Steps(steps=steps):
            return all(leaves_services(step.render()) for step in steps)
    return False


def _parts(script: str) -> list[str]:
    """The commands of a shell line, in order, without the words around them."""
    parts = []
    for part in _SEPARATORS.split(script):
        bare = part.strip()
        while (stripped := _KEYWORDS.sub("", bare, count=1).strip()) != bare:
            bare = stripped
        if bare:
            parts.append(bare)
    return parts


def _of_part(part: str) -> Activation:
    if _QUESTIONS.match(part):
        return Activation(Effect.UNTOUCHED)
    if part.startswith(("nft -f ", "nft delete table ")):
        return Activation(Effect.RELOADS, "nftables")
    if unit := gated_unit(part):
        return Activation(Effect.RESTARTS, unit)
    if part.startswith(f"rm -f {_CHANGED}"):
        return Activation(Effect.UNTOUCHED)
    if part.startswith((f"{push.LIBRARY}/{push.IN_FORCE} ", f"{push.MARIADB_LIVE} ")):
        return Activation(Effect.UNTOUCHED)
    if part.startswith("sysctl "):
        return Activation(Effect.RELOADS, "sysctl")
    words = part.split()
    if words[0].endswith("/wireguard") and len(words) == 3:
        # A changed address alone makes `reload` restart the interface; no setting changes one that stands.
        return Activation(Effect.RELOADS if words[1] in ("sync", "reload") else Effect.UNKNOWN, words[2])
    found = _SYSTEMCTL.match(part)
    if found is None:
        return Activation(Effect.UNKNOWN)
    flags, verb, names = found[1].split(), found[2], found[3].split()
    service = " ".join(name for name in names if not name.startswith("-") and ">" not in name)
    if verb == "disable":
        now = "--now" in [*flags, *names]
        return Activation(Effect.STOPS if now else Effect.UNTOUCHED, service)
    return Activation(_VERBS.get(verb, Effect.UNKNOWN), service)
