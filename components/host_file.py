"""One file on a host."""

import hashlib
import shlex
from collections.abc import Callable
from typing import NotRequired, TypedDict

import pulumi
from pulumi_command import remote

from fortress import firewall, push, text
from fortress.host import FileBytes, FileFacts

from .checking import Facts, arguments, build, check, facts_of, wrong
from .remote import Member, Target, applied, child_options, command, stack_name


class HostFileArgs(TypedDict):
    """What to put where. Exactly one of `content` and `binary_content` is given."""

    host: Member
    """A `Host`'s `member`."""
    path: str
    """Absolute path on the host."""
    content: NotRequired[pulumi.Input[str] | None]
    """The file's text, which lands byte for byte; or `binary_content`."""
    binary_content: NotRequired[pulumi.Input[str] | None]
    """The file in base64, for what is no text; or `content`."""
    private_key: NotRequired[pulumi.Input[str] | None]
    """SSH private key; the SSH agent's when not given."""
    mode: NotRequired[str]
    """Octal, `0644` when not given."""
    owner: NotRequired[str]
    """`user:group`, `root:root` when not given."""
    check: NotRequired[str | None]
    """Shell command that refuses a bad candidate, which it sees as "$1"."""
    apply: NotRequired[str | None]
    """Shell command that makes the file take effect."""
    unit: NotRequired[str | None]
    """systemd unit that must be active afterwards; the old file comes back if it is not."""


class HostFile(pulumi.ComponentResource):
    """A file that is written beside its target, validated, put in place by a rename and applied, or taken back."""

    path: pulumi.Output[str]
    """Where it stands."""

    def __init__(self, name: str, args: HostFileArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = arguments("HostFile", name, HostFileArgs, args)
        content, encoded = args.get("content"), args.get("binary_content")
        binary = [] if encoded is None else [Facts(FileBytes, {"binary_content": encoded})]
        check("HostFile", name, facts_of(FileFacts, args), *binary)
        given = [each for each in (content, encoded) if each is not None]
        if len(given) != 1:
            raise wrong("HostFile", name, "content", "set either content or binary_content")
        super().__init__("fortress:index:HostFile", name, {}, opts)
        pushed = put(
            f"{name}-push",
            {"member": args["host"], "private_key": args.get("private_key")},
            args["path"],
            given[0],
            child_options(self, opts),
            mode=args.get("mode", "0644"),
            owner=args.get("owner", "root:root"),
            check=args.get("check"),
            apply=args.get("apply"),
            unit=args.get("unit"),
            send=push.exact if encoded is None else lambda text: push.in_base64(_base64(name, text)),
        )
        self.path = pushed.stdout.apply(lambda _: args["path"])
        self.register_outputs({"path": self.path})


def _base64(name: str, encoded: str) -> str:
    """Base64 that was not known before.

    Raises:
        ValueError: it is none.
    """
    return build("HostFile", name, Facts(FileBytes, {"binary_content": encoded})).binary_content


def put(
    name: str,
    target: Target,
    path: str,
    content: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
    *,
    mode: str = "0644",
    owner: str = "root:root",
    check: str | None = None,
    apply: str | None = None,
    remove_before: str | None = None,
    remove_apply: str | None = None,
    unit: str | None = None,
    confirm_s: int | None = None,
    send: Callable[[str], str] = push.content,
) -> remote.Command:
    """A file as one resource, so that a preview shows its lines once. `remove_apply` is `apply` unless given.

    `send` is `push.content` for texts of whole lines, `push.exact` for what others wrote, `push.in_base64`.
    """
    stack = stack_name()
    return command(
        name,
        target,
        lambda machine: push.Put(
            path,
            machine=machine,
            resource=name,
            stack=stack,
            adopt=target["member"].get("adopt", False),
            mode=mode,
            owner=owner,
            check=check,
            apply=apply,
            unit=unit,
            confirm_s=confirm_s,
        ).render(),
        opts,
        delete=lambda machine: push.Remove(
            path, machine=machine, resource=name, stack=stack, before=remove_before, apply=remove_apply or apply
        ).render(),
        stdin=applied(content, send),
    )


def confirm(
    name: str, target: Target, path: str, content: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> remote.Command:
    """A new connection that confirms a file pushed with `confirm_s`; must depend on it."""
    sha256 = applied(content, lambda text: hashlib.sha256(text.encode()).hexdigest())
    return command(
        name,
        target,
        lambda machine: applied(sha256, lambda known: push.Confirm(path, known, machine=machine).render()),
        opts,
    )


def free(what: str, place: str, *known: str, adopt: bool) -> str:
    """Shell command that refuses a service of the host's own before anything of it changes, unless it is adopted.

    `what`, `place` and `known` are as in-force has them.
    """
    return "true" if adopt else push.in_force(f"{what}-free", shlex.join([place, *known]))


def put_script(name: str, target: Target, script: str, opts: pulumi.ResourceOptions) -> remote.Command:
    """A host script of `fortress/scripts`, in its folder on the host."""
    return put(name, target, f"{push.LIBRARY}/{script}", text.script(script), opts, mode="0755", check='sh -n "$1"')


def put_fragment(
    name: str, target: Target, file: str, fragment: firewall.Fragment, opts: pulumi.ResourceOptions
) -> remote.Command:
    """A component's part of the host's firewall, a file of /etc/nftables.d."""
    return put(
        name,
        target,
        f"{firewall.FOLDER}/{file}",
        firewall.render_fragment(fragment),
        opts,
        check='nft -c -f "$1"',
        apply=firewall.APPLY,
    )
