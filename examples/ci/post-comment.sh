#!/bin/sh
# Posts a preview as the comment of a pull request, or updates the one that stands: its first line, a marker, names it.
#   post-comment.sh github|gitlab|forgejo FILE
# Where there is no FILE, the comment says that there is no preview, in place of one of an earlier push.
# Reads TOKEN, STACK, and what the forge's runner sets; needs curl and jq. Only a comment of the token's own account is
# updated: anyone can write the marker into theirs. AUTHOR names that account where it is not the forge's usual one.
set -eu

forge=$1
file=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
umask 077
if [ ! -e "$file" ]; then
    file=$work/comment
    # The marker as fortress/cli/preview/comment.py has it.
    stack=$(printf '%.200s' "${STACK:?post-comment: there is no $2, and STACK is not set}" | tr -c 'A-Za-z0-9._/-' '?')
    # shellcheck disable=SC2016 # the backticks are Markdown
    printf '<!-- fortress preview: %s -->\n## Preview of `%s`: it could not be created\n\n%s\n' "$stack" "$stack" \
        'What this push would change is not known. The log of the preview says why.' >"$file"
fi
marker=$(head -n 1 "$file")
case $marker in
'<!-- fortress preview: '*' -->') ;;
*) echo "post-comment: $file does not begin with the marker of a preview" >&2 && exit 1 ;;
esac
: "${TOKEN:?post-comment: TOKEN is not set}"

case $forge in
github | forgejo) printf 'header = "Authorization: token %s"\n' "$TOKEN" ;;
gitlab) printf 'header = "PRIVATE-TOKEN: %s"\n' "$TOKEN" ;;
*) echo "post-comment: unknown forge $forge" >&2 && exit 1 ;;
esac >"$work/auth" # a file, so that the token stands in no command line

ask() { # METHOD URL [BODY-FILE]
    curl --config "$work/auth" --silent --show-error --fail-with-body --max-time 60 --retry 3 \
        --request "$1" ${3:+--header "Content-Type: application/json" --data-binary "@$3"} "$2"
}

case $forge in
github | forgejo)
    number=$(jq -er .pull_request.number "$GITHUB_EVENT_PATH")
    comments=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/$number/comments
    one=$GITHUB_API_URL/repos/$GITHUB_REPOSITORY/issues/comments
    change=PATCH
    if [ "$forge" = github ]; then
        author=${AUTHOR:-github-actions[bot]}
    else
        author=${AUTHOR:-forgejo-actions}
    fi
    ;;
gitlab)
    comments=$CI_API_V4_URL/projects/$CI_MERGE_REQUEST_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes
    one=$comments
    change=PUT
    author=${AUTHOR:-$(ask GET "$CI_API_V4_URL/user" | jq -er .username)}
    ;;
esac

# Forgejo gives all comments at once, the others 100 a page.
page=1
found=
while [ -z "$found" ]; do
    ask GET "$comments?per_page=100&page=$page" >"$work/page"
    found=$(jq -r --arg marker "$marker" --arg author "$author" \
        'map(select((.body | startswith($marker + "\n")) and (.user // .author | .login // .username) == $author))
         | first | .id // empty' "$work/page")
    if [ "$forge" = forgejo ] || [ "$(jq length "$work/page")" -lt 100 ]; then break; fi
    page=$((page + 1))
done

jq -Rs '{body: .}' "$file" >"$work/body"
if [ -n "$found" ]; then
    ask "$change" "$one/$found" "$work/body" >"$work/answer"
    echo "post-comment: updated comment $found"
else
    ask POST "$comments" "$work/body" >"$work/answer"
    echo "post-comment: wrote comment $(jq -r .id "$work/answer")"
fi
