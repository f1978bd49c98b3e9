import { fetchThumbs } from "/client/element.min.js";

/** Spend so many bytes on some pictures of the service. */
export async function spend(ids, budget, elements) {
  const thumbs = await fetchThumbs(ids, budget);
  ids.forEach((id, i) => {
    elements[i].src = `/thumb/${id}`;
    elements[i].bytes = thumbs.get(id)?.length ?? 12;
  });
}
