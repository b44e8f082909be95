// Zooming into a picture: wheel, pinch, double click and tap, keys; dragging moves it; a swipe over
// one that is not zoomed goes on to the next.

const SWIPE = 50; // pixels
const TAP = { apart: 300, near: 30 }; // milliseconds and pixels between the two taps of a pair
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
    this.pointers = new Map();
    this.tap = null; // the last one
    this.reset();
    image.draggable = false;
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.up(event));
    stage.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
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

  wheel(event) {
    if (narrow.matches && !this.zoomed && !event.ctrlKey) return;
    event.preventDefault(); // with Ctrl held, as a touch pad's pinch has it, the page would zoom
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    this.by(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), ...this.fromMiddle(event));
  }

  fromMiddle({ clientX, clientY }) {
    const { left, top, width, height } = this.stage.getBoundingClientRect();
    return [clientX - left - width / 2, clientY - top - height / 2];
  }

  down(event) {
    if (event.button !== 0 || event.target.closest("button, a")) return;
    if (!this.pointers.size) this.start = { x: event.clientX, y: event.clientY, pinched: false };
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) this.start.pinched = true;
    if (this.zoomed) this.stage.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = this.middle();
    this.pointers.set(event.pointerId, event);
    const after = this.middle();
    if (this.pointers.size === 2 && before.apart) {
      this.by(after.apart / before.apart, ...this.fromMiddle(after));
    }
    if (this.zoomed) {
      const right = after.clientX - before.clientX;
      this.set(this.scale, this.x + right, this.y + after.clientY - before.clientY);
    }
  }

  /** The middle of the fingers, and how far they are apart. */
  middle() {
    const [one, other = one] = [...this.pointers.values()];
    return {
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
      apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
    };
  }

  up(event) {
    if (!this.pointers.delete(event.pointerId) || this.start.pinched) return;
    const [right, down] = [event.clientX - this.start.x, event.clientY - this.start.y];
    if (Math.hypot(right, down) < TAP.near / 3) {
      this.tapped(event);
    } else if (event.pointerType === "touch" && !this.zoomed && visualViewport.scale === 1) {
      if (Math.abs(right) > Math.max(SWIPE, Math.abs(down))) this.on.swipe(right < 0 ? 1 : -1);
    }
  }

  tapped(event) {
    const { tap } = this;
    const near = tap && Math.hypot(event.clientX - tap.clientX, event.clientY - tap.clientY);
    const second = tap && event.timeStamp - tap.timeStamp < TAP.apart && near < TAP.near;
    this.tap = second ? null : event;
    if (second) this.toggle(...this.fromMiddle(event));
  }
}
