// Photos in justified rows, days below headings. Only what is near the window is in the page, so
// that a list may have any length. Each photo is a link, one of them in the tab order; keys move it.

import { make, opensElsewhere } from "./dom.js";
import { Layout } from "./layout.js";
import { NOTHING, sourceOf } from "./source.js";
import { dropTile, fillTile, makeTile, putTile, watchThumbnails } from "./tile.js";

/** Keys that move from photo to photo. */
export const MOVES = /^(Arrow(Left|Right|Up|Down)|Home|End|Page(Up|Down))$/;
const AROUND = 700; // pixels above and below the window that are ready
const PAUSE = 90; // milliseconds without a jump, after which photos are loaded

export class Grid {
  /**
   * @param {HTMLElement} list
   * @param {{rowHeight: (width: number) => number, gap: number}} look
   * @param {(id: string) => string} addressOf where a photo's link leads
   * @param {(photo: object, photos: object[]) => void} open called instead on a plain click
   */
  constructor(list, look, addressOf, open) {
    Object.assign(this, { list, look, addressOf, source: NOTHING, current: 0, scrolled: 0 });
    this.tiles = new Map(); // those in the page, by place
    this.days = new Map(); // the same of sections, by number
    this.layout = new Layout([], [], 0, { height: 1, gap: 0, heading: 0 });
    list.addEventListener("click", (event) => {
      const photo = this.source.photo(this.placeOf(event.target));
      if (!photo || opensElsewhere(event)) return;
      event.preventDefault();
      open(photo, this.around(photo.id));
    });
    list.addEventListener("focusin", (event) => this.makeCurrent(this.placeOf(event.target)));
    list.addEventListener("keydown", (event) => {
      const place = this.placeOf(event.target);
      if (place < 0 || !MOVES.test(event.key) || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.focus(this.layout.neighbour(place, event.key, 0.8 * innerHeight));
    });
    watchThumbnails(list);
    addEventListener("scroll", () => this.renderSoon(), { capture: true, passive: true });
    new ResizeObserver(() => {
      if (list.clientWidth !== this.layout.width) this.resize();
    }).observe(list);
  }

  /** Shows the photos of a source (see `source.js`), or these. */
  show(source) {
    const focused = this.list.contains(document.activeElement);
    this.empty();
    this.source = Array.isArray(source) ? sourceOf(source) : source;
    this.more();
    if (focused) this.focus(this.current);
  }

  clear() {
    this.empty();
    this.more();
  }

  empty() {
    for (const tile of this.tiles.values()) dropTile(tile);
    this.tiles.clear();
    this.days.clear();
    this.list.replaceChildren();
    this.source = NOTHING;
    this.current = 0;
    this.shown = false;
  }

  /** Lays all out again: the source has grown, or the width is another. */
  more() {
    const { ratios, sections, complete } = this.source;
    const width = this.list.clientWidth;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const look = { height: this.look.rowHeight(width), gap: this.look.gap, heading: 3 * rem };
    this.layout = new Layout(ratios, sections, width, look, complete);
    this.list.style.height = `${this.layout.height}px`;
    for (const [place, tile] of this.tiles) putTile(tile, this.layout.box(place));
    for (const [number, day] of this.days) this.putHeading(number, day);
    this.render();
    this.list.dispatchEvent(new Event("laid"));
    if (this.list.clientWidth !== width) this.more(); // the timeline came or went
  }

  /** Lays out anew, with the photo at the window's top kept in its place. */
  resize() {
    const { top } = this.list.getBoundingClientRect();
    const first = this.layout.startOf(this.layout.rowAt(-top));
    const before = top < 0 && first < this.layout.placed ? this.layout.box(first).top : null;
    this.more();
    if (before !== null) scrollBy(0, this.layout.box(first).top - before);
  }

  renderSoon() {
    this.frame ??= requestAnimationFrame(() => this.render());
  }

  /** Puts what is near the window into the page, and takes away the rest. */
  render() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    const { layout, source } = this;
    const { top } = this.list.getBoundingClientRect();
    const jumped = Math.abs(top - this.scrolled) > 1.5 * innerHeight;
    this.scrolled = top;
    const from = layout.startOf(layout.rowAt(-top - AROUND));
    const to = layout.startOf(layout.rowAt(-top + innerHeight + AROUND) + 1);
    this.putTiles(from, to);
    clearTimeout(this.paused);
    if (jumped && this.shown) this.paused = setTimeout(() => this.load(from, to), PAUSE);
    else this.load(from, to);
    this.shown = layout.placed > 0;
    if (!this.tiles.has(this.current)) this.current = layout.startOf(layout.rowAt(-top));
    this.makeCurrent(this.current);
  }

  load(from, to) {
    this.source.want(from, to);
    this.fill();
  }

  /** Shows the photos that have come. */
  fill() {
    for (const [place, tile] of this.tiles) {
      const photo = tile.dataset.id ? undefined : this.source.photo(place);
      if (!photo) continue;
      fillTile(tile, photo, this.addressOf(photo.id), this.layout.box(place).height);
    }
  }

  putTiles(from, to) {
    const focused = this.placeOf(document.activeElement); // stays, wherever it is
    for (const [place, tile] of this.tiles) {
      if ((place >= from && place < to) || place === focused) continue;
      dropTile(tile);
      this.tiles.delete(place);
    }
    const places = Array.from({ length: to - from }, (_, i) => from + i);
    if (this.tiles.has(focused) && focused < from) places.unshift(focused);
    if (this.tiles.has(focused) && focused >= to) places.push(focused);
    const { layout } = this;
    const seen = new Set(places.map((place) => layout.sectionOf(place)));
    for (const [number, day] of this.days) {
      if (seen.has(number)) continue;
      day.remove();
      this.days.delete(number);
    }
    let [below, belowDay] = [null, null]; // what stands behind in the page
    for (const place of places.reverse()) {
      const number = layout.sectionOf(place);
      const day = this.dayOf(number);
      if (!day.isConnected) this.list.insertBefore(day, belowDay); // moved, it would lose the focus
      if (day !== belowDay) [below, belowDay] = [null, day];
      below = this.tileAt(place, day.lastChild, below, layout.sections[number]);
    }
  }

  tileAt(place, list, below, { start, count }) {
    let tile = this.tiles.get(place);
    if (!tile) {
      tile = makeTile(place);
      putTile(tile, this.layout.box(place));
      this.tiles.set(place, tile);
    }
    if (!tile.isConnected) list.insertBefore(tile, below);
    tile.setAttribute("aria-posinset", place - start + 1);
    tile.setAttribute("aria-setsize", this.source.complete ? count : -1);
    return tile;
  }

  /** A section in the page: a heading, where it has one, and a list. */
  dayOf(number) {
    if (this.days.has(number)) return this.days.get(number);
    const { title } = this.layout.sections[number];
    const list = make("ul", { role: "list" });
    const day = make("div", { class: "day" }, list);
    if (title) {
      const id = `${this.list.id}-day-${number}`;
      day.prepend(make("h3", { id }, title));
      list.setAttribute("aria-labelledby", id);
    } else {
      list.setAttribute("aria-labelledby", this.list.dataset.title);
    }
    this.days.set(number, day);
    this.putHeading(number, day);
    return day;
  }

  putHeading(number, day) {
    const head = this.layout.heads[number];
    if (!head || !this.layout.sections[number].title) return;
    putTile(day.firstChild, { ...head, height: this.layout.look.heading });
  }

  /** Asks again for the thumbnails that did not come. */
  mend() {
    for (const image of this.list.querySelectorAll("img[hidden]")) {
      image.hidden = false;
      image.setAttribute("src", image.getAttribute("src")); // set again, it is loaded again
    }
  }

  placeOf(element) {
    return this.list.contains(element) ? (element.closest(".tile")?.place ?? -1) : -1;
  }

  makeCurrent(place) {
    if (!this.tiles.has(place)) return;
    this.tiles.get(this.current)?.firstChild.setAttribute("tabindex", "-1");
    this.tiles.get(place).firstChild.setAttribute("tabindex", "0");
    this.current = place;
  }

  /** Scrolls a photo into the window, a third down, unless it is there. */
  reveal(place) {
    if (this.tiles.has(place)) return;
    const top = this.list.getBoundingClientRect().top + this.layout.box(place).top;
    scrollBy({ top: top - innerHeight / 3, behavior: "instant" });
    this.render();
  }

  /** Focuses the photo at a place, as far as it is laid out. */
  focus(place) {
    if (!(place >= 0 && place < this.layout.placed)) return;
    this.reveal(place);
    this.tiles.get(place)?.firstChild.focus();
  }

  focusPhoto(id) {
    this.focus(this.source.placeOf(id));
  }

  /** Focuses the first photo that is not scrolled out above `top`. */
  focusVisible(top) {
    const from = top - this.list.getBoundingClientRect().top;
    const row = this.layout.rowAt(from);
    this.focus(this.layout.startOf(this.layout.tops[row] < from ? row + 1 : row));
  }

  /** The photos on both sides of one, as far as they are there; null where it is not. */
  around(id) {
    const place = this.source.placeOf(id);
    if (place < 0) return null;
    let [from, to] = [place, place + 1];
    while (this.source.photo(from - 1)) from -= 1;
    while (this.source.photo(to)) to += 1;
    return Array.from({ length: to - from }, (_, i) => this.source.photo(from + i));
  }
}
