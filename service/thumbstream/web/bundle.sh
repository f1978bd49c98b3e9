#!/bin/sh
# Builds the scripts of the pages, so that each is one request: landing.min.js and gallery.min.js.
#
#   sh bundle.sh          writes them
#   sh bundle.sh --check  exits with 1 if they would change
set -eu
cd "$(dirname "$0")"

ESBUILD=${ESBUILD:-npx --yes esbuild@0.25.10}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for name in landing gallery; do
  # shellcheck disable=SC2086 # a command with arguments
  $ESBUILD "$name.js" --bundle --minify --format=esm --target=es2022 --log-level=warning \
    --outfile="$out/$name.min.js"
  if [ "${1:-}" = --check ]; then
    cmp "$out/$name.min.js" "$name.min.js"
  else
    cp "$out/$name.min.js" "$name.min.js"
  fi
done
