#!/bin/sh
# The engine on a stack of the lab, from the operator's namespace: lab/pulumi.sh up, lab/pulumi.sh preview --diff, …
# LAB_STACK names another stack than `lab`: LAB_STACK=oslo is the stack of production, on stand-ins for its clouds.
# LAB_PROJECT names another project folder than this one, for tests that change its settings.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
project=${LAB_PROJECT:-$here}
stack=${LAB_STACK:-lab}
plugins=$("$here/lab/plugin.sh" "$project/Pulumi.$stack.yaml")
[ -z "$plugins" ] || export PULUMI_HOME="$plugins" PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true
export PATH="$here/.venv/bin:$PATH" VIRTUAL_ENV="$here/.venv"
export PULUMI_SKIP_UPDATE_CHECK=true
cd "$here"

# An engine that was killed leaves its language host behind, which waits for it for ever.
for left in $(pgrep -f "^$here/\.venv/bin/pulumi-language-python " || true); do # mostly there is none
    parent=$(ps -o ppid= -p "$left" | tr -d ' ')
    [ "$(ps -o comm= -p "${parent:-1}")" = pulumi ] || kill "$left" 2>/dev/null || true # it may have ended by itself
done

# shellcheck disable=SC2016 # the inner shell expands it
exec python -m lab run -- sh -euc '
    cd "$1"; stack=$2; shift 2
    # Asking the engine for its stacks would take half a second of each run.
    state=${PULUMI_BACKEND_URL#file://}/.pulumi/stacks/$(sed -n "s/^name: *//p" Pulumi.yaml)/$stack.json
    [ -e "$state" ] || pulumi stack init "$stack" --no-select
    for file in "$state" "$state.attrs"; do
        [ ! -e "$file" ] || python3 -c "import json, sys; json.load(open(sys.argv[1]))" "$file" 2>/dev/null || {
            echo "$file cannot be read. The cure is in docs/production.md, \"A state that cannot be read\"." >&2
            break
        }
    done
    command=$1; shift
    exec pulumi "$command" --stack "$stack" "$@"
' pulumi "$project" "$stack" "$@"
