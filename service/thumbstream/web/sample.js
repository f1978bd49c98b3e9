/** A generated picture to try the page with: a lake between hills, another one for every seed. */

const WIDTH = 960;
const HEIGHT = 640;
const HORIZON = 400; // pixels from the top

const PALETTES = [
  { sky: ["#27406b", "#c9826b", "#f5c98a"], hills: ["#8b7188", "#5f5673", "#3a3f58", "#1f2a3d"] },
  { sky: ["#4d8fc4", "#a9cfe2", "#f3efe0"], hills: ["#93b0ba", "#5f8a86", "#3d6b58", "#24483a"] },
  { sky: ["#1d2b45", "#5b5f8c", "#e39a8d"], hills: ["#6d6689", "#4b4a6f", "#303455", "#1b2036"] },
];

/** Numbers in 0..1 that depend on the seed only (a 32-bit linear congruential generator). */
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** The outline of a range of hills: a few waves of falling height, as a function of x. */
function ridge(random, height) {
  const waves = Array.from({ length: 6 }, (_, i) => ({
    size: height / (i + 1) ** 1.3,
    frequency: ((i + 1) * (0.7 + random())) / 150,
    phase: random() * 2 * Math.PI,
  }));
  return (x) =>
    waves.reduce((sum, wave) => sum + wave.size * Math.sin(x * wave.frequency + wave.phase), 0);
}

function gradient(context, from, to, colors) {
  const fill = context.createLinearGradient(0, from, 0, to);
  colors.forEach((color, i) => fill.addColorStop(i / (colors.length - 1), color));
  return fill;
}

function drawSun(context, random) {
  const x = WIDTH * (0.2 + 0.6 * random());
  const y = HORIZON * (0.35 + 0.3 * random());
  const glow = context.createRadialGradient(x, y, 0, x, y, 260);
  glow.addColorStop(0, "rgb(255 240 205 / 0.85)");
  glow.addColorStop(1, "rgb(255 240 205 / 0)");
  context.fillStyle = glow;
  context.fillRect(0, 0, WIDTH, HORIZON);
  context.fillStyle = "#fff4da";
  context.beginPath();
  context.arc(x, y, 38, 0, 2 * Math.PI);
  context.fill();
}

function drawHills(context, random, colors) {
  colors.forEach((color, layer) => {
    const outline = ridge(random, 46 - 8 * layer);
    const base = HORIZON - 130 + 42 * layer;
    context.fillStyle = color;
    context.beginPath();
    context.moveTo(0, HORIZON);
    for (let x = 0; x <= WIDTH; x += 2) context.lineTo(x, Math.min(HORIZON, base - outline(x)));
    context.lineTo(WIDTH, HORIZON);
    context.fill();
  });
}

function drawLake(context, random) {
  context.save();
  context.translate(0, 2 * HORIZON);
  context.scale(1, -1);
  context.drawImage(context.canvas, 0, 2 * HORIZON - HEIGHT, WIDTH, HEIGHT - HORIZON,
    0, 2 * HORIZON - HEIGHT, WIDTH, HEIGHT - HORIZON);
  context.restore();
  context.fillStyle = gradient(context, HORIZON, HEIGHT, ["rgb(16 32 48 / 0.2)", "rgb(16 32 48 / 0.6)"]);
  context.fillRect(0, HORIZON, WIDTH, HEIGHT - HORIZON);
  for (let i = 0; i < 70; i++) {
    const depth = random();
    context.fillStyle = `rgb(255 255 255 / ${0.04 + 0.1 * random()})`;
    context.fillRect(random() * WIDTH, HORIZON + depth * (HEIGHT - HORIZON), 40 + 160 * depth, 2);
  }
}

/** @returns {Promise<File>} a PNG of 960 x 640 pixels */
export async function sample(seed) {
  const random = generator(seed);
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const context = canvas.getContext("2d");
  const palette = PALETTES[seed % PALETTES.length];
  context.fillStyle = gradient(context, 0, HORIZON, palette.sky);
  context.fillRect(0, 0, WIDTH, HEIGHT);
  drawSun(context, random);
  drawHills(context, random, palette.hills);
  drawLake(context, random);
  const blob = await canvas.convertToBlob({ type: "image/png" });
  return new File([blob], `sample-${seed}.png`, { type: "image/png" });
}
