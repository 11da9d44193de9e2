"""Which server of a database with copies takes writes. Runs on each database host (python3, standard library only);
what it does is in the folder roles beside it.

Every server starts read-only. Who takes writes is said by the data themselves: the newest row of _fortress.primaries
names a server, and the number of each row is greater than the last one's. The row is written by the server that hands
over, as the last transaction that it takes, or by one that is promoted; so it arrives with all that came before it.
In a Galera cluster it is written by a member of the majority too, once the server that it names is in it no more.

    database_role.py serve              the service: asks its own server and the others once in half a second, and acts
    database_role.py state              what the service knows, as JSON
    database_role.py role               the same in a word: primary, copy, or none and why it has no place now
    database_role.py join [--first]     take part: become the first primary, or a copy of the one that takes writes
    database_role.py may-restart first|last
                                        whether the settings' order of restarts is right: the primary's comes last
    database_role.py settled            wait until this server has its place again, as after a restart
    database_role.py hand-over SERVER   let another server take the writes
    database_role.py promote            take the writes, since the primary is lost
    database_role.py reseed             throw this server's data away and copy the primary's
    database_role.py saved              in a Galera cluster: what the data of a stopped member are worth, as JSON
    database_role.py begin              in a Galera cluster that lost its majority: begin it again with these data
    database_role.py leave              take part no more; the data stay

The service never lifts read_only in doubt: not while another server of the list does not answer, not where one has
transactions that are missing here, and not where two claim the same number. docs/decisions/0021 has the reasons.
"""

from __future__ import annotations

import importlib
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    # A caller whose connection is cut must not end the work half-way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # `python3 -I` looks in no folder of ours, and nothing is to be left there when the files are removed.
    sys.path.insert(0, str(Path(__file__).parent))
    sys.dont_write_bytecode = True
    importlib.import_module("roles.verbs").main(sys.argv[1:])
