// One photo, large: its facts, the sentences that describe it, and its neighbours.

import * as api from "./api.js";
import { button, find, make } from "./dom.js";
import * as format from "./format.js";
import { Grid } from "./grid.js";

const SWIPE = 50; // pixels
const part = (name) => find(`#viewer-${name}`);

export class Viewer {
  /**
   * @param {object} on what to call: `addressOf(id)`, `open(photo, photos)` for a neighbour,
   *   `move(photo)` for the next one, `close(photo)`, `search(photo)`, `folder(path)`, `more()`
   *   when the last of the photos is reached
   */
  constructor(on) {
    this.on = on;
    this.dialog = find("#viewer");
    this.image = part("image");
    this.stop = new AbortController();
    this.photo = null;
    this.photos = [];
    const look = { rowHeight: () => 84, gap: 4 };
    const list = find("#viewer-neighbours .grid");
    this.neighbours = new Grid(list, look, on.addressOf, on.open);
    part("previous").addEventListener("click", () => this.step(-1));
    part("next").addEventListener("click", () => this.step(1));
    part("close").addEventListener("click", () => this.dialog.close());
    part("search").addEventListener("click", () => on.search(this.photo));
    this.dialog.addEventListener("close", () => {
      const shown = this.photo;
      this.forget();
      if (shown) on.close(shown);
    });
    this.dialog.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 };
      if (!(event.key in steps) || event.defaultPrevented || event.altKey) return;
      event.preventDefault();
      this.step(steps[event.key]);
    });
    this.followSwipes(find(".stage", this.dialog));
  }

  /** Shows a photo, one of `photos`; of a photo from a link only the id is known. */
  show(photo, photos) {
    this.stop.abort();
    this.stop = new AbortController();
    this.photo = photo;
    this.photos = photos;
    if (!this.dialog.open) {
      // the page keeps its width while the viewer takes the place of its scroll bar
      document.body.style.width = `${document.documentElement.clientWidth}px`;
      this.dialog.showModal();
    }
    this.dialog.scrollTop = 0;
    find(".about", this.dialog).scrollTop = 0;
    this.offer(true);
    this.showKnown(photo);
    this.showSteps();
    part("facts").replaceChildren();
    part("captions").hidden = true;
    const facts = this.loadFacts(photo, this.stop.signal);
    this.showImage(photo, facts, this.stop.signal);
    this.loadNeighbours(photo, this.stop.signal);
    if (!this.dialog.contains(document.activeElement)) part("name").focus(); // was on a neighbour
  }

  /** Closes without a call of `on.close`. */
  hide() {
    this.forget();
    if (this.dialog.open) this.dialog.close();
  }

  forget() {
    this.stop.abort();
    this.photo = null;
    this.image.removeAttribute("src");
    this.neighbours.clear();
    document.body.style.width = "";
  }

  step(by) {
    const next = this.photos[this.place() + by];
    if (!this.photo || !next) return;
    this.on.move(next);
    this.show(next, this.photos);
  }

  place() {
    return this.photos.findIndex((photo) => photo.id === this.photo?.id);
  }

  /** Offers the ways on; called again when more photos of the search have come. */
  showSteps(photos = this.photos) {
    this.photos = photos;
    const place = this.place();
    part("previous").disabled = place <= 0;
    part("next").disabled = place < 0 || place === photos.length - 1;
    if (place >= photos.length - 3) this.on.more(photos);
  }

  showKnown(photo) {
    const match = format.match(photo.match);
    part("name").textContent = photo.name ?? "";
    part("match").textContent = match;
    part("match").hidden = !match;
    part("file").href = api.fileOf(photo.id);
  }

  /** The thumbnail at once, the photo itself as soon as it is there. */
  showImage(photo, facts, signal) {
    const { image } = this;
    part("trouble").hidden = true;
    image.alt = photo.name ?? "The photo";
    image.src = api.thumbnailOf(photo.id, 640);
    image.hidden = false;
    this.limitSize(photo);
    const whole = new Image();
    whole.src = api.fileOf(photo.id);
    whole.decode().then(
      () => {
        if (!signal.aborted) image.src = whole.src;
      },
      async () => {
        if (signal.aborted) return;
        image.hidden = !image.complete || image.naturalWidth === 0; // no thumbnail either
        await facts; // which may say that there is no such photo
        if (signal.aborted) return;
        this.tell(
          "This file cannot be shown: it was moved, deleted or damaged since it was indexed.",
        );
      },
    );
  }

  limitSize({ width, height }) {
    const twice = (side) => (side ? `${2 * side}px` : "none"); // small photos are not blown up
    this.image.style.maxWidth = twice(width);
    this.image.style.maxHeight = twice(height);
  }

  /** Says the first thing that went wrong. */
  tell(text) {
    if (!part("trouble").hidden) return;
    part("trouble").textContent = text;
    part("trouble").hidden = false;
  }

  async loadFacts(photo, signal) {
    try {
      const facts = await api.facts(photo.id, signal);
      if (signal.aborted) return;
      part("name").textContent = facts.name;
      this.image.alt = facts.name;
      this.limitSize(facts);
      this.showFacts(facts);
      this.showCaptions(facts.captions);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof api.ApiError)) throw error;
      if (error.kind === "missing") {
        part("name").textContent = "No such photo";
        this.offer(false);
      }
      this.tell(
        error.kind === "missing"
          ? "This photo is not in the index any more."
          : "The facts of this photo could not be loaded: the server does not answer.",
      );
    }
  }

  /** What can be done with a photo, which a link to one that is gone does not offer. */
  offer(whether) {
    for (const name of ["search", "file", "neighbours"]) part(name).hidden = !whether;
  }

  showFacts(facts) {
    const date = facts.taken ? ["Taken", facts.taken] : ["Changed", facts.modified];
    const folder = button(facts.folder, () => this.on.folder(facts.folder), {
      class: "link", title: "Show the photos in this folder",
    });
    const rows = [
      [date[0], format.date(date[1])],
      ["Pixels", format.pixels(facts.width, facts.height)],
      ["Size", format.bytes(facts.bytes)],
      ["Folder", folder],
    ];
    part("facts").append(
      ...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
    );
    if (!navigator.clipboard) return; // only where the page is trusted: this computer, or https
    const copy = button("Copy the path", async () => {
      await navigator.clipboard.writeText(facts.path);
      copy.lastChild.textContent = "Copied";
    }, { symbol: "copy", class: "link" });
    part("facts").append(make("div", {}, make("dt", {}, "File"), make("dd", {}, copy)));
  }

  showCaptions(captions) {
    part("captions").hidden = captions.length === 0;
    find("ul", part("captions")).replaceChildren(
      ...captions.map(({ text, match }) => {
        const label = format.match(match);
        return make("li", {}, text, label ? make("small", {}, label) : "");
      }),
    );
  }

  async loadNeighbours(photo, signal) {
    const note = find("p", part("neighbours"));
    note.textContent = "Looking …";
    this.neighbours.clear();
    this.neighbours.place();
    try {
      const { photos } = await api.neighbours(photo.id, signal);
      if (signal.aborted) return;
      const others = photos.filter((other) => other.id !== photo.id).slice(0, 12);
      note.textContent = others.length ? "" : "There is no other photo in the index.";
      this.neighbours.show(others);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof api.ApiError)) throw error;
      note.textContent = "Similar photos could not be loaded.";
    }
  }

  followSwipes(stage) {
    let from = null;
    stage.addEventListener("touchstart", (event) => {
      from = event.touches.length === 1 ? event.touches[0].clientX : null;
    }, { passive: true });
    stage.addEventListener("touchend", (event) => {
      const by = from === null ? 0 : event.changedTouches[0].clientX - from;
      if (Math.abs(by) > SWIPE && (visualViewport?.scale ?? 1) === 1) this.step(by < 0 ? 1 : -1);
    }, { passive: true });
  }
}
