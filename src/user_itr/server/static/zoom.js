// Zooming into a picture by gestures and keys; a swipe over one that is not zoomed goes on to the
// next.

import { Gestures } from "./gestures.js";

const STEP = 1.5; // of a key or a button
const MOVE = 80; // pixels that an arrow key moves by
const LEAST_MOST = 4; // how far any picture can be enlarged at least
const narrow = matchMedia("(max-width: 859px)"); // where the wheel scrolls to what is below

export class Zoom {
  /**
   * @param {HTMLElement} stage what the picture may fill
   * @param {HTMLImageElement} image in its middle
   * @param {object} on what to call: `swipe(by)`, `changed()`
   */
  constructor(stage, image, on) {
    Object.assign(this, { stage, image, on, pixels: null });
    this.reset();
    image.draggable = false;
    new Gestures(stage, {
      zoom: (factor, x, y) => this.by(factor, x, y),
      move: (right, down) => this.set(this.scale, this.x + right, this.y + down),
      pair: (x, y) => this.toggle(x, y),
      swipe: on.swipe,
      wheel: (event) => !narrow.matches || this.zoomed || event.ctrlKey,
      drags: () => this.zoomed,
    });
    new ResizeObserver(() => this.set(this.scale, this.x, this.y)).observe(stage);
  }

  /** The whole picture again; `pixels`: width and height that it has where all is loaded. */
  reset(pixels = this.pixels) {
    this.pixels = pixels;
    this.set(1, 0, 0);
  }

  get zoomed() {
    return this.scale > 1;
  }

  /** Width and height in CSS pixels of the picture where it is not zoomed. */
  fit() {
    const { offsetWidth, offsetHeight, naturalWidth, naturalHeight } = this.image;
    if (!naturalWidth || !naturalHeight) return { width: 0, height: 0 };
    const scale = Math.min(offsetWidth / naturalWidth, offsetHeight / naturalHeight);
    return { width: naturalWidth * scale, height: naturalHeight * scale };
  }

  /** The scale at which a pixel of the photo is one of the screen. */
  actual() {
    const { width } = this.fit();
    return width && this.pixels?.width ? this.pixels.width / width / devicePixelRatio : 1;
  }

  /** Zooms by a factor and leaves a point, in pixels from the middle of the stage, where it is. */
  by(factor, x = 0, y = 0) {
    const most = Math.max(LEAST_MOST, 3 * this.actual());
    const scale = Math.min(Math.max(this.scale * factor, 1), most);
    const change = scale / this.scale;
    this.set(scale, x - (x - this.x) * change, y - (y - this.y) * change);
  }

  /** Shows the photo's own pixels around a point, or the whole photo again. */
  toggle(x, y) {
    if (this.zoomed) this.reset();
    else this.by(Math.max(2, this.actual()), x, y);
  }

  set(scale, x, y) {
    const { width, height } = this.fit();
    const limit = (size, room, at) => {
      const most = Math.max(0, (size * scale - room) / 2);
      return Math.min(Math.max(at, -most), most);
    };
    this.scale = scale;
    this.x = limit(width, this.stage.clientWidth, x);
    this.y = limit(height, this.stage.clientHeight, y);
    this.image.style.transform =
      scale === 1 ? "" : `translate(${this.x}px, ${this.y}px) scale(${scale})`;
    this.stage.classList.toggle("zoomed", this.zoomed);
    this.on.changed();
  }

  /** Does what a key asks for; whether it asks for anything here. */
  key(name) {
    const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (name === "+" || name === "=") this.by(STEP);
    else if (name === "-") this.by(1 / STEP);
    else if (name === "0") this.reset();
    else if (name in moves && this.zoomed) {
      const [right, down] = moves[name];
      this.set(this.scale, this.x + MOVE * right, this.y + MOVE * down);
    } else return false;
    return true;
  }
}
