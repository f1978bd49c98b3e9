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

function gradient(paper, from, to, colours) {
  const fill = paper.createLinearGradient(0, from, 0, to);
  colours.forEach((colour, i) => fill.addColorStop(i / (colours.length - 1), colour));
  return fill;
}

function drawSun(paper, random) {
  const x = WIDTH * (0.2 + 0.6 * random());
  const y = HORIZON * (0.35 + 0.3 * random());
  const glow = paper.createRadialGradient(x, y, 0, x, y, 260);
  glow.addColorStop(0, "rgb(255 240 205 / 0.85)");
  glow.addColorStop(1, "rgb(255 240 205 / 0)");
  paper.fillStyle = glow;
  paper.fillRect(0, 0, WIDTH, HORIZON);
  paper.fillStyle = "#fff4da";
  paper.beginPath();
  paper.arc(x, y, 38, 0, 2 * Math.PI);
  paper.fill();
}

function drawHills(paper, random, colours) {
  colours.forEach((colour, layer) => {
    const outline = ridge(random, 46 - 8 * layer);
    const base = HORIZON - 130 + 42 * layer;
    paper.fillStyle = colour;
    paper.beginPath();
    paper.moveTo(0, HORIZON);
    for (let x = 0; x <= WIDTH; x += 2) paper.lineTo(x, Math.min(HORIZON, base - outline(x)));
    paper.lineTo(WIDTH, HORIZON);
    paper.fill();
  });
}

function drawLake(paper, random) {
  paper.save();
  paper.translate(0, 2 * HORIZON);
  paper.scale(1, -1);
  paper.drawImage(paper.canvas, 0, 2 * HORIZON - HEIGHT, WIDTH, HEIGHT - HORIZON,
    0, 2 * HORIZON - HEIGHT, WIDTH, HEIGHT - HORIZON);
  paper.restore();
  paper.fillStyle = gradient(paper, HORIZON, HEIGHT, ["rgb(16 32 48 / 0.2)", "rgb(16 32 48 / 0.6)"]);
  paper.fillRect(0, HORIZON, WIDTH, HEIGHT - HORIZON);
  for (let i = 0; i < 70; i++) {
    const depth = random();
    paper.fillStyle = `rgb(255 255 255 / ${0.04 + 0.1 * random()})`;
    paper.fillRect(random() * WIDTH, HORIZON + depth * (HEIGHT - HORIZON), 40 + 160 * depth, 2);
  }
}

/** @returns {Promise<File>} a PNG of 960 x 640 pixels */
export async function sample(seed) {
  const random = generator(seed);
  const canvas = new OffscreenCanvas(WIDTH, HEIGHT);
  const paper = canvas.getContext("2d");
  const palette = PALETTES[seed % PALETTES.length];
  paper.fillStyle = gradient(paper, 0, HORIZON, palette.sky);
  paper.fillRect(0, 0, WIDTH, HEIGHT);
  drawSun(paper, random);
  drawHills(paper, random, palette.hills);
  drawLake(paper, random);
  const blob = await canvas.convertToBlob({ type: "image/png" });
  return new File([blob], `sample-${seed}.png`, { type: "image/png" });
}
