"""Variables of MariaDB that settings may set: which ones, which values, and what takes effect without a restart."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fortress import dynamic_variables
from fortress.values import matching

_ACCESS = "who may reach the server, and how, is the fortress's own"
_LOG = "copies and a restore to a point in time depend on it"
_FILES = "where its files are is the fortress's own"
_TEXT = "databases that are there were made with it"
_CODE = "it loads or runs something at the start"
FIXED: Mapping[str, str] = {
    **dict.fromkeys(("bind_address", "port", "socket", "extra_port", "skip_networking", "skip_name_resolve"), _ACCESS),
    **dict.fromkeys(("require_secure_transport", "local_infile", "secure_file_priv", "old_style_user_limits"), _ACCESS),
    **dict.fromkeys(
        ("skip_grant_tables", "old_passwords", "secure_auth", "read_only", "proxy_protocol_networks"), _ACCESS
    ),
    **dict.fromkeys(("log_bin", "binlog_format", "sync_binlog", "server_id", "relay_log", "log_slave_updates"), _LOG),
    **dict.fromkeys(("innodb_doublewrite", "innodb_force_recovery", "innodb_read_only"), "it guards what is committed"),
    **dict.fromkeys(("datadir", "basedir", "tmpdir", "pid_file", "chroot", "user", "ignore_db_dirs"), _FILES),
    **dict.fromkeys(("innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory"), _FILES),
    **dict.fromkeys(("character_set_server", "collation_server", "lower_case_table_names"), _TEXT),
    **dict.fromkeys(("init_file", "init_connect", "init_slave", "plugin_load", "plugin_load_add", "plugin_dir"), _CODE),
    "innodb_buffer_pool_size": "set database.buffer_pool_mb",
    "innodb_flush_log_at_trx_commit": "set database.flush_log_at_commit",
    "innodb_log_file_size": "it follows the buffer pool: set database.buffer_pool_mb",
}
"""Variables that the program decides, and why."""
FIXED_BEGINNINGS: Mapping[str, str] = {
    "ssl_": _ACCESS,
    "tls_": _ACCESS,
    "gtid_": _LOG,
    "rpl_semi_sync_": _LOG,
    "wsrep_": "clusters are the fortress's own",
    **dict.fromkeys(
        ("loose_", "enable_", "disable_", "maximum_", "autoset_"), "it is an option with a prefix; name the variable"
    ),
}


def _free(name: str) -> str:
    reasons = [FIXED.get(name), *(why for start, why in FIXED_BEGINNINGS.items() if name.startswith(start))]
    if why := next((each for each in reasons if each), None):
        raise ValueError(f"is decided by the program: {why}")
    return name


_TEXTS = re.compile(r"[A-Za-z0-9_.,:;=@/%+*()-]([A-Za-z0-9_.,:;=@/%+*() -]{0,998}[A-Za-z0-9_.,:;=@/%+*()-])?|")
_BARE = re.compile(r"[A-Za-z0-9_.,:/+-]+")


class _Value:
    """A number, true or false, or one line of text, kept as MariaDB's files have it."""

    means = "a number, true or false, or a text of letters, digits, spaces and _.,:;=@/%+*()-"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source, handler
        return core_schema.no_info_plain_validator_function(self._checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        del schema, handler
        return {"type": ["string", "number", "boolean"], "title": self.means}

    def _checked(self, value: Any) -> str:
        if isinstance(value, bool):
            return "ON" if value else "OFF"
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return str(value)
        if isinstance(value, str) and _TEXTS.fullmatch(value):
            return value
        raise PydanticCustomError("refused", "must be {means}", {"means": self.means})


VariableName = Annotated[
    str,
    matching(r"[a-z][a-z0-9_]{1,63}", "the name of a variable of MariaDB: lower-case letters, digits and underscores"),
    AfterValidator(_free),
]
Variables = dict[VariableName, Annotated[str, _Value()]]
"""Name to value."""


def quoted(value: str) -> str:
    """A value as an option file has it."""
    return value if _BARE.fullmatch(value) else f'"{value}"'


def assignments(config: str) -> dict[str, str]:
    """What the lines of a file set, without quotes."""
    found = {}
    for line in config.splitlines():
        name, equals, value = (part.strip() for part in line.partition("="))
        if equals and not line.lstrip().startswith(("#", "[")):
            found[name.replace("-", "_")] = value[1:-1] if value[:1] == value[-1:] == '"' else value
    return found


def changed(before: str, after: str) -> set[str]:
    """Names of the variables that two files set to different values."""
    one, other = assignments(before), assignments(after)
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def need_restart(names: Iterable[str]) -> list[str]:
    """Those that take effect with a start of the server only."""
    # A member of a cluster would join it anew.
    return sorted(name for name in set(names) if name.startswith("wsrep_") or name not in dynamic_variables.NAMES)
