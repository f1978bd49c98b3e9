/**
 * Nested ternary quantisation: a latent is an integer that every plane refines by one digit.
 *
 * A *step* of the stream holds one plane of one group of channels. docs/bitstream.md, "Symbols".
 */

/**
 * @param {{planes: number, groups: number[], starts: number[]}} layout
 * @returns {{plane: number, group: number, channels: number[]}[]} the steps in their order, with
 *   those channels of the group that have begun
 */
export function stepsOf({ planes, groups, starts }) {
  const steps = [];
  for (let plane = 0; plane < planes; plane++) {
    let end = 0;
    groups.forEach((size, group) => {
      const first = end;
      end += size;
      const channels = [...starts.keys()].filter((c) => c >= first && c < end && starts[c] <= plane);
      if (channels.length) steps.push({ plane, group, channels });
    });
  }
  return steps;
}

/**
 * The latents of a picture of which nothing is known yet: `states[c * cells + cell]` are whole
 * numbers, `levels` to which level each of them is known.
 */
export function latentsOf({ starts }, cells) {
  const states = new Int32Array(starts.length * cells);
  return { states, levels: new Uint8Array(states.length).map((_, i) => starts[(i / cells) | 0]) };
}
