/* The range coder of range_coder.py, one decision at a time. */
#ifndef RANGE_CODER_H
#define RANGE_CODER_H

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

#endif
