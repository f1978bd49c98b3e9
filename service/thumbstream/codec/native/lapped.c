/* Symbols of the lapped family (format 8): the compiled twin of lapped/symbols.py, which computes
 * the contexts of a step, sorts its symbols and codes them, step after step.
 *
 * Normative text: docs/bitstream.md, "Format 8". Python checks that every sum stays below 2^31.
 */
#include "range_coder.h"

enum {
  CLASSES = 4,
  SCALES = 48,
  OFFSETS = 33,
  MAX_LOGIT = 2839,
  HALVING_KEY = -1024,
  MAX_VALUE = 1023,
  MAX_PREDICTION = 127,
  HIDDEN_MAX = 255,
  MAGNITUDES = 120,
  PROBABILITY_ONE = 1 << PROBABILITY_BITS,
  MAX_FACTOR = 1 << 18,
  MAX_OFFSET = 1 << 20,
  MAX_FACTOR_CHANGE = 1 << 14,
  MAX_OFFSET_CHANGE = 1 << 16,
  OFFSET_INERTIA = 12 << 16,
  FACTOR_INERTIA = 100
};

/* Kinds of decisions. */
enum { SIGNIFICANT, POSITIVE, UPPER, KINDS };

/* Tables of a model for one grid, and memory to work in: `_Tables` of lapped/compiled.py. */
typedef struct {
  int64_t layers, rows, columns, channels, first, planes, look, groups, hidden, second, steps;
  const int16_t *w1, *m, *heads, *predictor;
  const int32_t *b1, *b1_plane, *bm, *b2, *b2_plane, *own, *shifts;
  const int32_t *base, *slope, *activity, *low;
  int64_t low_count;
  const int32_t *value_begin, *value_source, *value_weight;
  const int32_t *magnitude_begin, *magnitude_source, *magnitude_weight;
  const int32_t *row_cosines, *column_cosines;
  const int32_t *classes, *step_plane, *step_group, *step_parity, *step_begin, *latents;
  const int32_t *significant, *positive, *upper, *logistic, *magnitudes;
  int32_t *q, *x, *units;
  int16_t *seen, *values, *before;
  int32_t *sums;
  int64_t *transform;
  uint64_t *keys, *scratch;
  int32_t *step_first, *step_second;
  int64_t *factors, *offsets;
} Tables;

/* Sums over the decisions of a kind, of a layer in a step. */
typedef struct {
  int64_t error, variance, error_logit, variance_logit;
} Sums;

static int64_t clip(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

static int64_t floor_divide(int64_t a, int64_t positive) {
  return a / positive - (a % positive < 0);
}

static int32_t sign_of(int32_t q) { return (q > 0) - (q < 0); }

static int32_t magnitude_of(const Tables *t, int32_t x) {
  int32_t size = x < 0 ? -x : x;
  return t->magnitudes[size < MAGNITUDES ? size : MAGNITUDES - 1];
}

static int32_t last_plane(int32_t plane, int32_t class) {
  return plane - (((plane - class) % CLASSES) + CLASSES) % CLASSES;
}

/* Value of a state in eighths of a step; ``age``: the plane minus the latent's level, at most 4. */
static int32_t in_steps(int32_t q, int32_t age) {
  static const int64_t finest[CLASSES] = {64, 76, 91, 108};
  int32_t rest = ((age % CLASSES) + CLASSES) % CLASSES;
  int64_t size = q < 0 ? -(int64_t)q : q;
  return (int32_t)(sign_of(q) * (((16 * size + 7) * finest[rest]) >> (7 - (age - rest) / CLASSES)));
}

/* Of vectors whose lengths are multiples of 8 in published models: no rest for a scalar loop. */
static int32_t dot(const int16_t *a, const int16_t *b, int64_t n) {
  int32_t sum = 0;
#pragma clang loop vectorize_width(8) interleave_count(1)
  for (int64_t i = 0; i < n; i++) sum += (int32_t)a[i] * b[i];
  return sum;
}

/* Inverse DCT of the coefficients of one channel, in place. */
static void to_cells(const Tables *t, int32_t *x) {
  int64_t rows = t->rows, columns = t->columns;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t v = 0; v < columns; v++) {
      int64_t sum = 0;
      for (int64_t u = 0; u < rows; u++)
        sum += (int64_t)t->row_cosines[u * rows + r] * x[u * columns + v];
      t->transform[r * columns + v] = sum;
    }
  for (int64_t r = 0; r < rows; r++)
    for (int64_t s = 0; s < columns; s++) {
      int64_t sum = 1 << 23;
      for (int64_t v = 0; v < columns; v++)
        sum += t->transform[r * columns + v] * t->column_cosines[v * columns + s];
      x[r * columns + s] = (int32_t)(sum >> 24);
    }
}

/* Features and values of channel c of a layer, from its values x in all cells. */
static void features(const Tables *t, int64_t layer, int64_t c, const int32_t *x) {
  int64_t rows = t->rows, columns = t->columns, cells = rows * columns;
  int16_t *seen = t->seen + layer * cells * 4 * t->channels + 4 * c;
  int16_t *values = t->values + layer * cells * 2 * t->channels + 2 * c;
  int64_t seen_step = 4 * t->channels, value_step = 2 * t->channels;
  for (int64_t i = 0; i < cells; i++) {
    int32_t m = magnitude_of(t, x[i]);
    seen[i * seen_step] = (int16_t)m;
    seen[i * seen_step + 1] = (int16_t)(sign_of(x[i]) * m);
    values[i * value_step] = (int16_t)clip(x[i], -MAX_VALUE, MAX_VALUE);
  }
  for (int64_t r = 0; r < rows; r++)
    for (int64_t s = 0; s < columns; s++) {
      int64_t i = r * columns + s, around[4], count = 0;
      if (r) around[count++] = i - columns;
      if (r + 1 < rows) around[count++] = i + columns;
      if (s) around[count++] = i - 1;
      if (s + 1 < columns) around[count++] = i + 1;
      int32_t size = 0, sign = 0, value = 0;
      for (int64_t k = 0; k < count; k++) {
        size += seen[around[k] * seen_step];
        sign += seen[around[k] * seen_step + 1];
        value += values[around[k] * value_step];
      }
      seen[i * seen_step + 2] = (int16_t)size;
      seen[i * seen_step + 3] = (int16_t)sign;
      values[i * value_step + 1] = (int16_t)value;
    }
}

/* Add to the first layer's sums of a cell what ``pairs`` pairs of features from channel c on add. */
static void add_features(const Tables *t, int32_t *sums, int64_t c, const int16_t *seen,
                         int64_t pairs) {
  int64_t hidden = t->hidden;
  for (int64_t k = 0; k < pairs; k++) {
    int32_t a = seen[2 * k], b = seen[2 * k + 1];
    const int16_t *w = t->w1 + (2 * c + k) * 2 * hidden;
    if (a || b)  // most latents are 0, so most pairs of features are
      for (int64_t j = 0; j < hidden; j++) sums[j] += w[2 * j] * a + w[2 * j + 1] * b;
  }
}

static int all_zero(const int32_t *q, int64_t n) {
  int32_t any = 0;
  for (int64_t i = 0; i < n; i++) any |= q[i];
  return !any;
}

/* All features of a layer before the first step of ``plane`` after that of group 0. Those of a
 * channel of zeros are as before, unless nothing was ``begun``. */
static void start_plane(const Tables *t, int64_t layer, int32_t plane, int begun) {
  int64_t cells = t->rows * t->columns;
  int32_t look = plane > t->look - 1 ? plane : (int32_t)t->look - 1;
  for (int64_t c = 0; c < t->channels; c++) {
    const int32_t *q = t->q + (layer * t->channels + c) * cells;
    if (begun && all_zero(q, cells)) continue;
    for (int64_t i = 0; i < cells; i++) {
      int32_t class = t->classes[c * cells + i];
      int32_t level = c < t->first ? last_plane(look, class) : last_plane(plane - 1, class);
      t->x[i] = in_steps(q[i], plane - level);
    }
    if (c < t->first) to_cells(t, t->x);
    features(t, layer, c, t->x);
  }
  for (int64_t i = 0; i < cells; i++) {
    int64_t cell = layer * cells + i;
    int32_t *sums = t->sums + cell * t->hidden;
    for (int64_t j = 0; j < t->hidden; j++) sums[j] = plane * t->b1_plane[j];
    add_features(t, sums, 0, t->seen + cell * 4 * t->channels, 2 * t->channels);
  }
}

/* Features of the channels of a step after it, and their part of the first layer's sums. */
static void update(const Tables *t, int64_t layer, int64_t step) {
  int64_t cells = t->rows * t->columns, last = -1;
  int32_t odd_age = t->step_parity[step] ? 0 : CLASSES;
  for (int64_t k = t->step_begin[step]; k < t->step_begin[step + 1]; k++) {
    int64_t c = t->latents[k] / cells;
    if (c == last) continue;
    last = c;
    const int32_t *q = t->q + (layer * t->channels + c) * cells;
    for (int64_t i = 0; i < cells; i++) {
      int odd = (i / t->columns + i % t->columns) & 1;
      t->x[i] = in_steps(q[i], odd ? odd_age : 0);
    }
    int16_t *seen = t->seen + layer * cells * 4 * t->channels + 4 * c;
    for (int64_t i = 0; i < cells; i++)
      for (int64_t f = 0; f < 4; f++) t->before[4 * i + f] = seen[i * 4 * t->channels + f];
    features(t, layer, c, t->x);
    for (int64_t i = 0; i < cells; i++) {
      int16_t change[4];
      for (int64_t f = 0; f < 4; f++)
        change[f] = (int16_t)(seen[i * 4 * t->channels + f] - t->before[4 * i + f]);
      add_features(t, t->sums + (layer * cells + i) * t->hidden, c, change, 2);
    }
  }
}

/* Logits and key of symbol k of a layer's step. */
static void symbol(const Tables *t, int64_t k, int32_t q, int32_t scale, int32_t mean) {
  int32_t size = mean < 0 ? -mean : mean, key = HALVING_KEY, first, second = 0;
  const int64_t row = (int64_t)scale * OFFSETS;
  if (q == 0) {
    int32_t offset = size < OFFSETS - 1 ? size : OFFSETS - 1;
    key = first = t->significant[row + offset];
    second = t->positive[row + offset];
    if (mean < 0) second = -second;
  } else {
    int64_t off = 8 * (2 * (q < 0 ? -(int64_t)q : q) + 1) - (int64_t)sign_of(q) * mean;
    int64_t distance = (off < 0 ? -off : off) >> 1;
    first = t->upper[row + (distance < OFFSETS - 1 ? distance : OFFSETS - 1)];
    if (off < 0) first = -first;
  }
  t->step_first[k] = first;
  t->step_second[k] = second;
  t->keys[k] = ((uint64_t)(MAX_LOGIT - key) << 32) | (uint64_t)k;
}

/* Symbols of a step of group 0. */
static void predict_look(const Tables *t, int64_t layer, int64_t step) {
  int64_t cells = t->rows * t->columns, count = t->first * cells;
  const int32_t *q = t->q + layer * t->channels * cells;
  int32_t plane = t->step_plane[step], *x = t->x, *m = t->x + count, *sums = t->units;
  for (int64_t i = 0; i < count; i++) {
    int32_t value = in_steps(q[i], plane - last_plane(plane - 1, t->classes[i]));
    x[i] = (int32_t)clip(value, -MAX_VALUE, MAX_VALUE);
    m[i] = magnitude_of(t, x[i]);
  }
  for (int64_t c = 0; c < t->first; c++) {
    sums[c] = 0;
    for (int64_t i = 0; i < t->low_count; i++) sums[c] += m[c * cells + t->low[i]];
  }
  for (int64_t k = t->step_begin[step]; k < t->step_begin[step + 1]; k++) {
    int64_t at = t->latents[k], c = at / cells, activity = 0, mean = 0;
    for (int64_t e = 0; e < t->first; e++) activity += t->activity[c * t->first + e] * sums[e];
    int64_t scale = 4 * (int64_t)t->base[at] + (128 + t->slope[c]) * plane + (activity >> 2);
    for (int64_t j = t->magnitude_begin[at]; j < t->magnitude_begin[at + 1]; j++)
      scale += (int64_t)t->magnitude_weight[j] * m[t->magnitude_source[j]];
    for (int64_t j = t->value_begin[at]; j < t->value_begin[at + 1]; j++)
      mean += (int64_t)t->value_weight[j] * x[t->value_source[j]];
    symbol(t, k - t->step_begin[step], q[at], (int32_t)clip(scale >> 6, 0, SCALES - 1),
           (int32_t)(mean >> 12));
  }
}

/* Hidden units of a cell from the first layer's sums. */
static void hidden_units(const Tables *t, int64_t step, const int32_t *sums, int16_t *units) {
  int64_t hidden = t->hidden, second = t->second;
  int32_t plane = t->step_plane[step], group = t->step_group[step] - 1;
  const int32_t *b1 = t->b1 + (((plane % CLASSES) * (t->groups - 1) + group) * 2 +
                               t->step_parity[step]) * hidden;
  for (int64_t j = 0; j < hidden; j++)
    units[j] = (int16_t)clip((sums[j] + b1[j]) >> t->shifts[0], 0, HIDDEN_MAX);
  for (int64_t n = 0; n < second; n++) {
    int32_t sum = t->bm[group * second + n] + dot(t->m + n * hidden, units, hidden);
    units[hidden + n] = (int16_t)clip(sum >> t->shifts[1], 0, HIDDEN_MAX);
  }
}

/* Symbols of a step of another group: channels times cells of one parity. */
static void predict(const Tables *t, int64_t layer, int64_t step) {
  int64_t cells = t->rows * t->columns, channels = t->channels, coded = channels - t->first;
  int64_t begin = t->step_begin[step], end = t->step_begin[step + 1], width = 0;
  int64_t units = t->hidden + t->second;
  int32_t plane = t->step_plane[step], parity = t->step_parity[step];
  while (begin + width < end && t->latents[begin + width] / cells == t->latents[begin] / cells)
    width++;
  for (int64_t i = 0; i < width; i++) {
    int64_t cell = t->latents[begin + i] % cells;
    const int16_t *seen = t->seen + (layer * cells + cell) * 4 * channels;
    const int16_t *values = t->values + (layer * cells + cell) * 2 * channels;
    int16_t *found = (int16_t *)t->units;
    hidden_units(t, step, t->sums + (layer * cells + cell) * t->hidden, found);
    for (int64_t k = begin + i; k < end; k += width) {
      int64_t c = t->latents[k] / cells, ours = c - t->first;
      int32_t linear = dot(t->predictor + ours * 2 * channels, values, 2 * channels) >> 6;
      linear = (int32_t)clip(linear, -MAX_VALUE, MAX_VALUE);
      int32_t head[2];
      for (int64_t d = 0; d < 2; d++)
        head[d] = t->b2[(parity * 2 + d) * coded + ours] + plane * t->b2_plane[d * coded + ours] +
                  dot(t->heads + (d * coded + ours) * units, found, units);
      int32_t size = linear < 0 ? -linear : linear;
      head[0] += t->own[ours] * seen[4 * c] + t->own[coded + ours] * seen[4 * c + 2] +
                 t->own[2 * coded + ours] * (size < MAX_PREDICTION ? size : MAX_PREDICTION);
      symbol(t, k - begin, t->q[layer * channels * cells + t->latents[k]],
             (int32_t)clip(head[0] >> t->shifts[2], 0, SCALES - 1),
             linear + (head[1] >> t->shifts[3]));
    }
  }
}

/* Sort n keys, all of them different. */
static void sort(uint64_t *keys, uint64_t *scratch, int64_t n) {
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t i = 0; i < n; i += 2 * width) {
      int64_t a = i, middle = i + width < n ? i + width : n, b = middle;
      int64_t end = i + 2 * width < n ? i + 2 * width : n;
      for (int64_t k = i; k < end; k++)
        scratch[k] = a < middle && (b == end || keys[a] < keys[b]) ? keys[a++] : keys[b++];
    }
    for (int64_t i = 0; i < n; i++) keys[i] = scratch[i];
  }
}

/* Logits of a layer's symbols of a step, and their indices in coding order in `keys`. */
static int64_t prepare(const Tables *t, int64_t layer, int64_t step) {
  int64_t n = t->step_begin[step + 1] - t->step_begin[step];
  if (t->step_group[step] == 0)
    predict_look(t, layer, step);
  else
    predict(t, layer, step);
  sort(t->keys, t->scratch, n);
  return n;
}

static uint16_t probability(const Tables *t, int64_t layer, int64_t step, int64_t kind,
                            int32_t logit) {
  int64_t at = layer * KINDS + kind, group = t->step_group[step];
  int64_t z = (t->factors[at] * logit >> 16) + (t->offsets[at * t->groups + group] >> 8);
  return (uint16_t)t->logistic[clip(z, -MAX_LOGIT, MAX_LOGIT) + MAX_LOGIT];
}

/* Probabilities of symbol k of a layer's step, whose latent is q. */
static void probabilities(const Tables *t, int64_t layer, int64_t step, int64_t k, int32_t q,
                          uint16_t *first, uint16_t *second) {
  *first = probability(t, layer, step, q ? UPPER : SIGNIFICANT, t->step_first[k]);
  *second = q ? 0 : probability(t, layer, step, POSITIVE, t->step_second[k]);
}

static void add_decision(Sums *sums, int64_t logit, int64_t p, int64_t bit) {
  int64_t error = PROBABILITY_ONE * bit - p;
  int64_t variance = p * (PROBABILITY_ONE - p) >> PROBABILITY_BITS;
  sums->error += error;
  sums->variance += variance;
  sums->error_logit += error * logit;
  sums->variance_logit += variance * logit * logit;
}

/* Add the decisions of symbol k to the sums of their kinds. */
static void add_symbol(const Tables *t, Sums *sums, int64_t k, int32_t q, int digit,
                       uint16_t first, uint16_t second) {
  add_decision(sums + (q ? UPPER : SIGNIFICANT), t->step_first[k], first, digit != 0);
  if (!q && digit) add_decision(sums + POSITIVE, t->step_second[k], second, digit > 0);
}

/* Adapt a layer to the decisions of a step. Without any of a kind, nothing changes. */
static void adapt(const Tables *t, int64_t layer, int64_t step, const Sums *all) {
  for (int64_t kind = 0; kind < KINDS; kind++) {
    const Sums *sums = all + kind;
    int64_t *factor = t->factors + layer * KINDS + kind;
    int64_t *offset = t->offsets + (layer * KINDS + kind) * t->groups + t->step_group[step];
    int64_t change = floor_divide(sums->error * PROBABILITY_ONE, OFFSET_INERTIA + sums->variance);
    change = clip(change, -MAX_OFFSET_CHANGE, MAX_OFFSET_CHANGE);
    *offset = clip(*offset + change, -MAX_OFFSET, MAX_OFFSET);
    change = floor_divide(sums->error_logit >> 8, FACTOR_INERTIA + (sums->variance_logit >> 32));
    change = clip(change, -MAX_FACTOR_CHANGE, MAX_FACTOR_CHANGE);
    *factor = clip(*factor + change, 0, MAX_FACTOR);
  }
}

/* Prepare the contexts for a step; ``*plane`` is the last plane of groups but 0. */
static void before_step(const Tables *t, int64_t step, int32_t *plane) {
  if (t->step_group[step] == 0 || t->step_plane[step] == *plane) return;
  int begun = *plane >= 0;
  *plane = t->step_plane[step];
  for (int64_t layer = 0; layer < t->layers; layer++) start_plane(t, layer, *plane, begun);
}

static void after_step(const Tables *t, int64_t step) {
  if (t->step_group[step] == 0) return;
  for (int64_t layer = 0; layer < t->layers; layer++) update(t, layer, step);
}

static int32_t coarser(int32_t q, int32_t planes) {
  return sign_of(q) * ((q < 0 ? -q : q) >> planes);
}

/* Encode the last states ``last``, at most until ``max_bytes`` bytes cannot change any more. Write
 * in coding order: latents and probabilities of all symbols, checkpoints as `encode_ternary`, and
 * the number of symbols up to the end of each step. Returns the number of steps. */
int64_t encode_lapped(const Tables *t, const int32_t *last, Encoder *s, uint8_t *out,
                      int64_t max_bytes, int64_t *order, uint16_t *first, uint16_t *second,
                      int64_t *ends, int64_t *checkpoints, int64_t *checkpoint_count) {
  int64_t size = t->channels * t->rows * t->columns, known = 0, step = 0;
  int64_t *checkpoint = checkpoints;
  int32_t plane = -1;
  for (; step < t->steps; step++) {
    int64_t begin = t->step_begin[step];
    before_step(t, step, &plane);
    for (int64_t layer = 0; layer < t->layers; layer++) {
      int64_t n = prepare(t, layer, step);
      Sums sums[KINDS] = {{0, 0, 0, 0}};
      for (int64_t i = 0; i < n; i++) {
        int64_t k = (int64_t)(uint32_t)t->keys[i], latent = t->latents[begin + k];
        int64_t at = layer * size + latent, before = s->written;
        int32_t end = last_plane((int32_t)t->planes - 1, t->classes[latent]);
        int32_t after = coarser(last[at], (end - t->step_plane[step]) / CLASSES);
        int32_t digit = t->q[at] ? sign_of(after) * (after - 2 * t->q[at]) : after;
        probabilities(t, layer, step, k, t->q[at], first + known, second + known);
        encode(s, out, digit != 0, first[known]);
        if (digit && second[known]) {
          before = s->written;
          encode(s, out, digit > 0, second[known]);
        }
        add_symbol(t, sums, k, t->q[at], digit, first[known], second[known]);
        order[known++] = at;
        if (s->written > before) {
          *checkpoint++ = known;
          *checkpoint++ = s->written;
          *checkpoint++ = (int64_t)s->low;
          *checkpoint++ = (int64_t)s->range;
        }
      }
      adapt(t, layer, step, sums);
    }
    for (int64_t layer = 0; layer < t->layers; layer++)
      for (int64_t k = begin; k < t->step_begin[step + 1]; k++) {
        int64_t latent = t->latents[k], at = layer * size + latent;
        int32_t end = last_plane((int32_t)t->planes - 1, t->classes[latent]);
        t->q[at] = coarser(last[at], (end - t->step_plane[step]) / CLASSES);
      }
    ends[step] = known;
    if ((s->low + s->range <= TOP ? s->written : 0) >= max_bytes) {  // as stable_length
      step++;
      break;
    }
    after_step(t, step);
  }
  *checkpoint_count = (checkpoint - checkpoints) / 4;
  return step;
}

/* Decode to the states ``t->q``. Write in coding order: latents, probabilities and digits of the
 * known symbols, and the number of symbols up to the end of each step. Returns the number of known
 * symbols; ``steps``: number of steps that were begun. */
int64_t decode_lapped(const Tables *t, Decoder *s, const uint8_t *data, int64_t length,
                      int64_t *order, uint16_t *first, uint16_t *second, int32_t *digits,
                      int64_t *ends, int64_t *steps) {
  int64_t size = t->channels * t->rows * t->columns, known = 0;
  int32_t plane = -1;
  for (int64_t step = 0; step < t->steps; step++) {
    int64_t begin = t->step_begin[step], before = known;
    ends[step] = before + t->layers * (t->step_begin[step + 1] - begin);
    *steps = step + 1;
    before_step(t, step, &plane);
    for (int64_t layer = 0; layer < t->layers; layer++) {
      int64_t n = prepare(t, layer, step);
      Sums sums[KINDS] = {{0, 0, 0, 0}};
      for (int64_t i = 0; i < n; i++) {
        int64_t k = (int64_t)(uint32_t)t->keys[i], at = layer * size + t->latents[begin + k];
        int32_t q = t->q[at];
        probabilities(t, layer, step, k, q, first + known, second + known);
        int digit = decode(s, data, length, first[known]);
        if (digit < 0) return known;
        if (digit && second[known]) {
          int positive = decode(s, data, length, second[known]);
          if (positive < 0) return known;
          digit = 2 * positive - 1;
        }
        add_symbol(t, sums, k, q, digit, first[known], second[known]);
        t->q[at] = q == 0 ? digit : 2 * q + sign_of(q) * digit;
        order[known] = at;
        digits[known++] = digit;
      }
      adapt(t, layer, step, sums);
    }
    after_step(t, step);
  }
  return known;
}
