"""MariaDB's facts, arithmetic and text; what a real server makes of them is tests/engine/test_mariadb_real.py."""

import dataclasses
import ipaddress
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress import mariadb
from fortress.mariadb import Access, Server, access_arguments, authority_arguments, buffer_pool_mb, render
from fortress.settings import model as settings
from tests.unit.golden import check_golden

LAB = Server(address="10.100.0.1", ram_mb=1024)


def values(text: str) -> dict[str, str]:
    """The assignments of a configuration file."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines.pop(0) == "[mariadbd]"
    assert all(re.fullmatch(r"[a-z_]+ = [^\s=]+", line) for line in lines), lines
    assignments = [line.split(" = ") for line in lines]
    assert len({name for name, _ in assignments}) == len(assignments)
    return {name: value for name, value in assignments}  # noqa: C416 - dict() of lists does not type


def test_file_of_the_lab() -> None:
    check_golden("90-fortress.cnf", render(LAB))


def test_file_where_a_copy_in_another_cloud_is_the_goal() -> None:
    server = Server(
        address="10.200.7.9",
        ram_mb=65536,
        buffer_pool_mb=40000,
        innodb_flush_log_at_trx_commit=2,
        cross_cloud_copy=True,
    )
    check_golden("90-fortress-copy.cnf", render(server))


def test_drop_in() -> None:
    check_golden("mariadb-50-fortress.conf", mariadb.wait_for_tunnel())


def test_the_articles_values() -> None:
    file = values(render(Server(address="10.100.0.1", ram_mb=64 * 1024)))
    wanted = {
        "max_connections": "1000",
        "slave_net_timeout": "60",
        "innodb_flush_log_at_trx_commit": "1",
        "innodb_buffer_pool_size": "45872M",  # 70 % of 65536 is 45875.2, and 45872 is 5734 extents of 8
        "binlog_format": "ROW",
    }
    assert wanted.items() <= file.items()
    assert "log_bin" in file


def test_only_the_tunnels_address_is_bound() -> None:
    assert values(render(LAB))["bind_address"] == "10.100.0.1"


@pytest.mark.parametrize(("ram_mb", "pool_mb"), [(512, 352), (1024, 712), (1025, 712), (2000, 1400), (65536, 45872)])
def test_buffer_pool_of_known_hosts(ram_mb: int, pool_mb: int) -> None:
    assert buffer_pool_mb(ram_mb) == pool_mb


def test_a_host_too_small_for_its_share() -> None:
    with pytest.raises(
        ValueError, match=r"^ram_mb: 256 is not enough: 70% of it is 176 MB, .* 128 to 128 MB would fit"
    ):
        Server(address="10.100.0.1", ram_mb=256)
    assert Server(address="10.100.0.1", ram_mb=256, buffer_pool_mb=128).pool_mb == 128


@given(st.integers(512, 2**24), st.integers(300, 700).map(lambda thousandths: thousandths / 1000))
def test_buffer_pool_is_the_largest_whole_one_within_its_share(ram_mb: int, share: float) -> None:
    size = buffer_pool_mb(ram_mb, share)
    exact = Fraction(str(share)) * ram_mb
    assert size % mariadb.EXTENT_MB == 0
    assert size <= exact < size + mariadb.EXTENT_MB


@given(st.integers(512, 2**24), st.integers(512, 2**24))
def test_more_ram_never_gives_a_smaller_pool(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert buffer_pool_mb(less) <= buffer_pool_mb(more)


@given(st.integers(256, 2**20), st.integers(-10, 2**20))
def test_a_chosen_buffer_pool_is_kept_or_refused(ram_mb: int, chosen: int) -> None:
    fits = 128 <= chosen <= ram_mb * 9 // 10 and chosen <= ram_mb - 128 and chosen % 8 == 0
    if fits:
        assert buffer_pool_mb(ram_mb, override_mb=chosen) == chosen
    else:
        with pytest.raises(ValueError, match=rf"^buffer_pool_mb: {chosen} is not "):
            buffer_pool_mb(ram_mb, override_mb=chosen)


def test_a_chosen_buffer_pool_that_is_not_whole_names_the_next() -> None:
    with pytest.raises(ValueError, match="1001 is not a multiple of 8 MB; the next below is 1000"):
        buffer_pool_mb(2048, override_mb=1001)


@given(st.integers(512, 2**24))
def test_redo_log_is_bounded(ram_mb: int) -> None:
    server = Server(address="10.100.0.1", ram_mb=ram_mb)
    assert 96 <= server.redo_log_mb <= 2048
    assert server.redo_log_mb <= max(96, server.pool_mb / 4)


@given(st.lists(st.ip_addresses(v=4, network="10.0.0.0/8"), min_size=2, max_size=5, unique=True))
def test_servers_of_a_mesh_have_numbers_of_their_own(addresses: list[ipaddress.IPv4Address]) -> None:
    numbers = {values(render(Server(address=str(address), ram_mb=1024)))["server_id"] for address in addresses}
    assert len(numbers) == len(addresses)
    assert all(1 <= int(number) < 2**32 for number in numbers)


def test_losing_the_last_second_needs_to_be_said() -> None:
    with pytest.raises(ValueError, match=r"innodb_flush_log_at_trx_commit: 2 .* set cross_cloud_copy: true"):
        Server(address="10.100.0.1", ram_mb=1024, innodb_flush_log_at_trx_commit=2)


HOSTILE = ("\n", '"', "'", ";", "#", " ", "\x00", "`", "\\", "$(id)", "%", "[mysqld]")


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "127.0.0.1", "::", "*", "", "10.100.0.1/24", "224.0.0.1", "10.100.0", 1]
)
def test_addresses_that_are_no_tunnel(address: str) -> None:
    with pytest.raises(ValueError, match=r"^address: "):
        Server(address=address, ram_mb=1024)
    with pytest.raises(ValueError, match=r"^address: "):
        authority_arguments(address)


@pytest.mark.parametrize("field", ["ram_mb", "buffer_pool_mb", "innodb_flush_log_at_trx_commit"])
@pytest.mark.parametrize("value", ["1024", "1\nskip_grant_tables", True, -1, 0, 2**31, 1.5, float("nan")])
def test_numbers_are_numbers(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        dataclasses.replace(LAB, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("share", ["0.7", True, 0, -0.5, 0.91, 70, float("nan"), "0.7\nskip_grant_tables", None])
def test_shares_are_shares(share: float) -> None:
    with pytest.raises(ValueError, match=r"^share: "):
        buffer_pool_mb(4096, share)


@pytest.mark.parametrize("value", ["true", 1, None])
def test_a_yes_is_a_yes(value: bool) -> None:
    with pytest.raises(ValueError, match=r"^cross_cloud_copy: "):
        dataclasses.replace(LAB, cross_cloud_copy=value)


@given(st.text() | st.sampled_from(["10.100.0.1" + bad for bad in HOSTILE]))
def test_no_text_but_an_address_reaches_the_file(address: str) -> None:
    try:
        text = render(Server(address=address, ram_mb=1024))
    except ValueError:
        return
    file = values(text)
    assert file.keys() == values(render(LAB)).keys()
    assert str(ipaddress.IPv4Address(file["bind_address"])) == address


# The application's access.

APP = Access(database="app", user="app", network="10.100.0.0/24")


def test_arguments_of_the_access_script() -> None:
    assert access_arguments(APP) == ("ensure", "app", "app", "10.100.0.0/255.255.255.0", "DELETE,INSERT,SELECT,UPDATE")
    more = dataclasses.replace(APP, privileges=("SELECT", "CREATE TEMPORARY TABLES"))
    assert access_arguments(more)[-1] == "CREATE TEMPORARY TABLES,SELECT"


def test_the_order_of_privileges_changes_nothing() -> None:
    turned = dataclasses.replace(APP, privileges=tuple(reversed(APP.privileges)))
    assert access_arguments(turned) == access_arguments(APP)


@given(st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True))
def test_names(name: str) -> None:
    reserved = {*mariadb.RESERVED_DATABASES, *mariadb.RESERVED_USERS}
    if name not in reserved:
        assert access_arguments(Access(name, name, "10.100.0.0/24"))[1:3] == (name, name)


@pytest.mark.parametrize(
    "name", ["", "App", "1app", "_app", "a" * 65, "app-1", "äpp", *("app" + bad for bad in HOSTILE), 1]
)
@pytest.mark.parametrize("field", ["database", "user"])
def test_names_that_are_none(field: str, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{field}: "):
        dataclasses.replace(APP, **{field: name})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", mariadb.RESERVED_DATABASES)
def test_databases_that_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=r"^database: "):
        dataclasses.replace(APP, database=name)


@pytest.mark.parametrize("name", mariadb.RESERVED_USERS)
def test_users_that_are_taken(name: str) -> None:
    with pytest.raises(ValueError, match=r"^user: "):
        dataclasses.replace(APP, user=name)


@pytest.mark.parametrize(
    "network", ["", "10.100.0.0", "10.100.0.1/24", "0.0.0.0/0", "10.0.0.0/7", "%", "10.100.0.0/24\n", "fd00::/64", None]
)
def test_networks_that_are_none(network: str) -> None:
    with pytest.raises(ValueError, match=r"^network: "):
        dataclasses.replace(APP, network=network)


@pytest.mark.parametrize(
    "privileges",
    [
        (),
        ("ALL PRIVILEGES",),
        ("GRANT OPTION",),
        ("FILE",),
        ("SELECT", "SUPER"),
        ("select",),
        ("SELECT ON *.* TO x; --",),
        ("SELECT", "SELECT"),
        ["SELECT"],
    ],
)
def test_privileges_that_no_application_gets(privileges: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^privileges: "):
        dataclasses.replace(APP, privileges=privileges)


def test_the_settings_defaults_are_accepted() -> None:
    """A stack that says nothing about its database gets one."""
    said = settings.Database()
    assert Access(said.name, said.user, "10.100.0.0/24", tuple(said.privileges)) == APP
    server = Server(
        address="10.100.0.1",
        ram_mb=1024,
        buffer_pool_mb=said.buffer_pool_mb,
        innodb_flush_log_at_trx_commit=said.flush_log_at_commit,
        cross_cloud_copy=said.cross_cloud_copy,
    )
    assert server == LAB


# The certificate authority.


def test_arguments_of_the_authority_script() -> None:
    assert authority_arguments("10.100.0.1") == ("ensure", "10.100.0.1")
    wanted = ("ensure", "10.100.0.1", "oslo-db", "db.fortress.example")
    assert authority_arguments("10.100.0.1", ["oslo-db", "db.fortress.example"]) == wanted


@pytest.mark.parametrize(
    "name", ["", "-db", "db-", "DB", "a..b", ".db", "db.", "*.db", "a" * 64, "--help", "db,IP:1.2.3.4", 1]
)
def test_names_that_no_certificate_gets(name: str) -> None:
    with pytest.raises(ValueError, match=r"^names: "):
        authority_arguments("10.100.0.1", [name])


@given(st.sampled_from(HOSTILE), st.integers(0, 7))
def test_hostile_names(bad: str, at: int) -> None:
    with pytest.raises(ValueError, match=r"^names: "):
        authority_arguments("10.100.0.1", ["oslo-db"[:at] + bad + "oslo-db"[at:]])
