"""A client's way to a database of several servers: a proxy on its own host, which leads to the one that takes the
writes."""

from collections.abc import Mapping

import pulumi

from fortress import activation, haproxy, push, replication

from .host_file import free, put
from .remote import Target, command, with_depends_on


def put_listener(
    name: str,
    target: Target,
    late: Target,
    servers: Mapping[str, str],
    ca_pem: pulumi.Input[str],
    options: pulumi.ResourceOptions,
) -> pulumi.Resource:
    """HAProxy at `mariadb.CLIENT_ADDRESS`; the last of its resources. `late` waits for the database too."""
    drop_in = put(
        f"{name}-database-sandbox",
        target,
        haproxy.DROP_IN_PATH,
        haproxy.drop_in(),
        options,
        check=free("haproxy", haproxy.CONFIG_PATH, adopt=target["member"].get("adopt", False)),
        apply="systemctl daemon-reload",
    )
    packages = command(
        f"{name}-database-packages",
        target,
        lambda machine: push.Packages(machine=machine, names=replication.CLIENT_PACKAGES).render(),
        with_depends_on(options, drop_in),
    )
    trusted = put(
        f"{name}-database-authorities",
        late,
        replication.CA_PATH,
        ca_pem,
        with_depends_on(options, packages),
        apply=activation.reload_if_enabled("haproxy"),
        remove_apply="true",
    )
    return put(
        f"{name}-database-listener",
        late,
        haproxy.CONFIG_PATH,
        replication.render_client(dict(servers)),
        with_depends_on(options, trusted),
        check=f"{push.in_force('haproxy-next', haproxy.CONFIG_PATH)} && haproxy -c -f {push.PUT_FILE}",
        apply=f"{activation.enable_and_reload('haproxy')} && {push.in_force('haproxy', push.PUT_FILE)}",
        remove_apply="systemctl -q disable --now haproxy",
        unit="haproxy",
    )
