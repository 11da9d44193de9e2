"""Backups of the standing fortress, by SFTP to a host of another site, and what a person does with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab import api
from lab.base.topology import host
from tests.lab.backups import FIRST_RUN_S, wait_until_stored
from tests.lab.fortress import PREFIX, Fortress, Settings, on, one_more_host
from tests.lab.verbs import asked, drift

VAULT = "fra-3"


@contextmanager
def vault(fortress: Fortress) -> Iterator[None]:
    """A host that keeps backups, set in the stack file; its key is made for it."""
    with one_more_host(VAULT):
        on(VAULT, "install -d -o ops /srv/vault")
        on(VAULT, "ssh-keygen -q -t ed25519 -N '' -f /root/own && cat /root/own.pub >>/home/ops/.ssh/authorized_keys")
        key = on(VAULT, "cat /root/own") + "\n"
        host_key = " ".join(on(VAULT, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])

        def backed_up(settings: Settings) -> None:
            settings["sites"]["vault"] = {**settings["sites"]["oslo"], "operator": "Another operator"}
            register = settings["sovereignty"]
            register["operators"]["Another operator"] = register["operators"][settings["sites"]["oslo"]["operator"]]
            register["data_sets"]["customers"]["backups_at"] = ["vault"]
            sftp = {"address": str(host(VAULT).address), "user": "ops", "path": "/srv/vault", "host_key": host_key}
            settings["database"]["backup"] = {"site": "vault", "sftp": sftp, "ship_every_s": 5}

        with fortress.changed(backed_up):
            for name, text in (("backup_password", "a key for the lab's backups"), ("backup_sftp_key", key)):
                fortress.engine("config", "set", "--secret", f"{PREFIX}{name}", "--", text)
            yield


def rows() -> str:
    return on("oslo-db", "mariadb --batch --skip-column-names app -e 'select group_concat(id order by id) from kept'")


def sql(text: str) -> None:
    on("oslo-db", f'mariadb app -e "{text}"')


def spoil(table: str) -> None:
    """Overwrite a part of every page of a table, as a disk does that breaks."""
    on(
        "oslo-db",
        f"systemctl stop mariadb; cd /var/lib/mysql/app; pages=$(($(stat -c %s {table}.ibd) / 16384)); page=3; "
        "while [ $page -lt $pages ]; do printf spoilt | "
        f"dd of={table}.ibd bs=1 seek=$((page * 16384 + 200)) conv=notrunc status=none; page=$((page + 1)); done; "
        "systemctl start mariadb",
    )


def test_a_fortress_is_backed_up_and_restored_to_a_second(fortress: Fortress) -> None:
    with vault(fortress):
        said = fortress.up()
        assert "db-backup.timer" in said
        began = time.monotonic()
        while (done := fortress.command("verify", "--stack", "lab")).returncode:  # the first run reads back, and drills
            assert time.monotonic() - began < FIRST_RUN_S, done.stdout
        assert "recovery point" in done.stdout
        drift(fortress, 0)

        sql("create table kept (id int primary key); insert into kept values (1), (2)")
        wait_until_stored(fortress, time.time())
        then = float(int(time.time()) + 1)
        wait_until_stored(fortress, then + 1)
        sql("delete from kept; insert into kept values (3)")
        wait_until_stored(fortress, time.time())
        taken = asked(fortress, "backup", "now")
        assert taken["bytes"] > 0
        assert [each["at"] for each in asked(fortress, "backups")["backups"]][-1] == taken["at"]

        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
        done = fortress.command("restore", "--stack", "lab", "--at", moment)
        assert (done.returncode, rows()) == (1, "3")
        assert "--overwrite" in done.stderr
        restored = asked(fortress, "restore", "--at", moment, "--overwrite", "--yes")
        assert rows() == "1,2"
        assert {each["table"]: each["rows"] for each in restored["tables"]}["app.kept"] == 2
        # The application comes in as before, and the next backup is taken by itself.
        began = time.monotonic()
        while (done := fortress.command("verify", "--stack", "lab")).returncode:
            assert time.monotonic() - began < FIRST_RUN_S, done.stdout

        # A table that the disk has spoilt, from copies: all that was committed, and the server stands on it.
        wait_until_stored(fortress, time.time())
        spoil("kept")
        done = api.console("oslo-db", "mariadb app -e 'select * from kept'")
        assert done.returncode, "InnoDB reads no page whose checksum is wrong"
        done = fortress.command("backup", "now", "--stack", "lab", timeout=240)
        assert done.returncode == 1, "nor does a backup take it along"
        restored = asked(fortress, "restore", "--overwrite", "--yes")
        assert rows() == "1,2"
        assert on("oslo-db", "mariadb-check --silent app") == ""
        sql("drop table kept")

        # A target that goes away is a failed check, and says why.
        api.kill(VAULT)
        done = fortress.command("backups", "--stack", "lab")
        assert done.returncode == 1
        assert "does not answer" in done.stderr
        api.start(VAULT)
    left = "/etc/fortress/backup* /var/lib/fortress-backup /etc/systemd/system/fortress-backup*"
    assert on("oslo-db", f"ls -d {left} || :") == ""
    assert "fortress-backup" not in on("oslo-db", "systemctl list-units --all --plain 'fortress-backup*'")
