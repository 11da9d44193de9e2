#!/bin/sh
# plugin.sh [STACK FILE]
#
# Print the PULUMI_HOME in which the engine finds a stand-in of tests/doubles for each provider plugin that is not to be
# had here, or nothing where all of them are. Set PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true with it, or the engine
# tries to download them again and again. A cloud that the stack file does not name is left out: the engine needs no
# plugin for it. Of one on PATH the engine would warn with each run.
#
# command: the real plugin from PATH, from the engine's cache or by a download, else the stand-in.
# openstack, aws: the real plugin from PATH only. One in the engine's cache or a download is passed over, since it is
#   there for the user's own stacks: a run in the lab must never touch a real cloud. Whoever puts one on PATH means it.
set -eu

root=$(dirname "$(dirname "$(readlink -f "$0")")")
doubles=$root/tests/doubles/bin
limit=10 # seconds for a download that may never come

pinned() { sed -n "s/^pulumi-$1==\([0-9.]*\).*/\1/p" "$root/requirements.in"; }
version=$(pinned command)
cached=${PULUMI_HOME:-$HOME/.pulumi}/plugins/resource-command-v$version

say() { printf '%s\n' "plugin: $*" >&2; }

on_path() { # name of a plugin; says where the real one is
    found=$(command -v "pulumi-resource-$1") || return 1
    [ "$(readlink -f "$found")" != "$doubles/pulumi-resource-$1" ] || return 1
    say "pulumi-resource-$1 from PATH, $found"
}

command_elsewhere() { # whether the engine gets the real command plugin without PATH
    if [ -x "$cached/pulumi-resource-command" ]; then
        say "pulumi-resource-command $version from the engine's cache"
        return 0
    fi
    # A download that could not be had is not asked for again within a day.
    refused=${XDG_CACHE_HOME:-$HOME/.cache}/data-fortress/no-command-plugin-$version
    if [ -n "$(find "$refused" -mtime -1 2>/dev/null)" ]; then
        return 1
    fi
    if PULUMI_SKIP_UPDATE_CHECK=true timeout "$limit" \
        "$root/.venv/bin/pulumi" plugin install resource command "$version" >/dev/null 2>&1 </dev/null; then
        say "pulumi-resource-command $version, downloaded by the engine"
        return 0
    fi
    mkdir -p "${refused%/*}" && touch "$refused"
    return 1
}

wanted=
if ! on_path command && ! command_elsewhere; then
    say "the stand-in of tests/doubles, since pulumi-resource-command $version is neither on PATH nor downloadable"
    wanted="command"
fi
for plugin in openstack aws; do
    if [ -n "${1-}" ] && [ -r "$1" ] && ! grep -qE "^ +$plugin:" "$1"; then
        continue
    fi
    if ! on_path "$plugin"; then
        say "the stand-in of tests/doubles for pulumi-resource-$plugin, which reaches no real cloud"
        wanted=$wanted${wanted:+-}$plugin
    fi
done

[ -n "$wanted" ] || exit 0
home=$root/.venv/stand-ins/$wanted

offer() { # TARGET NAME: put there unless it is, since other runs may be reading
    [ "$(readlink "$home/plugins/$2")" = "$1" ] || { mkdir -p "$home/plugins/${2%/*}" && ln -sfn "$1" "$home/plugins/$2"; }
}

for plugin in $(printf '%s' "$wanted" | tr - ' '); do
    offer "$doubles/pulumi-resource-$plugin" "resource-$plugin-v$(pinned "$plugin")/pulumi-resource-$plugin"
done
[ ! -x "$cached/pulumi-resource-command" ] ||
    offer "$cached/pulumi-resource-command" "resource-command-v$version/pulumi-resource-command"
printf '%s\n' "$home"
