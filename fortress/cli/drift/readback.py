"""`fortress drift`: what stands on the hosts, read back and held against what was pushed."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fortress import access, firewall, galera, haproxy, mariadb, push, records, wireguard
from fortress.cli.base.errors import GARBLED, printable
from fortress.cli.base.lines import lines
from fortress.cli.base.masking import masked
from fortress.cli.base.result import Result
from fortress.cli.check import accounts
from fortress.cli.check.check import Check, Status
from fortress.cli.check.kinds import Kind
from fortress.cli.drift.pushed import File, PushedHost
from fortress.cli.hosts import ssh
from fortress.cli.hosts.ssh import Session, not_asked
from fortress.cli.hosts.visit import Tell, visit
from fortress.facts import StackOutputs
from fortress.records import Record
from fortress.text import script
from fortress.wireguard import INTERFACE

BINLOG_CACHE = "#binlog_cache_files"
"""A folder of its own that MariaDB adds to those it ignores (seen with 11.8; 10.11 has none)."""

READING_TAKES_S = 5.0
"""Seconds that a busy host may need beside the time that an answer may take."""

_FACTS = re.compile(r"[^,]+,[^,]+,[^,]+")

_SIZES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_SWITCHES = {"0": "OFF", "1": "ON", "FALSE": "OFF", "TRUE": "ON", "NO": "OFF", "YES": "ON"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `diff` says line by line what differs.

    What repairs it: `urns` are the resources to put again, `renew` the paths of files that stand as they should but
    have to take effect once more; `text` is what was found of a file with `urn`, None where it may not be written: a
    secret, a private key in it, or another kind.
    """

    check: Check
    diff: tuple[str, ...] = ()
    urns: tuple[str, ...] = ()
    renew: tuple[str, ...] = ()
    file: File | None = field(default=None, repr=False)
    text: str | None = field(default=None, repr=False)
    standing: str | None = None
    """SHA256,MODE,OWNER:GROUP as found."""

    def as_json(self) -> dict[str, object]:
        return self.check.as_json() | ({"diff": "\n".join(self.diff) + "\n"} if self.diff else {})


@dataclass(frozen=True)
class Read:
    """What read-back says of one file."""

    standing: str | None
    recorded: str | None
    marks: frozenset[str]
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Guest:
    """A peer's file that stands as it was pushed, and not by this stack."""

    by: str
    """Name of the resource that pushed it."""
    text: str


@dataclass
class Answer:
    """What read-back printed."""

    read: list[Read] = field(default_factory=list)
    """In the order of the files that were asked for."""
    also: set[str] = field(default_factory=set)
    """Paths that stand where only pushed files do, or are recorded as pushed."""
    guests: dict[str, Guest] = field(default_factory=dict)
    """By path."""
    unread: str = ""
    """Why the host's records cannot be read."""


def look(
    outputs: StackOutputs,
    wanted: Mapping[str, PushedHost],
    credentials: ssh.Credentials,
    *,
    timeout: float,
    pending: Iterable[tuple[str, str]] = (),
    tell: Tell = lambda _done, _total: None,
) -> list[Finding]:
    """Read everything back. A host that does not answer leaves what is on it unknown; nothing raises because of one.

    `pending` are operations that the engine began and never ended, by URN.
    """
    hosts = [name for name in outputs.hosts if name in wanted]
    found: dict[str, list[Finding]] = {}
    trouble: dict[str, str] = {}
    unended = dict(pending)

    def ask(name: str, session: Session) -> None:
        files = [host.file(wireguard.peer_path(name)) for host in wanted.values()]
        told = tuple(file.urn for file in files if file)
        try:
            found[name] = list(_Visit(name, wanted[name], outputs, session, unended, told).all())
        except GARBLED:
            trouble[name] = f"{name} printed unreadable output"

    trouble |= visit(outputs, credentials, timeout, ask, hosts=hosts, tell=tell)
    for name, why in trouble.items():
        files = [Check(Kind.FILE, name, file.path) for file in wanted[name].files] or [Check(Kind.FILES, name)]
        rest = [Check(kind, name) for kind in (Kind.UNITS, Kind.FIREWALL, Kind.LIVE_PEERS)]
        found[name] = [Finding(check.unknown(why)) for check in (*files, *rest)]
    missing = [
        Finding(Check(Kind.FILES, name).unknown(f"the state has no host {name}; run `pulumi up`"))
        for name in outputs.hosts
        if name not in wanted
    ]
    return [*(each for name in hosts for each in found[name]), *missing]


@dataclass(frozen=True)
class _Visit:
    """The questions to one host."""

    name: str
    wanted: PushedHost
    outputs: StackOutputs
    session: Session
    unended: Mapping[str, str]
    told: tuple[str, ...]
    """URNs of the files by which peers know the key of its tunnel."""
    guests: dict[str, Guest] = field(default_factory=dict)
    """By path; filled when files are read, which comes first."""

    def all(self) -> Iterator[Finding]:
        yield from self._files()
        yield from self._units()
        yield from self._firewall()
        yield from self._peers()
        yield from self._variables()
        yield from self._accounts()
        yield from self._in_force()

    def _run(self, command: Sequence[str], text: str = "") -> Result:
        return self.session.run(shlex.join([*self.session.sudo, *command]), text=text, takes=READING_TAKES_S)

    def _files(self) -> Iterator[Finding]:
        lines = []
        for file in self.wanted.files:
            sha256 = file.standing.partition(",")[0]
            lines.append(f"{sha256} {'secret' if file.secret else 'plain'} {file.path}\n")
        result = self._run(["sh", "-c", script("read-back"), "read-back"], "".join(lines))
        why = not_asked(result, self.name)
        try:
            answer = answers(result.stdout, [file.path for file in self.wanted.files])
        except GARBLED:
            why = why or printable(result.stderr) or "the host's answer cannot be read"
        if why:
            yield from (Finding(Check(Kind.FILE, self.name, file.path).unknown(why)) for file in self.wanted.files)
            return
        for file, found in zip(self.wanted.files, answer.read, strict=True):
            if answer.unread and file.by_push:
                yield Finding(Check(Kind.FILE, self.name, file.path).unknown(answer.unread))
            else:
                yield self._with_what_follows(judge(file, found, self.unended.get(file.urn)))
        known = {file.path for file in self.wanted.files}
        self.guests.update({path: guest for path, guest in answer.guests.items() if path not in known})
        for path in sorted(answer.also - known):
            check = Check(Kind.FILE, self.name, printable(path), limit="not there")
            if path in self.guests:
                who = f"a peer pushed by {self.guests[path].by}, of another stack or formerly of this one"
                yield Finding(check.ok("of another stack", who))
            else:
                why = "no resource of this stack puts it there; remove it by hand"
                yield Finding(check.fail("not in the state", why))

    def _with_what_follows(self, finding: Finding) -> Finding:
        """A file with what is to run after it is put again."""
        if finding.file is None:
            return finding
        return replace(finding, urns=(*finding.urns, *self.wanted.after(finding.file)))

    def _again(self, check: Check, file: File | None, diff: tuple[str, ...] = ()) -> Finding:
        """Something that a file of the host makes, and that is to be made again."""
        if file is None or check.status is not Status.FAIL:
            return Finding(check, diff)
        return Finding(check, diff, (file.urn, *self.wanted.after(file)), (file.path,))

    def _units(self) -> Iterator[Finding]:
        owners: dict[str, File | str] = {}
        enabled = set()
        for file in self.wanted.files:
            if file.unit:
                owners[file.unit] = file
                if file.enables:
                    enabled.add(file.unit)
        for interface, urn in self.wanted.tunnels.items():
            owners[f"wg-quick@{interface}"] = urn
            enabled.add(f"wg-quick@{interface}")
        if not owners:
            return
        result = self._run(["systemctl", "show", "-p", "ActiveState", "-p", "UnitFileState", "--", *owners])
        states = [
            dict(line.split("=", 1) for line in part.splitlines() if "=" in line)
            for part in result.stdout.split("\n\n")
        ]
        for index, (unit, owner) in enumerate(owners.items()):
            check = Check(Kind.UNIT, self.name, unit, limit="active")
            state = states[index] if len(states) == len(owners) else {}
            if "ActiveState" not in state:
                yield Finding(check.unknown(result.stderr or "systemctl printed no state"))
                continue
            active, kind = state["ActiveState"], state.get("UnitFileState", "")
            said = active if kind in ("", "enabled") or unit not in enabled else f"{active}, {kind}"
            wrong = "it does not run" if active != "active" else "it does not start at boot" if said != active else ""
            check = check.judge(not wrong, said, wrong)
            if isinstance(owner, File):
                yield self._again(check, owner)
            else:
                yield Finding(check, urns=(owner,) if wrong else ())

    def _firewall(self) -> Iterator[Finding]:
        text = self.wanted.ruleset()
        if text is None:
            return
        check = Check(Kind.FIREWALL, self.name, limit="as pushed")
        # What the files say, in the kernel's own words: loaded where it touches nothing, a network of its own.
        loading = "nft -f - && nft -s list ruleset"
        should = self._run(["unshare", "-n", "sh", "-c", loading], text)
        if should.status != 0:
            yield Finding(check.unknown(not_asked(should, self.name) or should.stderr or "nft failed"))
            return
        live = self._run(["nft", "-s", "list", "ruleset"])
        if live.status != 0:
            yield Finding(check.unknown(not_asked(live, self.name) or live.stderr or "nft failed"))
            return
        tables = _tables(should.stdout)
        loaded = _tables(live.stdout)
        there = {head: body for head, body in loaded.items() if head in tables}
        diff = _diff(_joined(tables), _joined(there), "as pushed", f"live on {self.name}")
        missing = sorted(set(tables) - set(there))
        detail = f"{', '.join(missing)} is not loaded" if missing else "rules differ" if diff else ""
        check = check.judge(not diff, "differs" if diff else "as pushed", detail)
        finding = self._again(check, self.wanted.file(firewall.BASE), diff)
        yield self._unless_overruled(finding, "nftables", firewall.BASE)
        for head in sorted(set(loaded) - set(tables)):
            yield stray_table(head, loaded[head], self.name, self.outputs.limits.firewall_tables)

    def _peers(self) -> Iterator[Finding]:
        if INTERFACE not in self.wanted.tunnels:
            return
        check = Check(Kind.LIVE_PEERS, self.name, limit="as pushed")
        # The first line of a dump begins with the private key: it stays on the host.
        question = (
            f"[ -s {wireguard.KEY_PATH} ] || echo keyless; wg show {INTERFACE} dump | "
            "awk 'NR == 1 { print \"port\", $3; next } { print $1, $4, $NF }'"
            f' && echo mtu "$(cat /sys/class/net/{INTERFACE}/mtu)"'
            f" && ip -o -4 address show dev {INTERFACE} | awk '{{ print \"address\", $4 }}'"
        )
        result = self._run(["sh", "-c", question])
        if why := not_asked(result, self.name):
            yield Finding(check.unknown(why))
            return
        if result.stdout.startswith("keyless\n"):
            # Whoever knows the old key is told in the same breath: nothing gets through until then.
            lost = Check(Kind.TUNNEL_KEY, self.name, limit="there")
            why = (
                f"without {wireguard.KEY_PATH} no tunnel comes back after a restart; "
                "--repair makes another key and tells peers"
            )
            yield Finding(lost.fail("not there", why), urns=(self.wanted.tunnels[INTERFACE], *self.told))
        should = tunnel(self.wanted, [guest.text for guest in self.guests.values()])
        there = live_tunnel(result.stdout)
        diff = _diff(should, there, "as pushed", f"live on {self.name}")
        if "port " not in result.stdout:
            check = check.fail("not there", printable(result.stderr) or f"there is no interface {INTERFACE}")
            yield Finding(check, urns=(self.wanted.tunnels[INTERFACE],))
            return
        check = check.judge(not diff, "differs" if diff else "as pushed", "the tunnel differs" if diff else "")
        # The address is the interface's own, and comes back with it; all else goes in while it is up.
        moved = any(line[1:].startswith("address ") for line in diff)
        yield self._again(check, self.wanted.file(wireguard.CONFIG_PATH if moved else wireguard.MTU_PATH), diff)

    def _in_force(self) -> Iterator[Finding]:
        """What only the thing itself can say: whether a file is what it runs by, now and after its next start."""
        units = [("workload", f"/etc/systemd/system/{unit}.service") for unit in self.wanted.gates]
        for what, path in (("haproxy", haproxy.CONFIG_PATH), ("sysctl", firewall.FORWARDING), *units):
            file = self.wanted.file(path)
            if file is None:
                continue
            check = Check(Kind.IN_FORCE, self.name, path, limit="in force")
            result = self._ask(what, path)
            if (why := not_asked(result, self.name)) or result.status not in (0, 1, push.OVERRULED):
                yield Finding(check.unknown(why or printable(result.stderr) or "its answer cannot be read"))
            elif result.status == push.OVERRULED:
                # Nothing is promised: another push of the file would change nothing.
                yield Finding(check.fail("overruled", printable(result.stderr)))
            else:
                wrong = result.status == 1
                check = check.judge(not wrong, "not in force" if wrong else "in force", printable(result.stderr))
                yield self._again(check, file)

    def _ask(self, what: str, path: str) -> Result:
        return self._run(["sh", "-c", script(push.IN_FORCE), push.IN_FORCE, what, path])

    def _unless_overruled(self, finding: Finding, what: str, path: str) -> Finding:
        """A finding; where something else on the host overrules the file behind it, without a promise to repair it."""
        result = self._ask(what, path)
        if result.status != push.OVERRULED:
            return finding
        return Finding(finding.check.fail("overruled", printable(result.stderr)), finding.diff)

    def _variables(self) -> Iterator[Finding]:
        file = self.wanted.file(mariadb.CONFIG_PATH)
        if file is None:
            return
        check = Check(Kind.DATABASE_VARIABLES, self.name, limit="as pushed")
        words = ["mariadb", "--batch", "--skip-column-names", "--execute", "show global variables"]
        result = self._run(words)
        if result.status != 0:
            yield Finding(check.unknown(not_asked(result, self.name) or result.stderr or "mariadb failed"))
            return
        diff = variables(file.text, result.stdout)
        if diff and self._ask("mariadb", mariadb.CONFIG_PATH).status == 0:
            diff = ()  # the server has other words for the same values
        wrong = [line.split()[1] for line in diff if line.startswith("+ ")]
        check = check.judge(
            not diff, "differ" if diff else "as pushed", f"set by hand: {', '.join(wrong)}" if diff else ""
        )
        yield self._unless_overruled(self._again(check, file, diff), "mariadb", mariadb.CONFIG_PATH)

    def _accounts(self) -> Iterator[Finding]:
        if self.wanted.file(access.PATH) is None:
            return
        check = Check(Kind.DATABASE_ACCOUNTS, self.name, limit="as set")
        result = self._run(accounts.QUESTION)
        if why := not_asked(result, self.name):
            yield Finding(check.unknown(why))
            return
        check, differing = accounts.judge(check, result)
        urns = tuple(self.wanted.accounts) if differing else ()
        yield Finding(check, tuple(f"+ {each}" for each in differing), urns)


def answers(text: str, paths: Sequence[str]) -> Answer:
    """What read-back printed of these files.

    Raises:
        ValueError: anything else.
    """
    stood: list[Read] = []
    found: dict[str, Record] = {}
    texts: dict[str, str] = {}
    answer = Answer()
    for line in text.removesuffix("\n").split("\n") if text else ():  # other ends of lines may stand in a path
        kind, _, rest = line.partition(" ")
        match kind:
            case "file":
                standing, marks, encoded = (None if word == "-" else word for word in rest.split(" "))
                if standing is not None and not _FACTS.fullmatch(standing):
                    raise ValueError(f"not SHA256,MODE,OWNER:GROUP: {standing!r}")
                content = _decoded(encoded) if encoded else None
                stood.append(Read(standing, None, frozenset((marks or "").split(",")) - {"file"}, content))
            case "record":
                told = records.parse(rest)
                found[told.path] = told
            case "also":
                answer.also.add(rest)
            case "guest":
                encoded, _, path = rest.partition(" ")
                texts[path] = _decoded(encoded)
            case "unread":
                answer.unread = records.cure(rest) or printable(rest) or "its records cannot be read"
            case _:
                raise ValueError(f"not an answer: {line!r}")
    for path, read in zip(paths, stood, strict=True):
        if record := found.get(path):
            read = replace(read, recorded=record.applied, marks=read.marks | record.marks | {"path"})
        answer.read.append(read)
    answer.also |= set(found)
    answer.guests |= {path: Guest(by, content) for path, content in texts.items() if (by := found[path].by)}
    return answer


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="surrogateescape")
    except binascii.Error:
        raise ValueError("not base64") from None


def judge(file: File, read: Read, unended: str | None = None) -> Finding:
    """One file: as pushed, edited by hand, or left by a push that did not end.

    push.sh writes `applied` last and keeps `old` until then, so a file that is not what `applied` says was touched by
    somebody else, and one without `applied` by a push that was cut.
    """
    check = Check(Kind.FILE, file.host, file.path, limit="as pushed")
    wanted = file.standing
    unfinished = (
        file.by_push
        and "path" in read.marks
        and (read.recorded is None or bool(read.marks & {"old", "old.none", "confirm"}))
    )
    if read.marks & {"link", "other"}:
        what = "a symbolic link" if "link" in read.marks else "a folder or something else that is not a file"
        return Finding(
            check.fail("edited by hand", f"{what} is in its place, which no push replaces; remove it by hand")
        )
    if file.noted:
        found = check.fail("not repaired yet", f"it was found {file.noted}; the next `pulumi up` repairs it")
        return _repaired_by(found, file, read)
    if read.standing == wanted:
        if unended:
            return _repaired_by(
                check.fail("unfinished push", f"the engine began its {unended} and never finished it"), file, read
            )
        if unfinished:
            why = "nobody confirmed it" if "confirm" in read.marks else "it was put in place, but perhaps not applied"
            return _repaired_by(check.fail("unfinished push", why), file, read)
        if file.by_push and "path" not in read.marks:
            return _repaired_by(
                check.fail("no record", "the file is there, but the host has no record of its push"), file, read
            )
        if file.by_push and read.recorded != wanted:
            return _repaired_by(check.fail("another push", "its record on the host is of a different text"), file, read)
        return Finding(check.ok("as pushed"))
    how = _how(file, read)
    if unended or unfinished:
        value, detail = "unfinished push", f"a push was interrupted: {how}"
    elif file.by_push and read.standing and read.recorded == read.standing:
        value, detail = "another push", f"pushed, but not by this state: {how}"
    elif read.standing is None and not file.by_push:
        value, detail = "missing", how
    elif read.standing is None:
        value, detail = ("removed by hand" if "path" in read.marks else "never pushed"), how
    else:
        value, detail = "edited by hand", how
    diff: tuple[str, ...] = ()
    if read.text is not None:
        diff = _diff(file.text, read.text, "as pushed", f"on {file.host}")
    elif read.standing is None and not file.secret:
        diff = _diff(file.text, "", "as pushed", f"on {file.host}")
    return _repaired_by(check.fail(value, detail), file, read, diff)


def _repaired_by(check: Check, file: File, read: Read, diff: tuple[str, ...] = ()) -> Finding:
    text = "" if read.standing is None and not file.secret else read.text
    if text is not None and masked(text) != text:
        text = None
    # Where the record says that all is well, push.sh would do nothing; elsewhere it acts of itself.
    renew = (file.path,) if file.by_push and read.recorded == read.standing == file.standing else ()
    return Finding(check, diff, (file.urn,), renew, file, text, read.standing)


def _how(file: File, read: Read) -> str:
    """In which respects a file differs, without a word of its text."""
    if read.standing is None:
        return "it is not there"
    said = []
    for kind, should, is_now in zip(
        ("text", "mode", "owner"), file.standing.split(","), read.standing.split(","), strict=True
    ):
        if should != is_now:
            differs = "the secret in it differs" if file.secret else "its text differs"
            said.append(differs if kind == "text" else f"{kind} {is_now} instead of {should}")
    return ", ".join(said)


def _diff(should: str, found: str, before: str, after: str) -> tuple[str, ...]:
    if push.is_binary(should):
        return (f"--- {before}", f"+++ {after}", "  it is no text; its bytes differ")
    found = found.encode(errors="surrogateescape").decode(errors="replace")
    differing = difflib.unified_diff(_lines(should), _lines(found), before, after, lineterm="", n=2)
    return tuple(line.partition("\n")[0] for line in differing)


def _lines(text: str) -> list[str]:
    """Its lines as they may be shown; behind a line feed each as it is, so that what is masked differs all the same."""
    return [f"{shown}\n{line}" for shown, line in zip(lines(masked(text)), lines(text), strict=True)]


def stray_table(head: str, body: str, host: str, others: Collection[str]) -> Finding:
    """A table that no push loaded: pushes leave it alone, whatever it lets in, drops or rewrites before their own.

    `others` are those that another tool keeps, each as family and name.
    """
    table = head.removeprefix("table ")
    check = Check(Kind.FIREWALL_TABLE, host, printable(table), limit="not there")
    if table in others:
        return Finding(check.ok("of another tool", "verify.firewall_tables names it"))
    why = (
        f"no resource of this stack loads it; if it is another tool's, add '{table}' to verify.firewall_tables and "
        f"`pulumi up`; otherwise delete it: {shlex.join(['nft', 'delete', *head.split()])}"
    )
    return Finding(check.fail("not pushed", why), _diff("", body, "as pushed", f"live on {host}"))


def _tables(ruleset: str) -> dict[str, str]:
    """What `nft list ruleset` prints, by the words that name each table: table FAMILY NAME."""
    text = re.sub(r"^#.*\n", "", ruleset, flags=re.MULTILINE)  # it warns of what iptables made
    parts = re.split(r"^(?=table )", text, flags=re.MULTILINE)
    return {" ".join(part.split()[:3]): part for part in parts if part.startswith("table ")}


def _joined(tables: Mapping[str, str]) -> str:
    return "".join(tables[head] for head in sorted(tables))


def tunnel(wanted: PushedHost, guests: Iterable[str] = ()) -> str:
    """Address, port, MTU and peers as the pushed files say, those of this stack and of `guests`, a line each."""
    own = wanted.file(wireguard.CONFIG_PATH)
    mtu = wanted.file(wireguard.MTU_PATH)
    texts = [*(file.text for file in wanted.under(wireguard.PARTS_FOLDER, ".conf")), *guests]
    lines = [f"peer {_peer(text)}" for text in texts if text]
    for key, name in (("Address", "address"), ("ListenPort", "port")):
        if own and (value := _value(own.text, key)):
            lines.append(f"{name} {value}")
    if mtu and (number := _value(mtu.text, "mtu")):
        lines.append(f"mtu {number}")
    return "".join(f"{line}\n" for line in sorted(lines))


def _peer(text: str) -> str:
    ranges = ",".join(sorted((_value(text, "AllowedIPs") or "").replace(" ", "").split(",")))
    return f"{_value(text, 'PublicKey')} {ranges} keepalive {_value(text, 'PersistentKeepalive') or 'off'}"


def _value(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    return found[1] if found else None


def live_tunnel(text: str) -> str:
    """The same lines as `tunnel`, from what the interface says of itself."""
    lines = []
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["address"], ["port"], ["mtu"]):
            lines.append(line)
        elif len(words) == 3:
            lines.append(f"peer {words[0]} {','.join(sorted(words[1].split(',')))} keepalive {words[2]}")
    return "".join(f"{line}\n" for line in sorted(lines))


def variables(config: str, shown: str) -> tuple[str, ...]:
    """Settings of MariaDB's file that its server does not have, each as a line that goes and one that came."""
    live = dict(line.partition("\t")[::2] for line in shown.splitlines())
    diff = []
    for line in config.splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or line.lstrip().startswith(("#", "[")):
            continue
        found = live.get(key.replace("-", "_"))
        # log_bin takes a name, and says ON.
        value = value[1:-1] if value[:1] == value[-1:] == '"' else value
        if found is None or _same(value, found) or (key == "log_bin" and found == "ON"):
            continue
        if key == "optimizer_switch" and set(value.split(",")) <= set(found.split(",")):
            continue  # the server shows all of them
        if key == "ignore_db_dirs" and found == f"{value},{BINLOG_CACHE}":
            continue
        if key == "wsrep_sst_auth":
            continue  # a member shows no login
        if key == "wsrep_provider_options":
            # It shows all that Galera has.
            all_shown = galera.read_options(found)
            wanted = galera.read_options(value)
            value, found = (
                "; ".join(f"{name}={given[name]}" for name in wanted if wanted[name] != all_shown.get(name))
                for given in (wanted, {**dict.fromkeys(wanted, ""), **all_shown})
            )
            if not value:
                continue
        diff += [f"- {key} = {value}", f"+ {key} = {found}"]
    return tuple(diff)


def _same(one: str, other: str) -> bool:
    return _normal(one) == _normal(other)


def _normal(value: str) -> str:
    if size := re.fullmatch(r"(\d+)([KMGT])", value.upper()):
        return str(int(size[1]) * _SIZES[size[2]])
    if re.fullmatch(r"-?\d+\.\d+", value):  # with as many places as the server likes
        return f"{float(value):g}"
    return _SWITCHES.get(value.upper(), value)


def drifted(findings: Iterable[Finding]) -> list[Finding]:
    """Those that differ."""
    return [finding for finding in findings if finding.check.status is Status.FAIL]
