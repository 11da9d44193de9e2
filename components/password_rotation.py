"""The end of passwords that were changed, once all that log in with them have the new ones."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi

from fortress import push

from .checking import arguments
from .remote import Member, Target, child_options, command, serving, version


class PasswordRotationArgs(TypedDict):
    """Of one database server."""

    host: Member
    """Where it runs: a `Host`'s `member`."""
    accounts: pulumi.Input[str]
    """A `DataFortress`'s `accounts`, which has `old_passwords: overlap`."""
    waits_for: NotRequired[Sequence[pulumi.Input[str]]]
    """Endpoints of all that log in there: workers'."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""


class PasswordRotation(pulumi.ComponentResource):
    """Ends the password before the last change of each account of a database."""

    ready: pulumi.Output[bool]
    """True once each account has one password."""

    def __init__(self, name: str, args: PasswordRotationArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("PasswordRotation", name, PasswordRotationArgs, args)
        super().__init__("fortress:index:PasswordRotation", name, {}, opts)
        target: Target = {"member": args["host"], "private_key": args.get("private_key")}
        ended = command(
            f"{name}-ended",
            serving(target, *args.get("waits_for", [])),
            lambda machine: push.for_machine(machine, *push.RETIRE_PASSWORDS),
            child_options(self, opts),
            # The command does not read it: each look at the accounts is followed by another one.
            stdin=pulumi.Output.from_input(args["accounts"]).apply(lambda said: version("passwords", said)),
        )
        self.ready = ended.stdout.apply(lambda _: True)
        self.register_outputs({"ready": self.ready})
