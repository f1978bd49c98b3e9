/* Inner loops of the codec: the compiled twins of Python functions of the same names.
 *
 * Freestanding C: the functions call nothing, allocate nothing and keep no state, so one library
 * per processor architecture runs with every libc and every version of Python. build.sh compiles
 * it; __init__.py loads it. The Python twins are the reference; tests/codec/test_native.py compares
 * both on random inputs.
 */
#include "range_coder.h"

/* Encode n digits; one whose ``positive`` is 0 has no second decision. Write a checkpoint (digits,
 * written, low, range) after each digit whose last decision wrote bytes. ``coded``: digits before
 * these. Returns the number of checkpoints. */
int64_t encode_ternary(Encoder *s, uint8_t *out, const int8_t *digits, const uint16_t *nonzero,
                       const uint16_t *positive, int64_t n, int64_t coded, int64_t *checkpoints) {
  int64_t *checkpoint = checkpoints;
  for (int64_t i = 0; i < n; i++) {
    int64_t before = s->written;
    encode(s, out, digits[i] != 0, nonzero[i]);
    if (digits[i] && positive[i]) {
      before = s->written;
      encode(s, out, digits[i] > 0, positive[i]);
    }
    if (s->written > before) {
      *checkpoint++ = coded + i + 1;
      *checkpoint++ = s->written;
      *checkpoint++ = (int64_t)s->low;
      *checkpoint++ = (int64_t)s->range;
    }
  }
  return (checkpoint - checkpoints) / 4;
}

/* Decode up to n digits to ``digits``; returns the number of digits that the data determine. */
int64_t decode_ternary(Decoder *s, const uint8_t *data, int64_t length, const uint16_t *nonzero,
                       const uint16_t *positive, int64_t n, int8_t *digits) {
  for (int64_t i = 0; i < n; i++) {
    int digit = decode(s, data, length, nonzero[i]);
    if (digit < 0) return i;
    if (digit && positive[i]) {
      int positive_bit = decode(s, data, length, positive[i]);
      if (positive_bit < 0) return i;
      digit = 2 * positive_bit - 1;
    }
    digits[i] = (int8_t)digit;
  }
  return n;
}
