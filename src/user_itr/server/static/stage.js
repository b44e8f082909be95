// The picture of the viewer: a thumbnail at once, then one for the screen; the file itself where
// it is small, or zoomed into beyond that.

import * as api from "./api.js";
import { find } from "./dom.js";
import * as format from "./format.js";
import { Zoom } from "./zoom.js";

const SMALL = 640; // height of the thumbnail that stands first
const FADE = 600; // milliseconds
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const CANNOT = "This file cannot be shown: it was moved, deleted or damaged since it was indexed.";

export class Stage {
  /**
   * @param {HTMLElement} stage
   * @param {{swipe: (by: number) => void}} on what to call
   */
  constructor(stage, on) {
    this.stage = stage;
    this.image = find("img", stage);
    this.trouble = find(".trouble", stage);
    this.sharper = null; // loads the file itself, where something smaller is shown
    this.zoom = new Zoom(stage, this.image, { ...on, changed: () => this.sharpen() });
    this.image.addEventListener("load", () => this.sharpen());
  }

  /**
   * Shows a photo.
   * @param {object} photo
   * @param {Promise<object | null>} facts of it
   * @param {AbortSignal} signal aborted when another photo takes its place
   */
  async show(photo, facts, signal) {
    const { image } = this;
    this.sharper = null;
    this.trouble.hidden = true;
    image.alt = photo.name ? format.isolated(photo.name) : "The photo";
    image.src = api.thumbnailOf(photo.id, SMALL);
    image.hidden = false;
    this.limitSize(photo);
    const { width, height } = photo.width ? photo : ((await facts) ?? {});
    if (signal.aborted || !width) return;
    const small = height <= api.PREVIEW && width <= 4 * api.PREVIEW;
    const shown = await this.load(small ? api.fileOf(photo.id) : api.previewOf(photo.id), signal);
    if (shown && !small) {
      this.sharper = () => this.load(api.fileOf(photo.id), signal);
      this.sharpen();
    } else if (!shown && !signal.aborted) {
      image.hidden = !image.complete || image.naturalWidth === 0; // no thumbnail either
      await facts; // which may say that there is no such photo
      const why = signal.aborted ? "" : await api.whyNot(api.fileOf(photo.id));
      if (!signal.aborted) this.tell(why ? `This photo cannot be shown. ${why}` : CANNOT);
    }
  }

  /** Shows a picture as soon as it is decoded; whether it could be. */
  async load(address, signal) {
    const picture = new Image();
    picture.src = address;
    this.stage.classList.add("busy");
    const decoded = await picture.decode().then(() => true, () => false);
    if (signal.aborted) return false;
    this.stage.classList.remove("busy");
    if (decoded) this.image.src = address;
    return decoded;
  }

  /** Loads the file itself where the screen has more pixels than what is shown. */
  sharpen() {
    const { image, zoom, sharper } = this;
    const shown = zoom?.fit().height * zoom?.scale * devicePixelRatio;
    if (!sharper || !image.complete || shown <= 1.1 * image.naturalHeight) return;
    this.sharper = null;
    sharper();
  }

  /** Lets the next picture appear by and by. */
  appear() {
    if (!calm.matches) this.image.animate({ opacity: [0, 1] }, FADE);
  }

  clear() {
    this.sharper = null;
    this.stage.classList.remove("busy");
    this.image.removeAttribute("src");
  }

  /** Says in words what is seen: the sentence that fits best, where one does, and the name. */
  describe(facts) {
    const name = format.isolated(facts.name);
    const [best] = facts.captions;
    this.image.alt = best ? `${format.isolated(best.text)} (${name})` : name;
    if (!this.zoom.pixels) this.limitSize(facts);
  }

  limitSize({ width, height }) {
    const twice = (side) => (side ? `${2 * side}px` : "none"); // small photos are not blown up
    this.image.style.maxWidth = twice(width);
    this.image.style.maxHeight = twice(height);
    this.zoom.reset(width ? { width, height } : null);
  }

  /** Says the first thing that went wrong. */
  tell(text) {
    if (!this.trouble.hidden) return;
    this.trouble.textContent = text;
    this.trouble.hidden = false;
  }
}
