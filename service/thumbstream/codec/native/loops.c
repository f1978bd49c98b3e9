/* Inner loops of the codec: the compiled twins of Python functions of the same names.
 *
 * Freestanding C: the functions call nothing, allocate nothing and keep no state, so one library
 * per processor architecture runs with every libc and every version of Python. build.sh compiles
 * it; __init__.py loads it. The Python twins are the reference; tests/codec/test_native.py compares
 * both on random inputs.
 */
#include <stdint.h>

enum { PROBABILITY_BITS = 16, CODE_BYTES = 4 };
static const uint64_t TOP = 1ull << 32, BOTTOM = 1ull << 24;

/* State of RangeEncoder (range_coder.py). The output buffer must have room for 4 bytes per digit. */
typedef struct {
  uint64_t low, range;
  int64_t written;
} Encoder;

/* State of RangeDecoder (range_coder.py). */
typedef struct {
  uint64_t code, range;
  int64_t position, missing;
} Decoder;

static void carry(uint8_t *out, int64_t written) {
  int64_t i = written - 1;
  while (out[i] == 0xFF) out[i--] = 0;
  out[i]++;
}

static void encoder_normalise(Encoder *s, uint8_t *out) {
  while (s->range < BOTTOM) {
    out[s->written++] = (uint8_t)(s->low >> 24);
    s->low = (s->low & (BOTTOM - 1)) << 8;
    s->range <<= 8;
  }
}

static void encode(Encoder *s, uint8_t *out, int bit, uint32_t probability) {
  uint64_t split = (s->range * probability) >> PROBABILITY_BITS;
  if (bit) {
    s->range = split;
  } else {
    s->low += split;
    s->range -= split;
    if (s->low >= TOP) {
      s->low -= TOP;
      carry(out, s->written);
    }
  }
  encoder_normalise(s, out);
}

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

/* Decode one decision: 1, 0, or -1 if the data do not determine it. */
static int decode(Decoder *s, const uint8_t *data, int64_t length, uint32_t probability) {
  uint64_t split = (s->range * probability) >> PROBABILITY_BITS;
  int bit = s->code < split;
  if (!bit) {
    s->code -= split;
    s->range -= split;
  } else if (s->missing && s->code + (1ull << (8 * s->missing)) > split) {
    s->range = TOP;
    s->code = 0;
    s->missing = CODE_BYTES;
    return -1;
  } else {
    s->range = split;
  }
  while (s->range < BOTTOM) {
    s->range <<= 8;
    s->code <<= 8;
    if (s->position < length)
      s->code |= data[s->position++];
    else if (s->missing < CODE_BYTES)
      s->missing++;
  }
  return bit;
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
