// What a photo in the grid shows beside the picture: a check mark, a star, how many copies there are.

import { icon, make } from "./dom.js";
import * as format from "./format.js";

/**
 * Keeps the marks of a list's tiles as they should be, also of tiles that come later.
 * @param {HTMLElement} list
 * @param {(place: number) => object} photoAt
 * @param {(id: string) => boolean} isChosen
 * @param {(photo: object) => void} openCopies
 * @returns {() => void} to call when something else is chosen, or a photo was changed
 */
export function showMarks(list, photoAt, isChosen, openCopies) {
  const show = (tile) => showTile(tile, photoAt(tile.place), isChosen, openCopies);
  const all = () => list.querySelectorAll(".tile[data-id]").forEach(show);
  new MutationObserver((records) => {
    new Set(records.flatMap(tilesOf)).forEach(show);
  }).observe(list, { childList: true, subtree: true, attributeFilter: ["data-id"] });
  all();
  return all;
}

const tilesOf = ({ type, target, addedNodes }) =>
  (type === "attributes" ? [target] : [...addedNodes]).filter((node) => node.matches?.(".tile[data-id]"));

function showTile(tile, photo, isChosen, openCopies) {
  const link = tile.querySelector("a");
  if (!link) return;
  const chosen = isChosen(tile.dataset.id);
  const check = part(tile, ".check", () =>
    make("button", { type: "button", class: "check", role: "checkbox", tabindex: "-1" },
      icon("check")));
  check.setAttribute("aria-checked", String(chosen));
  check.setAttribute("aria-label", `Choose ${format.isolated(photo?.name ?? "this photo")}`);
  tile.classList.toggle("chosen", chosen);
  if (chosen) link.setAttribute("aria-describedby", "chosen-note");
  else link.removeAttribute("aria-describedby");
  const star = part(tile, ".star", () => make("span", { class: "star" }, icon("star"),
    make("span", { class: "unseen" }, "Favourite")));
  star.hidden = !photo?.favourite;
  showCopies(tile, photo, openCopies);
}

function showCopies(tile, photo, openCopies) {
  const count = photo?.copies?.length ?? 0;
  tile.querySelector(".copies")?.remove();
  if (!count) return;
  const label = `Show ${count === 1 ? "a copy" : `${format.count(count)} copies`} of this photo`;
  const badge = make("button", { type: "button", class: "copies", title: label,
    "aria-label": label }, icon("stack"), format.count(count + 1));
  badge.addEventListener("click", (event) => {
    event.stopPropagation(); // the grid would open the photo among all others
    openCopies(photo);
  });
  tile.append(badge);
}

function part(tile, selector, made) {
  const found = tile.querySelector(selector);
  if (found) return found;
  const fresh = made();
  tile.append(fresh);
  return fresh;
}
