// The place of one photo in a grid: empty at first, filled when the photo is known.

import { thumbnailOf } from "./api.js";
import { icon, make } from "./dom.js";
import * as format from "./format.js";

const SIDES = ["left", "top", "width", "height"];

/** An empty tile. It can have the focus already. */
export function makeTile(place) {
  const link = make("a", { tabindex: "-1", role: "link", "aria-label": "A photo, loading" });
  link.draggable = false;
  const tile = make("li", { class: "tile" }, link);
  tile.place = place;
  return tile;
}

export function putTile(tile, box) {
  for (const side of SIDES) tile.style[side] = `${box[side]}px`;
}

/** Shows a photo in its tile, with a thumbnail that is sharp at this height. */
export function fillTile(tile, photo, address, height) {
  const link = tile.firstChild;
  const label = format.match(photo.match);
  const image = make("img", { alt: photo.name, decoding: "async" });
  image.draggable = false;
  const instead = make("span", { class: "broken", hidden: true }, icon("picture"),
    make("bdi", {}, photo.name));
  link.replaceChildren(image, instead);
  link.removeAttribute("role");
  link.removeAttribute("aria-label");
  link.href = address;
  link.title = photo.name;
  if (label) {
    link.append(make("span", { class: "label", "aria-hidden": "true" }, label));
    link.setAttribute("aria-label", `${format.isolated(photo.name)}, ${label}`);
  }
  tile.dataset.id = photo.id;
  image.src = thumbnailOf(photo.id, height);
}

/** Takes a tile away; a thumbnail that is on its way is no longer waited for. */
export function dropTile(tile) {
  tile.querySelector("img")?.removeAttribute("src");
  tile.remove();
}

/** Shows thumbnails as they arrive, and the names of those that do not. */
export function watchThumbnails(list) {
  const told = (event) => {
    if (!event.target.matches(".tile img")) return;
    const loaded = event.type === "load";
    event.target.classList.toggle("loaded", loaded);
    event.target.hidden = !loaded;
    event.target.nextSibling.hidden = loaded;
  };
  list.addEventListener("load", told, true); // these events do not bubble
  list.addEventListener("error", told, true);
}
