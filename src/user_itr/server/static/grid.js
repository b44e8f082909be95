// Photos in justified rows. Each is a link, one of them in the tab order; arrow keys move it.

import { thumbnailOf } from "./api.js";
import { icon, make, opensElsewhere } from "./dom.js";
import * as format from "./format.js";
import { justify, neighbour } from "./layout.js";

const MOVES = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];

const SIDES = ["left", "top", "width", "height"];

export class Grid {
  /**
   * @param {HTMLElement} list
   * @param {{rowHeight: (width: number) => number, gap: number}} look
   * @param {(id: string) => string} addressOf where a photo's link leads
   * @param {(photo: object, photos: object[]) => void} open called instead on a plain click
   */
  constructor(list, look, addressOf, open) {
    Object.assign(this, { list, look, addressOf });
    this.photos = [];
    this.tiles = [];
    this.boxes = [];
    this.complete = true;
    this.width = 0;
    this.current = 0;
    list.addEventListener("click", (event) => {
      const place = this.placeOf(event.target);
      if (place < 0 || opensElsewhere(event)) return;
      event.preventDefault();
      open(this.photos[place], this.photos);
    });
    list.addEventListener("focusin", (event) => this.makeCurrent(this.placeOf(event.target)));
    list.addEventListener("keydown", (event) => {
      const place = this.placeOf(event.target);
      if (place < 0 || !MOVES.includes(event.key) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.focus(neighbour(this.boxes, place, event.key));
    });
    new ResizeObserver(() => {
      if (list.clientWidth !== this.width) this.place();
    }).observe(list);
  }

  /** Shows these photos; a last row that is not full waits for more photos unless `complete`. */
  show(photos, complete = true) {
    this.clear();
    this.add(photos, complete);
  }

  clear() {
    this.list.replaceChildren();
    this.photos = [];
    this.tiles = [];
    this.boxes = [];
    this.current = 0;
  }

  add(photos, complete) {
    const tiles = photos.map((photo) => this.tile(photo));
    this.photos = [...this.photos, ...photos];
    this.tiles.push(...tiles);
    this.complete = complete;
    this.place(); // with its size before it is in the page: lazy loading looks where a picture is
    this.list.append(...tiles);
    this.makeCurrent(this.current);
  }

  tile(photo) {
    const label = format.match(photo.match);
    const image = make("img", { alt: photo.name, loading: "lazy", decoding: "async" });
    image.draggable = false;
    const instead = make("span", { class: "broken", hidden: true }, icon("picture"),
      make("bdi", {}, photo.name));
    image.addEventListener("load", () => {
      image.classList.add("loaded");
      [image.hidden, instead.hidden] = [false, true];
    });
    image.addEventListener("error", () => {
      [image.hidden, instead.hidden] = [true, false];
    });
    const link = make("a", { href: this.addressOf(photo.id), tabindex: "-1" }, image, instead);
    link.title = photo.name;
    if (label) {
      link.append(make("span", { class: "label", "aria-hidden": "true" }, label));
      link.setAttribute("aria-label", `${format.isolated(photo.name)}, ${label}`);
    }
    link.draggable = false;
    return make("li", { class: "tile", "data-id": photo.id }, link);
  }

  place() {
    this.width = this.list.clientWidth;
    const { gap, rowHeight } = this.look;
    const target = rowHeight(this.width);
    const { boxes, height } = justify(this.photos, this.width, target, gap, this.complete);
    this.boxes = boxes;
    this.list.style.height = `${height}px`;
    this.tiles.forEach((tile, i) => {
      tile.hidden = i >= boxes.length;
      if (tile.hidden) return;
      for (const side of SIDES) tile.style[side] = `${boxes[i][side]}px`;
      const image = tile.querySelector("img");
      if (!image.getAttribute("src")) {
        image.src = thumbnailOf(this.photos[i].id, boxes[i].height);
      }
    });
  }

  /** Asks again for the thumbnails that did not come. */
  mend() {
    for (const image of this.list.querySelectorAll("img[hidden]")) {
      image.hidden = false;
      image.setAttribute("src", image.getAttribute("src")); // set again, it is loaded again
    }
  }

  placeOf(element) {
    return this.tiles.indexOf(element.closest(".tile"));
  }

  makeCurrent(place) {
    if (!this.tiles[place]) return;
    this.tiles[this.current]?.firstChild.setAttribute("tabindex", "-1");
    this.tiles[place].firstChild.setAttribute("tabindex", "0");
    this.current = place;
  }

  /** Focuses the photo at a place, as far as it is laid out. */
  focus(place) {
    if (place < this.boxes.length) this.tiles[place]?.firstChild.focus();
  }

  focusPhoto(id) {
    this.focus(this.photos.findIndex((photo) => photo.id === id));
  }

  /** Focuses the first photo that is not scrolled out above `top`. */
  focusVisible(top) {
    const from = top - this.list.getBoundingClientRect().top;
    this.focus(Math.max(0, this.boxes.findIndex((box) => box.top >= from)));
  }
}
