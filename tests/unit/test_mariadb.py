"""MariaDB's facts, arithmetic and text; what a real server makes of them is tests/engine/test_mariadb_real.py."""

import ipaddress
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fortress import mariadb
from fortress.mariadb import Authority, BufferPool, Server, authority_arguments, render
from fortress.settings import model as settings
from tests.unit.facts import changed_facts, refusal_of
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


def test_file_of_one_of_several_servers() -> None:
    text = render(changed_facts(LAB, copies=True))
    check_golden("90-fortress-replica.cnf", text)
    single, several = values(render(LAB)), values(text)
    assert {name: value for name, value in several.items() if name in single} == single
    # Which half of semi-sync is on is the role's, and so is read_only: they are set on the server that runs.
    assert not {"read_only", "rpl_semi_sync_master_enabled"} & set(several)


def test_drop_in() -> None:
    check_golden("mariadb-50-fortress.conf", mariadb.drop_in())


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
    assert BufferPool(ram_mb=ram_mb).pool_mb == pool_mb


def test_a_host_too_small_for_its_share() -> None:
    (line,) = refusal_of(lambda: Server(address="10.100.0.1", ram_mb=256))
    assert re.match(r"ram_mb: 256 is not enough: 70% of it is 176 MB, .* 128 to 128 MB would fit", line)
    assert Server(address="10.100.0.1", ram_mb=256, buffer_pool_mb=128).pool_mb == 128


@given(st.integers(512, 2**24), st.integers(300, 700).map(lambda thousandths: thousandths / 1000))
def test_buffer_pool_is_the_largest_whole_one_within_its_share(ram_mb: int, share: float) -> None:
    size = BufferPool(ram_mb=ram_mb, share=share).pool_mb
    exact = Fraction(str(share)) * ram_mb
    assert size % mariadb.EXTENT_MB == 0
    assert size <= exact < size + mariadb.EXTENT_MB


@given(st.integers(512, 2**24), st.integers(512, 2**24))
def test_more_ram_never_gives_a_smaller_pool(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert BufferPool(ram_mb=less).pool_mb <= BufferPool(ram_mb=more).pool_mb


@given(st.integers(256, 2**20), st.integers(-10, 2**20))
def test_a_chosen_buffer_pool_is_kept_or_refused(ram_mb: int, chosen: int) -> None:
    fits = 128 <= chosen <= ram_mb * 9 // 10 and chosen <= ram_mb - 128 and chosen % 8 == 0
    if fits:
        assert BufferPool(ram_mb=ram_mb, buffer_pool_mb=chosen).pool_mb == chosen
    else:
        lines = refusal_of(lambda: BufferPool(ram_mb=ram_mb, buffer_pool_mb=chosen))
        assert lines
        assert all(line.startswith(f"buffer_pool_mb: {chosen} must be ") for line in lines)


def test_a_chosen_buffer_pool_that_is_not_whole_names_the_next() -> None:
    lines = refusal_of(lambda: BufferPool(ram_mb=2048, buffer_pool_mb=1001))
    assert lines == ["buffer_pool_mb: 1001 must be a multiple of 8; the next below is 1000"]


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
    (line,) = refusal_of(lambda: Server(address="10.100.0.1", ram_mb=1024, innodb_flush_log_at_trx_commit=2))
    assert re.match(r"innodb_flush_log_at_trx_commit: 2 .* set cross_cloud_copy: true", line)


HOSTILE = ("\n", '"', "'", ";", "#", " ", "\x00", "`", "\\", "$(id)", "%", "[mysqld]")


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "127.0.0.1", "::", "*", "", "10.100.0.1/24", "224.0.0.1", "10.100.0", 1]
)
def test_addresses_that_are_no_tunnel(address: str) -> None:
    for make in (lambda: Server(address=address, ram_mb=1024), lambda: Authority(address=address)):
        (line,) = refusal_of(make)
        assert line.startswith("address: ")


@pytest.mark.parametrize("field", ["ram_mb", "buffer_pool_mb", "innodb_flush_log_at_trx_commit"])
@pytest.mark.parametrize("value", ["1024", "1\nskip_grant_tables", True, -1, 0, 2**31, 1.5, float("nan")])
def test_numbers_are_numbers(field: str, value: object) -> None:
    (line,) = refusal_of(lambda: changed_facts(LAB, **{field: value}))
    assert line.startswith(f"{field}: ")


@pytest.mark.parametrize("share", ["0.7", True, 0, -0.5, 0.91, 70, float("nan"), "0.7\nskip_grant_tables", None])
def test_shares_are_shares(share: float) -> None:
    (line,) = refusal_of(lambda: BufferPool(ram_mb=4096, share=share))
    assert line.startswith("share: ")


@pytest.mark.parametrize("value", ["true", 1, None])
def test_a_yes_is_a_yes(value: bool) -> None:
    (line,) = refusal_of(lambda: changed_facts(LAB, cross_cloud_copy=value))
    assert line.startswith("cross_cloud_copy: ")


@given(st.text() | st.sampled_from(["10.100.0.1" + bad for bad in HOSTILE]))
def test_no_text_but_an_address_reaches_the_file(address: str) -> None:
    try:
        text = render(Server(address=address, ram_mb=1024))
    except ValueError:
        return
    file = values(text)
    assert file.keys() == values(render(LAB)).keys()
    assert str(ipaddress.IPv4Address(file["bind_address"])) == address


def test_the_settings_defaults_are_accepted() -> None:
    """A stack that says nothing about its database gets one."""
    said = settings.DatabaseSettings()
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
    assert authority_arguments(Authority(address="10.100.0.1")) == ("ensure", "10.100.0.1")
    wanted = ("ensure", "10.100.0.1", "oslo-db", "db.fortress.example")
    named = Authority(address="10.100.0.1", names=("oslo-db", "db.fortress.example"))
    assert authority_arguments(named) == wanted


@pytest.mark.parametrize(
    "name", ["", "-db", "db-", "DB", "a..b", ".db", "db.", "*.db", "a" * 64, "--help", "db,IP:1.2.3.4", 1]
)
def test_names_that_no_certificate_gets(name: str) -> None:
    (line,) = refusal_of(lambda: Authority(address="10.100.0.1", names=(name,)))
    assert line.startswith("names[0]: ")


@given(st.sampled_from(HOSTILE), st.integers(0, 7))
def test_hostile_names(bad: str, at: int) -> None:
    name = "oslo-db"[:at] + bad + "oslo-db"[at:]
    (line,) = refusal_of(lambda: Authority(address="10.100.0.1", names=(name,)))
    assert line.startswith("names[0]: ")
