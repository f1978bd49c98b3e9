#!/bin/sh
# Builds thumbhash.min.js, which the pages compare with, from the npm package thumbhash.
#
#   sh bundle.sh          writes the module
#   sh bundle.sh --check  exits with 1 if it would change
set -eu
cd "$(dirname "$0")"

ESBUILD=${ESBUILD:-npx --yes esbuild@0.25.10}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

npm install --silent --no-audit --no-fund --prefix "$out" thumbhash@0.1.1
echo 'export { rgbaToThumbHash, thumbHashToRGBA } from "thumbhash";' >"$out/entry.js"
# shellcheck disable=SC2086 # a command with arguments
$ESBUILD "$out/entry.js" --bundle --minify --format=esm --target=es2022 --log-level=warning \
  --banner:js="/*! thumbhash 0.1.1, MIT License: see thumbhash.LICENSE */" \
  --outfile="$out/thumbhash.min.js"

if [ "${1:-}" = --check ]; then
  cmp "$out/thumbhash.min.js" thumbhash.min.js
else
  cp "$out/thumbhash.min.js" thumbhash.min.js
fi
