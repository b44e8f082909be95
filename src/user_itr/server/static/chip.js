// The picture that a search goes by, shown beside its words and removable.

import { thumbnailOf } from "./api.js";
import { icon, make } from "./dom.js";
import { isolated } from "./format.js";
import { drawPicture } from "./picture.js";

const SIDE = 34;

/** Shows what the search goes by besides words, or nothing. */
export function showChip(chip, search, name, remove) {
  chip.hidden = !search.upload && !search.similar;
  chip.replaceChildren();
  if (chip.hidden) return;
  chip.append(
    search.upload ? drawn(search.upload) : thumbnail(search.similar),
    make("span", { class: "name", dir: "auto" }, name),
    make("button", {
      type: "button", class: "plain", title: "Remove the picture",
      "aria-label": `Remove the picture ${isolated(name)}`,
    }, icon("close")),
  );
  chip.title = name;
  chip.lastChild.addEventListener("click", remove);
}

function thumbnail(id) {
  const image = make("img", { src: thumbnailOf(id, SIDE), alt: "", width: SIDE, height: SIDE });
  image.addEventListener("error", () => image.replaceWith(icon("picture")));
  return image;
}

function drawn(upload) {
  const side = SIDE * Math.ceil(devicePixelRatio);
  const canvas = make("canvas", { width: side, height: side, "aria-hidden": "true" });
  drawPicture(canvas, upload).then((done) => done || canvas.replaceWith(icon("picture")));
  return canvas;
}
