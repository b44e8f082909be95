// The map of where photos were taken. It comes with the page: nobody is asked for it.

import * as api from "./api.js";
import { FILTERS } from "./address.js";
import { button, find, make } from "./dom.js";
import * as format from "./format.js";
import { Gestures } from "./gestures.js";
import { World, placeAt, projected } from "./world.js";

const TILE = 256; // pixels that the world is wide at level 0
const CELL = 72; // least pixels from one place to the next
const MOST = TILE * 2 ** 14; // pixels that the world may be wide
const MOVE = 80; // pixels that an arrow key moves by
const STEP = 1.6; // of a key or a button
const PAUSE = 150; // milliseconds after which a moved map asks for its places
const LISTED = 100; // places in the list
const NEAREST = TILE * 2 ** 7; // pixels that the world is wide at most before anybody zooms

const part = (name) => find(`#map-${name}`);

export class PhotoMap {
  /**
   * @param {object} on what to call: `search()`, which gives what is searched for, and
   *   `open(area)` for the photos of an area
   */
  constructor(on) {
    Object.assign(this, { on, world: null, places: [], shown: null });
    this.dialog = find("#map");
    this.globe = find(".globe", this.dialog);
    this.stop = new AbortController();
    this.view = { x: 0.5, y: 0.4, width: TILE };
    part("button").addEventListener("click", () => this.open());
    part("close").addEventListener("click", () => this.dialog.close());
    part("larger").addEventListener("click", () => this.zoom(STEP));
    part("smaller").addEventListener("click", () => this.zoom(1 / STEP));
    this.dialog.addEventListener("close", () => this.stop.abort());
    this.dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !this.key(event.key)) return;
      event.preventDefault();
    });
    new Gestures(this.globe, {
      zoom: (factor, x, y) => this.zoom(factor, x, y),
      move: (right, down) => this.move(right, down),
      pair: (x, y) => this.zoom(STEP * STEP, x, y),
      wheel: () => true,
      drags: () => true,
    });
    new ResizeObserver(() => this.dialog.open && this.move(0, 0)).observe(this.globe);
  }

  /** Shows the button where any photo says where it was taken. */
  async offer() {
    const { places } = await api.places({}, { step: 180, limit: 1 });
    part("button").hidden = places.length === 0;
  }

  async open() {
    this.dialog.showModal();
    const filters = JSON.stringify(FILTERS.map((name) => this.on.search()[name]));
    try {
      this.world ??= await this.load();
      if (this.shown !== filters) await this.fit();
      this.shown = filters;
      this.asked = ""; // photos may have come
      this.draw();
      await this.refresh();
    } catch (error) {
      this.fail(error);
    }
  }

  async load() {
    const world = new World(await api.world());
    find("path", this.globe).setAttribute("d", world.path());
    return world;
  }

  /** Moves and zooms to where all of the photos are. */
  async fit() {
    const { places } = await api.places(this.on.search(), { step: 5 });
    const spots = places.map(({ latitude, longitude }) => projected(latitude, longitude));
    const [xs, ys] = [spots.map(({ x }) => x), spots.map(({ y }) => y)];
    const [left, right, top, bottom] = spots.length
      ? [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)]
      : [0, 1, 0, 1];
    const { clientWidth, clientHeight } = this.globe;
    const room = 0.75; // of the window
    const width = Math.min(
      (room * clientWidth) / (right - left),
      (room * clientHeight) / (bottom - top),
      NEAREST,
    );
    this.view = { x: (left + right) / 2, y: (top + bottom) / 2, width };
  }

  key(name) {
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (name === "+" || name === "=") this.zoom(STEP);
    else if (name === "-") this.zoom(1 / STEP);
    else if (name in moves) this.move(...moves[name].map((way) => way * MOVE));
    else return false;
    return true;
  }

  /** Zooms by a factor and leaves a point, in pixels from the middle, where it is. */
  zoom(factor, x = 0, y = 0) {
    const { view } = this;
    const width = Math.min(Math.max(view.width * factor, this.globe.clientWidth), MOST);
    view.x += x / view.width - x / width;
    view.y += y / view.width - y / width;
    view.width = width;
    this.move(0, 0);
  }

  move(right, down) {
    const { view } = this;
    view.x = Math.min(Math.max(view.x - right / view.width, 0), 1);
    view.y = Math.min(Math.max(view.y - down / view.width, 0), 1);
    this.draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh().catch((error) => this.fail(error)), PAUSE);
  }

  /** Pixels from the left and the top of the window. */
  spotOf({ latitude, longitude }) {
    const { x, y } = projected(latitude, longitude);
    const { view, globe } = this;
    return [
      (x - view.x) * view.width + globe.clientWidth / 2,
      (y - view.y) * view.width + globe.clientHeight / 2,
    ];
  }

  draw() {
    if (!this.world) return;
    const { view, globe } = this;
    view.width = Math.max(view.width, globe.clientWidth);
    const scale = view.width / this.world.width;
    const left = globe.clientWidth / 2 - view.x * view.width;
    const top = globe.clientHeight / 2 - view.y * view.width;
    find("g", globe).setAttribute("transform", `translate(${left} ${top}) scale(${scale})`);
    for (const { pin, place } of this.places) {
      const [x, y] = this.spotOf(place);
      pin.style.translate = `calc(${x}px - 50%) calc(${y}px - 50%)`;
    }
  }

  /** Asks for the places in the window. */
  async refresh() {
    if (!this.dialog.open) return;
    const { view, globe } = this;
    const [wide, high] = [globe.clientWidth / view.width / 2, globe.clientHeight / view.width / 2];
    const southWest = placeAt(Math.max(view.x - wide, 0), view.y + high);
    const northEast = placeAt(Math.min(view.x + wide, 1), view.y - high);
    const level = Math.floor(Math.log2(view.width / TILE));
    const step = Math.min(180, (360 * CELL) / (TILE * 2 ** level));
    const area = format.area(southWest, northEast);
    if (this.asked === `${step} ${area}`) return;
    this.asked = `${step} ${area}`;
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    const { places } = await api.places(this.on.search(), { step, area, signal });
    if (!signal.aborted) this.show(places);
  }

  show(places) {
    this.places = places.map((place) => ({ place, pin: this.pin(place) }));
    find(".pins", this.globe).replaceChildren(...this.places.map(({ pin }) => pin));
    const total = places.reduce((sum, { photos }) => sum + photos, 0);
    part("count").textContent = total
      ? `${format.photos(total)} on this part of the map`
      : "No photo on this part of the map";
    part("list").replaceChildren(...this.places.slice(0, LISTED).map((one) => this.entry(one)));
    this.draw();
  }

  pin(place) {
    const size = `${Math.round(30 + 6 * Math.log10(place.photos) * 1.6)}px`;
    const pin = button(format.short(place.photos), () => this.choose(place), {
      class: "pin", tabindex: "-1", title: `${format.photos(place.photos)}: ${this.nameOf(place)}`,
    });
    Object.assign(pin.style, { width: size, height: size });
    return pin;
  }

  entry({ place, pin }) {
    const image = make("img", { src: api.thumbnailOf(place.photo, 56), alt: "", loading: "lazy" });
    const text = make("span", {}, this.nameOf(place));
    const choose = make("button", { type: "button", class: "plain" }, image, text);
    text.append(make("small", {}, format.photos(place.photos)));
    choose.addEventListener("click", () => this.choose(place));
    for (const kind of ["focus", "pointerenter"]) {
      choose.addEventListener(kind, () => pin.classList.add("meant"));
    }
    for (const kind of ["blur", "pointerleave"]) {
      choose.addEventListener(kind, () => pin.classList.remove("meant"));
    }
    return make("li", {}, choose);
  }

  /** "France, 48.86° N 2.35° E". */
  nameOf({ latitude, longitude }) {
    const country = this.world.nameOf(latitude, longitude);
    return `${country}${country ? ", " : ""}${format.place(latitude, longitude)}`;
  }

  choose(place) {
    this.dialog.close();
    this.on.open(place.area);
  }

  fail(error) {
    if (error.name === "AbortError") return;
    this.asked = "";
    part("count").textContent = "The map could not be loaded: the server does not answer.";
    if (!(error instanceof api.ApiError)) throw error;
  }
}
