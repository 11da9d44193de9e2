"""The servers of a database with copies, as each says itself: who takes the writes, who follows."""

from __future__ import annotations

import json
import shlex

from fortress import replication
from fortress.cli.base.errors import CannotAskError
from fortress.cli.hosts import ssh
from fortress.cli.hosts.visit import Tell, visit
from fortress.facts import DatabaseFacts, StackOutputs
from fortress.scripts.roles.states import ServerReport, parse_report

LOOKING_TAKES_S = 10.0

Reports = dict[str, ServerReport | str]
"""Each server's report by its host, or why there is none."""


def database_of(outputs: StackOutputs, stack: str) -> DatabaseFacts:
    """The database, which has several servers.

    Raises:
        CannotAskError: the stack has none with copies.
    """
    if outputs.database is None or not outputs.database.servers:
        raise CannotAskError(f"stack {stack} has no copies of its database: set database.mode: replica or galera")
    return outputs.database


def server_of(database: DatabaseFacts, host: str) -> str:
    """A host that is one of the servers.

    Raises:
        CannotAskError: it is none.
    """
    if host not in database.servers:
        raise CannotAskError(f"{host!r} is no server of the database; it has {', '.join(database.servers)}")
    return host


def command(session: ssh.Session, *words: str) -> str:
    """The command line of the host script."""
    return shlex.join([*session.sudo, *replication.role(*words)])


def ask(session: ssh.Session) -> ServerReport | str:
    """What one server says, or why it does not.

    Raises:
        SshError: the host does not answer.
    """
    result = session.run(command(session, "state"), takes=LOOKING_TAKES_S)
    if why := ssh.not_asked(result, session.name):
        return why
    try:
        return parse_report(json.loads(result.stdout))
    except ValueError:
        return result.stderr or f"the host printed {result.stdout!r}"


def ask_all(
    outputs: StackOutputs,
    database: DatabaseFacts,
    credentials: ssh.Credentials,
    timeout: float,
    tell: Tell = lambda _done, _total: None,
) -> Reports:
    """What each server says."""
    found: Reports = {}

    def look(name: str, session: ssh.Session) -> None:
        found[name] = ask(session)

    trouble = visit(outputs, credentials, timeout, look, hosts=list(database.servers), tell=tell)
    return {name: trouble.get(name) or found[name] for name in database.servers}
