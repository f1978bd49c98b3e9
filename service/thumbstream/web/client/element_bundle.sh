#!/bin/sh
# Makes element.min.js, what a page with <thumb-stream> loads: element.js and what it needs, without
# the decoder, which it imports from thumbstream.min.js, as worker.js does.
#
#   sh element_bundle.sh          writes the module
#   sh element_bundle.sh --check  exits with 1 if it would change
set -eu
cd "$(dirname "$0")"

ESBUILD=${ESBUILD:-npx --yes esbuild@0.25.10}
TERSER=${TERSER:-npx --yes terser@5.44.0}
name=element.min.js
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# shellcheck disable=SC2086 # commands with arguments
$ESBUILD element.js --bundle --minify --format=esm --target=es2022 --external:./index.js \
  --log-level=warning | sed 's|"\./index\.js"|"./thumbstream.min.js"|' >"$out/bundled.js"
# shellcheck disable=SC2086
$TERSER "$out/bundled.js" --module --ecma 2022 --compress passes=3 --mangle --output "$out/$name"

if [ "${1:-}" = --check ]; then
  cmp "$out/$name" "$name"
else
  cp "$out/$name" "$name"
fi
