// Enrolled photos, small, where the service knows where the originals lie; otherwise their names.

import { thumbnailUrl } from "./api.js";
import { el } from "./dom.js";

const hasOriginals = document.body.dataset.originals === "yes";

export function thumbnail(person, photo, words = "") {
  const caption = el("figcaption", {}, photo.source, words && el("span", { class: "soft" }, ` ${words}`));
  const figure = el("figure", { class: "thumb" });
  if (!hasOriginals || !photo.sha256) {
    figure.append(el("span", { class: "blank", "aria-hidden": "true" }, "no picture"), caption);
    return figure;
  }
  const image = el("img", {
    src: thumbnailUrl(person, photo.sha256),
    alt: `${person}, photo ${photo.source}`,
    loading: "lazy",
    onerror: () => image.replaceWith(el("span", { class: "blank" }, "not found")),
  });
  figure.append(image, caption);
  return figure;
}
