// Processor time that sharp (libvips) takes to make a 32-pixel WebP of JPEG files, in one thread:
//   node sharp_webp.cjs FOLDER_OF_SHARP SIZE SECONDS FILE...
// Prints one JSON object: pictures, and milliseconds of processor time per picture.
const { readFileSync } = require("node:fs");

const [folder, size, seconds, ...names] = process.argv.slice(2);
const sharp = require(folder);
sharp.concurrency(1);
sharp.cache(false);
const files = names.map((name) => readFileSync(name));

async function webp(file) {
  const side = Number(size);
  await sharp(file).resize(side, side, { fit: "inside" }).webp().toBuffer();
}

async function main() {
  for (const file of files) await webp(file); // warms up
  const before = process.cpuUsage();
  const end = Date.now() + 1000 * Number(seconds);
  let pictures = 0;
  while (pictures < files.length || Date.now() < end) {
    await webp(files[pictures % files.length]);
    pictures += 1;
  }
  const { user, system } = process.cpuUsage(before);
  process.stdout.write(JSON.stringify({ pictures, cpu_ms: (user + system) / 1000 / pictures }));
}

main();
