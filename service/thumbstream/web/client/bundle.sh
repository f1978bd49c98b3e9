#!/bin/sh
# Makes what a page loads: thumbstream.min.js, and two modules that it fetches only when it needs
# them. published.js and client.bin stay as they are, so other weights need no other bundle.
#
#   sh bundle.sh          writes the modules
#   sh bundle.sh --check  exits with 1 if they would change
set -eu
cd "$(dirname "$0")"

ESBUILD=${ESBUILD:-npx --yes esbuild@0.25.10}
TERSER=${TERSER:-npx --yes terser@5.44.0} # takes another 7 % off, gzipped
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# shellcheck disable=SC2086 # commands with arguments
$ESBUILD thumbstream.min=index.js --bundle --splitting --minify --format=esm --target=es2022 \
  --external:./published.js '--chunk-names=[name].min' --outdir="$out" --log-level=warning

for file in "$out"/*.js; do
  # shellcheck disable=SC2086
  $TERSER "$file" --module --ecma 2022 --compress passes=3 --mangle --output "$file"
  name=$(basename "$file")
  if [ "${1:-}" = --check ]; then
    cmp "$file" "$name"
  else
    cp "$file" "$name"
  fi
done
