const element = document.querySelector("#lazy");
const said = document.querySelector("#lazy + output");

element.addEventListener("load", () => {
  const seconds = (performance.now() / 1000).toFixed(1);
  said.value = `Loaded after ${seconds} s.`;
});
