#!/bin/sh
# Print the folder to put on PATH so that the engine finds `pulumi-resource-command`, or nothing when the engine finds
# the real plugin by itself: on PATH, in its plugin cache, or by a download. Only where none of these is to be had it
# is the stand-in of tests/doubles; set PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true with it, or the engine tries
# to download the plugin again and again.
set -eu

root=$(dirname "$(dirname "$(readlink -f "$0")")")
double=$root/tests/doubles/bin
version=$(sed -n 's/^pulumi-command==\([0-9.]*\).*/\1/p' "$root/requirements.in")
limit=10 # seconds for a download that may never come

say() { printf '%s\n' "plugin: $*" >&2; }

if found=$(command -v pulumi-resource-command); then
    if [ "$(readlink -f "$found")" != "$double/pulumi-resource-command" ]; then
        say "pulumi-resource-command from PATH, $found"
        exit 0
    fi
fi

cached=${PULUMI_HOME:-$HOME/.pulumi}/plugins/resource-command-v$version
if [ -x "$cached/pulumi-resource-command" ]; then
    say "pulumi-resource-command $version from the engine's cache"
    exit 0
fi

# A download that could not be had is not asked for again within a day.
refused=${XDG_CACHE_HOME:-$HOME/.cache}/data-fortress/no-command-plugin-$version
if [ -n "$(find "$refused" -mtime -1 2>/dev/null)" ]; then
    :
elif PULUMI_SKIP_UPDATE_CHECK=true timeout "$limit" \
    "$root/.venv/bin/pulumi" plugin install resource command "$version" >/dev/null 2>&1 </dev/null; then
    say "pulumi-resource-command $version, downloaded by the engine"
    exit 0
else
    mkdir -p "${refused%/*}" && touch "$refused"
fi

say "the stand-in of tests/doubles, since pulumi-resource-command $version can be had neither from PATH nor by download"
printf '%s\n' "$double"
