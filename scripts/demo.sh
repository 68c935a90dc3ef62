#!/usr/bin/env bash
# Everything, in front of the reader: install, install plugins, create, append, reduce,
# export, verify, tamper, uninstall. Called by `make demo` with the directory to work in
# and the interpreter to make the environment with.
#
#   DEMO_COMMITS=N   how many commits of this repository to record (the newest; default 200)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
demo=${1:?directory to work in}
python=$(cd "$(dirname "${2:?Python interpreter}")" && pwd)/$(basename "$2")
newest=${DEMO_COMMITS:-200}

bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

chapter() { printf '\n%s── %s ──%s\n' "$bold" "$1" "$plain"; }
say() { printf '\n%s# %s%s\n' "$dim" "$1" "$plain"; }
shown() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }

# Shows a command, runs it, and insists on its exit code: run [--expect N] 'command'
run() {
    local expected=0 code=0
    if [[ $1 == --expect ]]; then
        expected=$2
        shift 2
    fi
    shown "$1"
    bash -o pipefail -c "$1" 2>&1 || code=$?
    if ((code != 0)); then
        printf '%s(exit code %d)%s\n' "$dim" "$code" "$plain"
    fi
    if ((code != expected)); then
        printf 'The demo expected exit code %d here: something is wrong.\n' "$expected" >&2
        exit 1
    fi
}

# Everything happens in the demo's directory, with nothing of the caller's environment that
# could lead plugins, keys or packages astray.
rm -rf "$demo"
mkdir -p "$demo"
cd "$demo"
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV ${!PROVARA_@}
# What is remembered of its vaults goes with them.
export XDG_STATE_HOME="$PWD/state-home"
export PIP_NO_INDEX=1 PIP_FIND_LINKS="$root/build/wheels" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
cp -R "$root/examples/acme-provara-plugins" "$root/examples/git-history-plugins" .

chapter '1. Install'
say 'A fresh virtual environment. pip takes every package from build/wheels, offline.'
shown 'python3 -m venv venv && . venv/bin/activate'
"$python" -m venv venv
# shellcheck source=/dev/null
. venv/bin/activate
hash -r
run 'pip install provara-protocol'
run 'provara --version'
say 'What pip installed is a native executable, not a Python script:'
run 'head -c 4 venv/bin/provara | od -An -c'

chapter '2. Install plugins that someone else wrote'
say 'Before: nothing is installed.'
run 'provara plugins list'
run 'pip install ./acme-provara-plugins ./git-history-plugins'
run 'provara plugins list'

chapter '3. Create a vault'
run 'provara init vault'
run 'ls vault vault/identity'

chapter "4. Append the plugins' events"
say 'By the full name of the type:'
run "provara append vault --type com.acme.audit.login --data '{\"user_id\":\"alice\",\"success\":true,\"ip_address\":\"192.168.1.1\"}'"
say "By the plugin's alias, the data typed by its schema:"
run 'provara append vault --type login --set user_id=mallory --set success=false --set ip_address=10.0.0.9'
say 'What the schema refuses never becomes evidence:'
run --expect 2 "provara append vault --type login --data '{\"user_id\":\"alice\",\"success\":true,\"ip_address\":\"192.168.1\"}'"
say 'Neither does a type that no installed plugin defines (a typo, say):'
run --expect 2 "provara append vault --type com.acme.audit.logni --data '{}'"

chapter '5. Real input: a Git history, each commit an event'
feed="python -m git_history_plugins.feed --newest $newest '$root'"
top=$(git -C "$root" rev-parse --show-toplevel 2>/dev/null || true)
if [[ -n $top && $top -ef $root ]] && bash -c "$feed" >commits.jsonl 2>feed.err; then
    total=$(git -C "$root" rev-list --count HEAD)
    found=$(wc -l <commits.jsonl)
    say "This repository's own history: the newest $((found)) of the $total commits that this clone has."
    shown "python -m git_history_plugins.feed --newest $newest .. > commits.jsonl"
else
    say 'This copy has no Git history (or there is no git): three made-up commits take its place.'
    run 'cp git-history-plugins/sample.jsonl commits.jsonl'
fi
run 'head -n 1 commits.jsonl'
say 'One append for each of them:'
shown 'while read -r commit; do provara append vault --type commit --data "$commit"; done < commits.jsonl'
total=$(wc -l <commits.jsonl)
number=0
started=$SECONDS
while IFS= read -r commit; do
    receipt=$(provara append vault --type commit --data "$commit")
    number=$((number + 1))
    # Of the receipts only the first line, and of these only some: all of them would fill pages.
    if ((number <= 3 || number == total)); then
        printf '%s\n' "${receipt%%$'\n'*}"
    elif ((number == 4)); then
        printf '…\n'
    fi
done <commits.jsonl
printf '%s(%d events in %d s, each signed, synced to the disk and sealed)%s\n' \
    "$dim" "$number" "$((SECONDS - started))" "$plain"

chapter '6. Derive'
say "The plugins' reducers:"
run 'provara reduce vault --plugin com.acme.compliance.monitor'
run 'provara reduce vault --plugin org.git.history.contributors'
say 'The built-in one:'
run 'provara reduce vault'
say "The plugins' exports:"
run 'provara export vault --format git-changelog --output CHANGES.md'
run 'head -n 8 CHANGES.md'
run 'provara export vault --format csv --output vault.csv'
run "head -n 3 vault.csv | cut -c 1-110"
say 'An export never overwrites by accident:'
run --expect 3 'provara export vault --format csv --output vault.csv'

chapter '7. Verify'
run 'provara verify vault'
say 'Somebody makes a failed login look like a success, in a copy:'
run "cp -R vault forged && sed -i.orig 's/\"success\":false/\"success\":true/' forged/events/events.ndjson && rm forged/events/events.ndjson.orig"
run --expect 1 'provara verify forged'

chapter '8. Without the plugins'
run 'pip uninstall --yes acme-provara-plugins git-history-plugins'
run 'provara plugins list'
say 'Nothing is lost: the events are plain JSON, and the vault verifies as before.'
run 'provara verify vault'
run 'tail -n 1 vault/events/events.ndjson'

printf '\n%sDone.%s Everything is in %s.\n' "$bold" "$plain" "${demo#"$root"/}"
