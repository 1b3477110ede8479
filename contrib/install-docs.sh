#!/bin/sh
# Writes the manual page and the shell completions below a prefix, as packages want them:
#   contrib/install-docs.sh /usr/local [path of the gannet binary]
set -eu
prefix=${1:?usage: install-docs.sh PREFIX [GANNET]}
gannet=${2:-gannet}
share=$prefix/share

mkdir -p "$share/man/man1" "$share/bash-completion/completions" \
	"$share/fish/vendor_completions.d" "$share/zsh/site-functions"
"$gannet" man > "$share/man/man1/gannet.1"
"$gannet" completions bash > "$share/bash-completion/completions/gannet"
"$gannet" completions fish > "$share/fish/vendor_completions.d/gannet.fish"
"$gannet" completions zsh > "$share/zsh/site-functions/_gannet"
