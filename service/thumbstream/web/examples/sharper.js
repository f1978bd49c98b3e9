const element = document.querySelector("#sharper");
const said = document.querySelector("#sharper + output");

for (const bytes of [16, 32, 64, 128, 256]) {
  element.bytes = bytes; // only what is missing is fetched
  await element.decode();
  said.value = `${bytes} bytes`;
  await new Promise((go) => setTimeout(go, 900));
}
