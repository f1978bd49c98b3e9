// Runs before the element's script, so that it misses no event.
const element = document.querySelector("#broken");
element.addEventListener("error", ({ error }) => {
  document.querySelector("#broken + output").value = error.message;
});
