#!/bin/sh
# Builds the modules that a page loads:
#
#   thumbstream.min.js  index.js and its modules, for pages that decode
#   element.min.js      element.js and its modules, index.js among them, for pages with
#                       <thumb-stream>; its worker runs the few lines of worker.min.js
#
# Rarely needed modules are built separately, and fetched when they are needed.
# model_colors.generated.js and client.bin are not part of a bundle: other weights need no new one.
#
#   sh bundle.sh          writes the modules
#   sh bundle.sh --check  exits with 1 if they would change
set -eu
cd "$(dirname "$0")"

ESBUILD=${ESBUILD:-npx --yes esbuild@0.25.10}
TERSER=${TERSER:-npx --yes terser@5.44.0} # saves another 7 %, gzipped
# Properties that only these modules use: they get short names. Not those of client.bin and of the
# API (*.d.ts).
PRIVATE='absoluteURL|activate|allocate|bias|channels|checkResponse|createContext|etag|fallbackSlot'
PRIVATE="$PRIVATE|fillColor|freeAfter|groupIndex|isComplete|kernels|lastValue|layOut|meanColor"
PRIVATE="$PRIVATE|minimum|pad|paint|paintedBytes|parseHeader|picture|plane|preview|probability"
PRIVATE="$PRIVATE|readPrefixes|removePicture|reserve|showPicture|shuffle|storeFloats|streamRatio"
PRIVATE="$PRIVATE|weights"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

echo '{}' >"$out/names.json" # the same short names in all modules
for entry in thumbstream=index element; do
  # shellcheck disable=SC2086 # commands with arguments
  $ESBUILD "${entry%=*}.min=${entry#*=}.js" --bundle --splitting --minify --format=esm \
    --target=es2022 --external:./model_colors.generated.js '--chunk-names=[name].min' \
    "--mangle-props=^($PRIVATE)\$" "--mangle-cache=$out/names.json" --outdir="$out" \
    --log-level=warning
done
# shellcheck disable=SC2086
$ESBUILD worker.js --format=esm --log-level=warning >"$out/worker.min.js"
# The built modules import each other under their built names.
sed -i 's|{ decodeLocally as decode } from "\./decode_local\.js"|{ decode } from "./element.min.js"|
  /plain_kernels/d; s/\(, \)\?{ plain }//' "$out/worker.min.js"
sed -i 's|"\./worker\.js"|"./worker.min.js"|g; s|"worker\.js"|"worker.min.js"|g' "$out/element.min.js"

for file in "$out"/*.js; do
  # shellcheck disable=SC2086
  $TERSER "$file" --module --ecma 2022 --mangle --format ascii_only=true --output "$file" \
    --compress passes=3,pure_getters,unsafe,unsafe_arrows,unsafe_methods,keep_fargs=false
  name=$(basename "$file")
  if [ "${1:-}" = --check ]; then
    cmp "$file" "$name"
  else
    cp "$file" "$name"
  fi
done
