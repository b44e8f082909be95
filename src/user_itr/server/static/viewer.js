// One photo, large, among those it was opened from.

import * as api from "./api.js";
import { About } from "./about.js";
import { find, typing } from "./dom.js";
import { FullScreen } from "./fullscreen.js";
import { Slides } from "./slides.js";
import { Stage } from "./stage.js";

const part = (name) => find(`#viewer-${name}`);

export class Viewer {
  /**
   * @param {object} on what to call: `addressOf(id)`, `open(photo, photos)` for a neighbour,
   *   `move(photo)` for the next one, `close(photo)`, `search(photo)`, `folder(path)`, `more()`
   *   when the last of the photos is reached, `named(name)` when the name of the photo is known,
   *   and with nothing when none is shown any more
   */
  constructor(on) {
    this.on = on;
    this.dialog = find("#viewer");
    this.stop = new AbortController();
    this.photo = null;
    this.photos = [];
    this.about = new About(on);
    const stage = find(".stage", this.dialog);
    this.stage = new Stage(stage, { swipe: (by) => this.step(by) });
    this.fullScreen = new FullScreen(part("full"), stage);
    this.slides = new Slides(part("slides"), {
      next: () => this.step(1),
      held: () => this.stage.zoom.zoomed,
      changed: (running) => this.dialog.classList.toggle("slides", running),
    });
    part("larger").addEventListener("click", () => this.stage.zoom.key("+"));
    part("smaller").addEventListener("click", () => this.stage.zoom.key("-"));
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
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (!typing(event.target) && this.key(event.key, event.target)) event.preventDefault();
    });
  }

  /** Does what a key asks for; whether it asks for anything. */
  key(name, target) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const { slides, stage } = this;
    if (name === " " && !target.closest("button, a")) slides.toggle();
    else if (name === "f") this.fullScreen.toggle();
    else if (name === "Escape" && slides.running) slides.toggle(false);
    else if (name === "Escape" && stage.zoom.zoomed) stage.zoom.reset();
    else if (stage.zoom.key(name)) return true;
    else if (name in steps) this.step(steps[name]);
    else return false;
    return true;
  }

  /** Shows a photo, one of `photos`; of a photo from a link only the id is known. */
  show(photo, photos) {
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    this.photo = photo;
    this.photos = photos;
    if (!this.dialog.open) {
      // the page keeps its width while the viewer takes the place of its scroll bar
      document.body.style.width = `${document.documentElement.clientWidth}px`;
      this.dialog.showModal();
    }
    this.dialog.scrollTop = 0;
    find(".about", this.dialog).scrollTop = 0;
    this.about.show(photo);
    this.showSteps();
    if (photo.name) this.on.named(photo.name);
    const facts = this.load(photo, signal);
    if (this.slides.running) this.stage.appear();
    this.slides.after(this.stage.show(photo, facts, signal));
    this.about.loadNeighbours(photo, signal);
    if (!this.dialog.contains(document.activeElement)) part("name").focus(); // was on a neighbour
  }

  /** Closes without a call of `on.close`. */
  hide() {
    this.forget();
    if (this.dialog.open) this.dialog.close();
  }

  forget() {
    this.stop.abort();
    if (this.photo) this.on.named("");
    this.slides.toggle(false);
    this.fullScreen.leave();
    this.photo = null;
    this.stage.clear();
    this.about.clear();
    document.body.style.width = "";
  }

  /** Goes to the next photo, or the one before; whether there is one. */
  step(by) {
    const next = this.photos[this.place() + by];
    if (!this.photo || !next) return false;
    this.on.move(next);
    this.show(next, this.photos);
    return true;
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
    if (place < 3 || place >= photos.length - 3) this.on.more(photos);
  }

  /** Fetches and shows what the index knows of a photo; gives null where it does not come. */
  async load(photo, signal) {
    try {
      const facts = await api.facts(photo.id, signal);
      if (signal.aborted) return null;
      this.on.named(facts.name);
      this.stage.describe(facts);
      this.about.showFacts(facts);
      return facts;
    } catch (error) {
      if (signal.aborted) return null;
      if (!(error instanceof api.ApiError)) throw error;
      const missing = error.kind === "missing";
      if (missing) this.about.showMissing();
      this.stage.tell(
        missing
          ? "This photo is not in the index any more."
          : "The facts of this photo could not be loaded: the server does not answer.",
      );
      return null;
    }
  }
}
