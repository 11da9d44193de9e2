#!/bin/sh
# The fortress command from the operator's namespace of the lab, for what needs the engine and its plugins too:
# lab/fortress.sh drift --stack lab --repair
# LAB_PROJECT names another project folder than this one, as for lab/pulumi.sh.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
project=${LAB_PROJECT:-$here}
stack=""
before=""
for word in "$@"; do
    case $before in --stack | -s) stack=$word ;; esac
    case $word in --stack=*) stack=${word#*=} ;; esac
    before=$word
done
plugins=$("$here/lab/plugin.sh" "${stack:+$project/Pulumi.$stack.yaml}" 2>/dev/null)
[ -z "$plugins" ] || export PULUMI_HOME="$plugins" PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
export PATH="$here/.venv/bin:$PATH" VIRTUAL_ENV="$here/.venv"
cd "$here"
exec python -m lab run -- env -C "$project" fortress "$@"
