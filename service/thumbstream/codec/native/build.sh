#!/bin/sh
# Builds loops-linux-x86_64.so and loops-linux-aarch64.so from loops.c and lapped.c. The same
# compiler produces the same bytes: clang 19.1.7 with lld 19.1.7 built the committed files.
#
#   sh build.sh          writes both files
#   sh build.sh --check  exits with 1 if they would change
set -eu
cd "$(dirname "$0")"

CLANG=${CLANG:-clang-19}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

for machine in x86_64 aarch64; do
  name=loops-linux-$machine.so
  # -z defs: a call of libc would need another library for each libc.
  "$CLANG" --target=$machine-unknown-linux-gnu -O3 -ffreestanding -fno-builtin -nostdlib -std=c11 \
    -fPIC -shared -Wall -Wextra -Werror -fuse-ld=lld \
    -Wl,-z,defs -Wl,--strip-all -Wl,--build-id=none -Wl,-soname,"$name" \
    -o "$out/$name" loops.c lapped.c
  chmod 644 "$out/$name"
  if [ "${1:-}" = --check ]; then
    cmp "$out/$name" "$name"
  else
    cp "$out/$name" "$name"
  fi
done
