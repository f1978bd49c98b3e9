#!/bin/sh
# Builds kernels.wasm from kernels.c and wraps it as kernels_wasm.js. The same compiler gives the
# same bytes: clang 19.1.7 with wasm-ld 19.1.7 made those that are published.
#
#   sh build.sh          writes both files
#   sh build.sh --check  exits with 1 if they would change
set -eu
cd "$(dirname "$0")"

CLANG=${CLANG:-clang-19}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

"$CLANG" --target=wasm32 -msimd128 -Os -mllvm -disable-lsr -ffreestanding -nostdlib -std=c11 \
  -Wall -Wextra -Werror -fuse-ld=lld \
  -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=0 -Wl,--initial-memory=65536 \
  -o "$out/kernels.wasm" kernels.c
{
  echo '/** kernels.wasm, made of kernels.c by build.sh. */'
  printf 'export const WASM =\n  "'
  # Each byte as the character 40 above it, so that most are printable: packed, that is a fifth
  # smaller than base64.
  od -An -v -tu1 "$out/kernels.wasm" | tr -s ' ' '\n' | awk '
    $1 != "" {
      code = ($1 + 40) % 256
      if (code == 34 || code == 92) printf "\\%c", code
      else if (code > 31 && code < 127) printf "%c", code
      else printf "\\x%02x", code
    }'
  echo '";'
} >"$out/kernels_wasm.js"

for name in kernels.wasm kernels_wasm.js; do
  if [ "${1:-}" = --check ]; then
    cmp "$out/$name" "$name"
  else
    cp "$out/$name" "$name"
  fi
done
