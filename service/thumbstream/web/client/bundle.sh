#!/bin/sh
# Makes what a page loads. Each of these is all that its page needs:
#
#   thumbstream.min.js  index.js and its modules: for pages that decode
#   element.min.js      element.js and its modules, index.js among them: for pages with
#                       <thumb-stream>; worker.min.js, which its worker runs, is a few lines more
#
# and some modules are fetched only when they are needed. published.js and client.bin stay as they
# are, so other weights need no other bundle.
#
#   sh bundle.sh          writes the modules
#   sh bundle.sh --check  exits with 1 if they would change
set -eu
cd "$(dirname "$0")"

ESBUILD=${ESBUILD:-npx --yes esbuild@0.25.10}
TERSER=${TERSER:-npx --yes terser@5.44.0} # takes another 7 % off, gzipped
# Properties that modules tell each other within one bundle, and nobody else: they get short names.
# Not those of the published weights, of the API (*.d.ts), and of what is handed to a lazy module.
PRIVATE='begun|borrow|contextOf|dropPicture|etag|instead|kernels|layOut|least|paint|picture|place'
PRIVATE="$PRIVATE|plane|planeOf|reserve|shown|tint|weights|whole"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for entry in thumbstream=index element; do
  # shellcheck disable=SC2086 # commands with arguments
  $ESBUILD "${entry%=*}.min=${entry#*=}.js" --bundle --splitting --minify --format=esm \
    --target=es2022 --external:./published.js '--chunk-names=[name].min' --outdir="$out" \
    --log-level=warning
done
# shellcheck disable=SC2086
$ESBUILD worker.js --format=esm --log-level=warning >"$out/worker.min.js"
# Built modules know each other by their own names, and what is lazy stays it.
sed -i 's|"\./local\.js"|"./element.min.js"|; /plain_kernels/d; s/\(, \)\?{ plain }//' "$out/worker.min.js"
sed -i 's|"\./worker\.js"|"./worker.min.js"|g; s|"worker\.js"|"worker.min.js"|g' "$out/element.min.js"

for file in "$out"/*.js; do
  # shellcheck disable=SC2086
  $TERSER "$file" --module --ecma 2022 --mangle --format ascii_only=true --output "$file" \
    --mangle-props "regex=/^($PRIVATE)\$/" \
    --compress passes=3,pure_getters,unsafe_arrows,unsafe_methods,keep_fargs=false
  name=$(basename "$file")
  if [ "${1:-}" = --check ]; then
    cmp "$file" "$name"
  else
    cp "$file" "$name"
  fi
done
