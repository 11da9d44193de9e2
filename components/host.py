"""One machine and its first contact: pinned key, push.sh, base firewall, and a tunnel interface without peers.

The machine exists, or is made on OpenStack or AWS; from its address onward nothing differs.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import NotRequired, TypedDict

import pulumi
from pulumi_command import local

from fortress import answers, firewall, push, text, wireguard
from fortress.host import HostPlan
from fortress.machine import Incarnation

from .aws_machine import AwsMachine, AwsMachineArgs
from .checking import Facts, arguments, build, check, facts_of, once_known, wrong
from .host_file import free, put
from .openstack_machine import OpenStackMachine, OpenStackMachineArgs
from .remote import Bastion, Member, Target, applied, child_options, command, question, stack_name, with_depends_on

PACKAGES = ("nftables", "wireguard-tools")
GATE_DIALS = 30
"""Attempts of the readiness gate: a machine that is booting refuses the first ones."""
FIREWALL_CONFIRM_S = 45
"""Seconds within which a new connection must succeed, or the firewall before this one comes back."""


class EgressTargetArgs(TypedDict):
    """Where a host whose egress is closed may open connections to."""

    address: NotRequired[str | None]
    """Address or range, such as 198.51.100.7/32; anywhere when not given, and then by root alone."""
    port: int
    """Its port."""
    protocol: NotRequired[str]
    """`tcp` or `udp`; tcp when not given."""
    comment: str
    """What it is needed for, in a line."""


class HostArgs(TypedDict):
    """A machine, and its place in the mesh. Exactly one of `address`, `openstack` and `aws` is given."""

    address: NotRequired[pulumi.Input[str] | None]
    """Where a machine that exists answers SSH."""
    openstack: NotRequired[OpenStackMachineArgs | None]
    """A machine to be made on OpenStack."""
    aws: NotRequired[AwsMachineArgs | None]
    """A machine to be made on AWS."""
    site: str
    """The site it stands at."""
    mesh_address: str
    """Its IPv4 address in the mesh."""
    mesh_network: str
    """The mesh's IPv4 network, such as 10.100.0.0/24."""
    operators: Sequence[pulumi.Input[str]]
    """Address ranges that may open SSH connections."""
    user: NotRequired[str]
    """Who logs in, with password-less sudo unless root; `debian` when not given."""
    port: NotRequired[int]
    """TCP port of SSH, 22 when not given."""
    mesh_port: NotRequired[int]
    """UDP port of WireGuard, 51820 when not given."""
    host_key: NotRequired[pulumi.Input[str] | None]
    """Pinned SSH host key; learnt at first contact and pinned from there on when not given."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""
    bastion: NotRequired[Bastion | None]
    """A jump host in front; `host_key` must be given then."""
    memory_mb: NotRequired[int | None]
    """Memory to size services by, in MB; the machine's own when not given."""
    incarnation: NotRequired[int]
    """Raised by one when another machine took over `address`; 1 when not given."""
    gone: NotRequired[bool]
    """The machine is lost: nothing contacts it any more, and its removal does not either."""
    firewall_tables: NotRequired[Sequence[str]]
    """nftables tables that another tool maintains on it, such as `ip nat`; any other is refused at first contact."""
    egress: NotRequired[Sequence[EgressTargetArgs] | None]
    """Where it may open connections to beyond what every host needs, so that it lets nothing else out; anywhere when
    not given. Packages, names, time and the tunnel stay open."""
    packages: NotRequired[Sequence[str]]
    """Debian packages that services on it need, installed with its own."""
    adopt: NotRequired[bool]
    """Take the machine as it is: from another stack, which must then `forget` it, and with a firewall, an HAProxy,
    databases or exporters that no stack made. Refused when not given."""


class Host(pulumi.ComponentResource):
    """A machine that other components can use: `member` is what they take."""

    address: pulumi.Output[str]
    """Where it answers SSH."""
    user: pulumi.Output[str]
    """Who logs in."""
    host_key: pulumi.Output[str]
    """Its pinned SSH host key, type and base64."""
    public_key: pulumi.Output[str]
    """Its WireGuard public key, base64. The private one never leaves the machine."""
    machine_id: pulumi.Output[str]
    """Which machine stands behind the name."""
    ram_mb: pulumi.Output[int]
    """Memory to size services by, in MB."""
    member: Member
    """The host as other components take it."""

    def __init__(self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("Host", name, HostArgs, args)
        plan = facts_of(HostPlan, args, name=name)
        check("Host", name, plan)
        _check_origin(name, args)
        super().__init__("fortress:index:Host", name, {}, opts)
        options = child_options(self, opts)
        port = args.get("port", 22)
        made, existing = _made(name, args, options), once_known("Host", name, plan, "address")
        address: pulumi.Input[str]
        machine_id: pulumi.Input[str]
        if made:
            address, machine_id = made.address, made.machine_id
        elif existing is not None:
            address, machine_id = existing, str(Incarnation(name, args.get("incarnation", 1)))
        given_key = once_known("Host", name, plan, "host_key")
        host_key = (
            pulumi.Output.from_input(given_key)
            if given_key is not None
            else _learn(f"{name}-host-key", address, port, machine_id, options, bool(args.get("gone", False)))
        )
        member: Member = {
            "name": name,
            "site": args["site"],
            "address": address,
            "port": port,
            "user": args.get("user", "debian"),
            "host_key": host_key,
            "machine_id": machine_id,
            "mesh_address": args["mesh_address"],
            "public_key": "",
            "ram_mb": 0,
            "gone": bool(args.get("gone", False)),
        }
        if bastion := args.get("bastion"):
            member["bastion"] = bastion
        if args.get("adopt"):
            member["adopt"] = True
        if made:
            member["host_urn"] = self.urn
        target: Target = {"member": member, "private_key": args.get("private_key")}

        rules = _rules(name, args, port)
        tables = args.get("firewall_tables", ())
        adopt, stack = bool(args.get("adopt", False)), stack_name()

        def first(machine: str) -> str:
            base = push.Put(
                firewall.BASE,
                machine=machine,
                resource=f"{name}-push",
                stack=stack,
                adopt=adopt,
                mode="0755",
                # A tunnel of the host's own may be the way in: nothing changes before it is known that there is none.
                check=(
                    f"{push.LIBRARY}/wireguard free {wireguard.INTERFACE}"
                    f" && {free('nftables', firewall.BASE, *tables, adopt=adopt)}"
                    f" && nft -c -f {push.PUT_FILE}"
                ),
                apply=f"{firewall.APPLY} && systemctl -q enable nftables",
                confirm_s=FIREWALL_CONFIRM_S,
            )
            return push.steps(
                push.Install(machine=machine, stack=stack, adopt=adopt),
                push.Packages(machine=machine, names=(*PACKAGES, *args.get("packages", ()))),
                base,
                # A host that is refused keeps nothing of ours; one that has files of ours keeps what they need.
                undo=push.Uninstall(machine=machine, stack=stack),
            ).render()

        def last(machine: str) -> str:
            # Stopping the unit flushes every table of the host, so only where none is left.
            closing = (
                "nft delete table inet fortress; systemctl -q disable nftables; "
                '[ -n "$(nft list ruleset)" ] || systemctl stop nftables'
            )
            return push.steps(
                push.Remove(firewall.BASE, machine=machine, resource=f"{name}-push", stack=stack, apply=closing),
                push.Uninstall(machine=machine, stack=stack),
            ).render()

        pushed = command(
            f"{name}-push",
            target,
            first,
            options,
            delete=last,
            stdin=applied(rules, lambda known: push.content(text.push_script()) + push.content(known)),
            dials=GATE_DIALS,
        )
        interface = put(
            f"{name}-wg0.conf",
            target,
            wireguard.CONFIG_PATH,
            wireguard.render_interface(
                IPv4Address(args["mesh_address"]),
                IPv4Network(args["mesh_network"]),
                args.get("mesh_port", wireguard.PORT),
            ),
            with_depends_on(options, pushed),
            mode="0600",
            apply=f"{push.LIBRARY}/wireguard reload {wireguard.INTERFACE}",
            remove_before=f"{push.LIBRARY}/wireguard end {wireguard.INTERFACE}",
            remove_apply="true",
            confirms=(firewall.BASE, rules),
        )
        key = question(
            f"{name}-key",
            target,
            lambda machine: push.for_machine(machine, *push.START_TUNNEL, wireguard.INTERFACE),
            with_depends_on(options, interface),
            given_key=given_key,
        )
        self.public_key = key.stdout.apply(lambda said: answers.public_key(name, said))
        memory = args.get("memory_mb")
        if memory is None:
            facts = question(
                f"{name}-facts",
                target,
                lambda machine: push.for_machine(machine, *push.MEMORY),
                with_depends_on(options, pushed),
                given_key=given_key,
                # A machine of another size has just restarted.
                dials=GATE_DIALS,
                # Read to its end and else of no use: another size of the same machine asks again.
                stdin=_size(args),
            )
            self.ram_mb = facts.stdout.apply(lambda said: answers.memory_mb(name, said))
        else:
            self.ram_mb = pulumi.Output.from_input(memory)
        self.address = pulumi.Output.from_input(address)
        self.user = pulumi.Output.from_input(member["user"])
        # Whoever pushes to this host uses the pinned key, and so waits until the host is prepared.
        self.host_key = pulumi.Output.all(host_key, key.stdout).apply(lambda known: str(known[0]))
        self.machine_id = pulumi.Output.from_input(machine_id)
        self.member = {
            **member,
            "host_key": self.host_key,
            "public_key": self.public_key,
            "ram_mb": self.ram_mb,
        }
        self.mesh_network = args["mesh_network"]
        """The mesh's network."""
        self.mesh_port = args.get("mesh_port", wireguard.PORT)
        """UDP port of WireGuard."""
        self.closed = args.get("egress") is not None
        """Whether it lets nothing out but what it needs."""
        self.register_outputs(
            {
                "address": self.address,
                "user": self.user,
                "host_key": self.host_key,
                "public_key": self.public_key,
                "machine_id": self.machine_id,
                "ram_mb": self.ram_mb,
                "member": self.member,
            }
        )


def _check_origin(name: str, args: HostArgs) -> None:
    """Refuse a machine of no origin, or of several.

    Raises:
        ValueError: the arguments name none, or several, or a bastion without the host's key.
    """
    given = [origin for origin in ("address", "openstack", "aws") if origin in args]
    if len(given) != 1:
        raise wrong("Host", name, "address", f"set exactly one of address, openstack and aws, not {len(given)} of them")
    if "bastion" in args and "host_key" not in args:
        raise wrong("Host", name, "host_key", "needed with a bastion, through which it cannot be learnt")


def _made(name: str, args: HostArgs, opts: pulumi.ResourceOptions) -> OpenStackMachine | AwsMachine | None:
    """The machine, where it does not exist yet."""
    openstack, aws = args.get("openstack"), args.get("aws")
    if openstack is not None:
        return OpenStackMachine(f"{name}-machine", openstack, opts)
    if aws is not None:
        return AwsMachine(f"{name}-machine", aws, opts)
    return None


def _base(args: HostArgs, operators: Sequence[str], port: int) -> Facts[firewall.Base]:
    facts = {
        "operators": list(operators),
        "ssh_port": port,
        "mesh_port": args.get("mesh_port"),
        "egress": args.get("egress"),
    }
    return Facts(firewall.Base, facts, {"ssh_port": "port"})


def _rules(name: str, args: HostArgs, port: int) -> pulumi.Input[str]:
    """The base firewall.

    Raises:
        ValueError: something is no range; at once if all are known.
    """

    def render(ranges: Sequence[str]) -> str:
        return firewall.render_base(build("Host", name, _base(args, ranges, port)))

    operators = args["operators"]
    known = [operator for operator in operators if isinstance(operator, str)]
    return render(known) if len(known) == len(operators) else pulumi.Output.all(*operators).apply(render)


def _size(args: HostArgs) -> pulumi.Input[str] | None:
    if (openstack := args.get("openstack")) is not None:
        return openstack["flavor"]
    aws = args.get("aws")
    return None if aws is None else aws.get("instance_type")


def _learn(
    name: str,
    address: pulumi.Input[str],
    port: int,
    machine_id: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    gone: bool,
) -> pulumi.Output[str]:
    """The host key, learnt once a machine and refused ever after when it changes.

    By a command on the engine's side: one over SSH would learn an impostor's key at any change of the connection.
    """
    learnt = local.Command(
        name,
        create="sh -s",
        update="sh -s",
        stdin=text.script("learn-host-key"),
        environment={"ADDRESS": address, "PORT": str(port)},
        triggers=[machine_id],
        logging=local.Logging.NONE,
        opts=pulumi.ResourceOptions.merge(
            opts,
            # A machine that is gone shows no key, and asking for one would wait for it.
            pulumi.ResourceOptions(
                ignore_changes=["create", "update", "stdin", "environment", "triggers"] if gone else None
            ),
        ),
    )
    return learnt.stdout.apply(lambda said: answers.host_key(name.removesuffix("-host-key"), said))
