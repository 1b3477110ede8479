#!/bin/sh
# Installs the manual page and the shell completions below a prefix, as packages want them:
#   contrib/install-docs.sh /usr/local
set -eu
prefix=${1:?usage: install-docs.sh PREFIX}
from=$(dirname "$0")
share=$prefix/share

mkdir -p "$share/man/man1" "$share/bash-completion/completions" \
	"$share/fish/vendor_completions.d" "$share/zsh/site-functions"
cp "$from/man/gannet.1" "$share/man/man1/gannet.1"
cp "$from/completions/gannet.bash" "$share/bash-completion/completions/gannet"
cp "$from/completions/gannet.fish" "$share/fish/vendor_completions.d/gannet.fish"
cp "$from/completions/_gannet" "$share/zsh/site-functions/_gannet"
