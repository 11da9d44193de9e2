"""The link between the sites: the kernel's netem where it has it, else the delay line."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lab.base import cgroups, processes
from lab.base.commands import run, succeeds
from lab.base.errors import LabError
from lab.base.folders import Lab
from lab.base.topology import FRANKFURT, LINK_ENDS, OSLO, SITES
from lab.image import images
from lab.net import network

QUEUE_PACKETS = 100_000
"""Packets that netem may hold in one direction; its default of 1000 would limit the rate to 1 Gbit/s at 11 ms."""


@dataclass(frozen=True)
class LinkSettings:
    """How the link behaves: round trip in ms, loss in percent of packets each way, Mbit/s each way (0: no limit)."""

    rtt_ms: float = 22.0
    loss: float = 0.0
    rate_mbit: float = 0.0
    cut: bool = False

    def check(self) -> LinkSettings:
        """Itself.

        Raises:
            LabError: a value makes no sense.
        """
        if not 0 <= self.rtt_ms <= 20_000:
            raise LabError(f"a round trip of {self.rtt_ms:g} ms is out of range", "0 to 20000")
        if not 0 <= self.loss <= 100:
            raise LabError(f"a loss of {self.loss:g} % is out of range", "0 to 100")
        if not (self.rate_mbit == 0 or 0.01 <= self.rate_mbit <= 100_000):
            raise LabError(f"a rate of {self.rate_mbit:g} Mbit/s is out of range", "0.01 to 100000, or 0 for no limit")
        return self

    def for_delay_line(self) -> str:
        """As the delay line reads them."""
        return json.dumps(
            {
                "delay_us": round(self.rtt_ms * 1000 / 2),
                "loss": self.loss,
                "rate_bps": round(self.rate_mbit * 1e6),
                "cut": self.cut,
            }
        )

    def for_netem(self) -> list[str]:
        """As `tc` reads them; every value is named, since what is not named stays as it was."""
        return [
            *("netem", "limit", str(QUEUE_PACKETS), "delay", f"{round(self.rtt_ms * 1000 / 2)}us"),
            *("loss", f"{100 if self.cut else self.loss:g}%", "rate", f"{round(self.rate_mbit * 1e6)}bit"),
        ]


def load(lab: Lab) -> LinkSettings:
    """What the link is set to; the lab's usual when nobody changed it."""
    try:
        return LinkSettings(**json.loads(lab.link.read_text()))
    except FileNotFoundError:
        return LinkSettings()


def save(lab: Lab, settings: LinkSettings) -> None:
    """Keep the settings for the next start of the link."""
    written = lab.link.with_suffix(".new")
    written.write_text(json.dumps(asdict(settings)) + "\n")
    written.rename(lab.link)


def _socket(lab: Lab) -> Path:
    return lab.run / "link.sock"


def ask(lab: Lab, line: str = "{}") -> dict[str, Any]:
    """Send one line to the delay line and give its answer.

    Raises:
        LabError: it does not answer, or refuses.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(_socket(lab)))
            connection.sendall(line.encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile().readline())
    except (OSError, ValueError) as error:
        raise LabError(f"the delay line does not answer: {error}", "python -m lab up") from None
    if "error" in answer:
        raise LabError(f"the delay line refused: {answer['error']}")
    return answer


def standing(lab: Lab) -> str | None:
    """What carries the link: `netem`, `delay line`, or nothing."""
    if processes.alive(lab.pid_file("link")):
        return "delay line"
    netem = ["sh", "-c", "tc qdisc show dev wan | grep -q netem"]
    if all(succeeds([*network.enter(lab, site), *netem]) for site in SITES):
        return "netem"
    return None


def up(lab: Lab, netem: bool) -> None:
    """Join the sites and set the link as it was, or to the lab's usual."""
    settings = load(lab)
    down(lab)
    if netem:
        for site in SITES:
            succeeds([*network.enter(lab, site), "ip", "link", "delete", "wan"])  # what a broken start left
        peer = network.holder(lab, FRANKFURT.name).pid
        wire = f"link add wan type veth peer name wan netns {peer}\n"
        run([*network.enter(lab, OSLO.name), "ip", "-batch", "-"], text=wire)
    else:
        command = [
            *cgroups.inside(lab, "link"),
            *(str(images.delay_line()), "-socket", str(_socket(lab)), "-settings", settings.for_delay_line()),
            *("-a", str(network.holder(lab, OSLO.name).network)),
            *("-b", str(network.holder(lab, FRANKFURT.name).network)),
        ]
        _socket(lab).unlink(missing_ok=True)
        started = processes.spawn(command, lab.pid_file("link"), lab.log("link"))

        def ready() -> bool:
            if processes.look(started.pid) != started:
                raise LabError(f"the delay line ended: {lab.log('link').read_text().strip()}")
            return _socket(lab).exists()

        processes.until("the delay line", 10, ready)
    ends = {OSLO: FRANKFURT, FRANKFURT: OSLO}
    for near, far in ends.items():
        lines = [
            f"addr add {LINK_ENDS[near.name]} peer {LINK_ENDS[far.name]} dev wan",
            "link set wan mtu 1500 txqueuelen 5000 up",
            f"route add {far.network} via {LINK_ENDS[far.name]}",
        ]
        run([*network.enter(lab, near.name), "ip", "-batch", "-"], text="\n".join(lines) + "\n")
    change(lab, settings)


def change(lab: Lab, settings: LinkSettings) -> None:
    """Set the link; connections over it stand.

    Raises:
        LabError: a value makes no sense, or there is no link.
    """
    settings.check()
    if processes.alive(lab.pid_file("link")):
        ask(lab, settings.for_delay_line())
    else:
        for site in SITES:
            command = ["tc", "qdisc", "replace", "dev", "wan", "root", *settings.for_netem()]
            run([*network.enter(lab, site), *command])
    save(lab, settings)


def changed(lab: Lab, **values: float | bool | None) -> LinkSettings:
    """The link's settings with those changed that are not None."""
    return replace(load(lab), **{name: value for name, value in values.items() if value is not None})  # type: ignore[arg-type]


def down(lab: Lab) -> None:
    """Take the link away."""
    processes.end(lab.pid_file("link"))
    cgroups.kill(cgroups.of(lab, "link"))
