// The picture of the viewer.

import * as api from "./api.js";
import { find } from "./dom.js";
import * as format from "./format.js";

const SWIPE = 50; // pixels
const SMALL = 640; // height of the thumbnail that stands until the photo itself is there

export class Stage {
  /**
   * @param {HTMLElement} stage
   * @param {{step: (by: number) => void}} on what a swipe calls
   */
  constructor(stage, on) {
    this.on = on;
    this.image = find("img", stage);
    this.trouble = find(".trouble", stage);
    this.followSwipes(stage);
  }

  /** The thumbnail at once, the photo itself as soon as it is there. */
  show(photo, facts, signal) {
    const { image } = this;
    this.trouble.hidden = true;
    image.alt = photo.name ? format.isolated(photo.name) : "The photo";
    image.src = api.thumbnailOf(photo.id, SMALL);
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

  clear() {
    this.image.removeAttribute("src");
  }

  /** Says in words what is seen: the sentence that fits best, where one does, and the name. */
  describe(facts) {
    const name = format.isolated(facts.name);
    const [best] = facts.captions.filter(({ match }) => match !== 0);
    this.image.alt = best ? `${format.isolated(best.text)} (${name})` : name;
    this.limitSize(facts);
  }

  limitSize({ width, height }) {
    const twice = (side) => (side ? `${2 * side}px` : "none"); // small photos are not blown up
    this.image.style.maxWidth = twice(width);
    this.image.style.maxHeight = twice(height);
  }

  /** Says the first thing that went wrong. */
  tell(text) {
    if (!this.trouble.hidden) return;
    this.trouble.textContent = text;
    this.trouble.hidden = false;
  }

  followSwipes(stage) {
    let from = null;
    stage.addEventListener("touchstart", (event) => {
      from = event.touches.length === 1 ? event.touches[0].clientX : null;
    }, { passive: true });
    stage.addEventListener("touchend", (event) => {
      const by = from === null ? 0 : event.changedTouches[0].clientX - from;
      if (Math.abs(by) > SWIPE && (visualViewport?.scale ?? 1) === 1) this.on.step(by < 0 ? 1 : -1);
    }, { passive: true });
  }
}
