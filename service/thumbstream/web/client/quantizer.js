/**
 * Embedded ternary quantization: a latent is an integer that each plane refines by one digit.
 *
 * A *step* of the stream is one plane of one group of channels. docs/bitstream.md, "Symbols".
 */

/**
 * @param {{planes: number, groups: number[], starts: number[]}} layout
 * @returns {{plane: number, groupIndex: number, channels: number[]}[]} the steps in coding order, with
 *   the channels of the group whose first plane is this one or an earlier one
 */
export function codingSteps({ planes, groups, starts }) {
  const steps = [];
  for (let plane = 0; plane < planes; plane++) {
    let end = 0;
    groups.forEach((size, groupIndex) => {
      const first = end;
      end += size;
      const channels = [...starts.keys()].filter((c) => c >= first && c < end && starts[c] <= plane);
      if (channels.length) steps.push({ plane, groupIndex, channels });
    });
  }
  return steps;
}

/**
 * Latents before the first symbol: `states[c * cells + cell]` is the quantized integer,
 * `levels[c * cells + cell]` the number of planes that it has.
 */
export function createLatents({ starts }, cells) {
  const states = new Int32Array(starts.length * cells);
  return { states, levels: new Uint8Array(states.length).map((_, i) => starts[(i / cells) | 0]) };
}
