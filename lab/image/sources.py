"""Where this machine gets Debian from, read from its own apt configuration: the lab names no mirror."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from lab.base.commands import run
from lab.base.errors import LabError

EXTENSIONS = ("", "-updates", "-security")
"""What a suite's name has after that of its release."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
OPTIONS = ("signed-by", "trusted", "check-valid-until", "check-date", "allow-insecure")
"""Options of a source that decide whether its signature is good; the others are the machine's own business."""


@dataclass(frozen=True)
class Source:
    """One suite of one archive, with the options that its signature needs."""

    uri: str
    suite: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def line(self) -> str:
        """As it stands in a sources.list."""
        options = " ".join(f"{name}={value}" for name, value in self.options)
        return f"deb {f'[{options}] ' if options else ''}{self.uri} {self.suite} main"


def _options(given: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    kept = {name.lower(): value.strip() for name, value in given if name.lower() in OPTIONS}
    if not kept.get("signed-by", "").startswith("/"):  # absent, or a key written into the file itself
        kept.pop("signed-by", None)
        if KEYRING.exists():
            kept["signed-by"] = str(KEYRING)
    return tuple(sorted(kept.items()))


def parse_list(text: str) -> list[Source]:
    """Sources in the one-line format (`deb [options] uri suite component…`) that have the component main."""
    found: list[Source] = []
    for line in text.splitlines():
        bare = line.partition("#")[0].strip()
        if not bare.startswith(("deb ", "deb\t")):
            continue
        rest, options = bare[4:].strip(), ""
        if rest.startswith("["):
            options, _, rest = rest[1:].partition("]")
        uri, suite, *components = rest.split()
        if "main" in components:
            pairs = [(name, value) for name, _, value in (word.partition("=") for word in shlex.split(options))]
            found.append(Source(uri, suite, _options(pairs)))
    return found


def parse_stanzas(text: str) -> list[Source]:
    """Sources in the deb822 format that are enabled and have the component main."""
    found: list[Source] = []
    stanzas: list[dict[str, str]] = [{}]
    field = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            stanzas.append({})
        elif line[0] in " \t":
            stanzas[-1][field] += "\n" + line.strip()
        else:
            name, _, value = line.partition(":")
            field = name.strip().lower()
            stanzas[-1][field] = value.strip()
    for stanza in stanzas:
        enabled = stanza.get("enabled", "yes").lower() not in ("no", "false", "0")
        if enabled and "deb" in stanza.get("types", "").split() and "main" in stanza.get("components", "").split():
            found += [
                Source(uri, suite, _options(stanza.items()))
                for uri in stanza.get("uris", "").split()
                for suite in stanza.get("suites", "").split()
            ]
    return found


def configured(folder: Path = Path("/etc/apt")) -> list[Source]:
    """All sources of main in an apt configuration."""
    parts = folder / "sources.list.d"
    found: list[Source] = []
    for path in [folder / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            found += parse_list(path.read_text())
    for path in sorted(parts.glob("*.sources")):
        found += parse_stanzas(path.read_text())
    return found


def suites(release: str) -> tuple[str, ...]:
    """Names of a release's suites: itself, what it corrects, and what mends its security."""
    return tuple(f"{release}{extension}" for extension in EXTENSIONS)


def debian(release: str) -> list[Source]:
    """Sources of Debian itself for a release, which need not be the one that the machine runs.

    An archive holds all supported releases side by side, and Debian's keyring the keys of all. So these are the
    machine's own sources, with the names of their suites replaced.
    Third parties use Debian's suite names too; apt knows from the signed Release files who is Debian.

    Raises:
        LabError: the machine has none.
    """
    format_ = "$(REPO_URI) $(RELEASE) $(CODENAME) $(ORIGIN)"
    targets = run(["apt-get", "indextargets", "--format", format_, "Created-By: Packages"])
    # The code name is that of the release, also where the suite is called `stable`: trixie, trixie-security.
    genuine = {
        (words[0], words[1]): words[2] for line in targets.splitlines() if (words := line.split())[3:] == ["Debian"]
    }
    found: dict[Source, None] = {}
    for source in configured():
        code_name = genuine.get((source.uri.rstrip("/") + "/", source.suite), "")
        own, dash, extension = code_name.partition("-")
        if own and f"{dash}{extension}" in EXTENSIONS:
            found[replace(source, suite=f"{release}{dash}{extension}")] = None
    if not any(source.suite == release for source in found):
        raise LabError(
            "apt on this machine has no source of Debian, which the lab's hosts run",
            f"add Debian's {release} main to /etc/apt/sources.list.d and run apt-get update",
        )
    return list(found)
