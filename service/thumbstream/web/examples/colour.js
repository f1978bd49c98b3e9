import { aspectRatio, averageColor } from "/client/element.min.js";

for (const box of document.querySelectorAll("[data-stream]")) {
  const text = atob(box.dataset.stream);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  box.style.aspectRatio = aspectRatio(bytes);
  box.style.background = averageColor(bytes);
}
