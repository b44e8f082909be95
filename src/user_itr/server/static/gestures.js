// What a mouse, a pen or fingers ask of something that is zoomed and moved: wheel, pinch, drag,
// double click and tap, swipe.

const SWIPE = 50; // pixels
const PAIR = { apart: 300, near: 30 }; // milliseconds and pixels between the two taps of a pair
const STILL = 10; // pixels that a tap may move by

export class Gestures {
  /**
   * @param {HTMLElement} element
   * @param {object} on what to call; places are in pixels from the element's middle:
   *   `zoom(factor, x, y)`, `move(right, down)`, `pair(x, y)` for a double click or tap,
   *   `swipe(by)`, `wheel(event)` and `drags()`, which say whether the wheel and dragging are for it
   */
  constructor(element, on) {
    Object.assign(this, { element, on });
    this.pointers = new Map();
    this.tap = null; // the last one
    element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    element.addEventListener("pointerup", (event) => this.up(event));
    element.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
  }

  wheel(event) {
    if (!this.on.wheel(event)) return;
    event.preventDefault(); // with Ctrl held, as a touch pad's pinch has it, the page would zoom
    const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1);
    this.on.zoom(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.002)), ...this.fromMiddle(event));
  }

  fromMiddle({ clientX, clientY }) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return [clientX - left - width / 2, clientY - top - height / 2];
  }

  down(event) {
    if (event.button !== 0 || event.target.closest("button, a")) return;
    if (!this.pointers.size) this.start = { x: event.clientX, y: event.clientY, pinched: false };
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size === 2) this.start.pinched = true;
    if (this.on.drags()) this.element.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const before = this.middle();
    this.pointers.set(event.pointerId, event);
    const after = this.middle();
    if (this.pointers.size === 2 && before.apart) {
      this.on.zoom(after.apart / before.apart, ...this.fromMiddle(after));
    }
    if (this.on.drags()) {
      this.on.move(after.clientX - before.clientX, after.clientY - before.clientY);
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
    if (Math.hypot(right, down) < STILL) {
      this.tapped(event);
    } else if (event.pointerType === "touch" && !this.on.drags() && visualViewport.scale === 1) {
      if (Math.abs(right) > Math.max(SWIPE, Math.abs(down))) this.on.swipe(right < 0 ? 1 : -1);
    }
  }

  tapped(event) {
    const { tap } = this;
    const near = tap && Math.hypot(event.clientX - tap.clientX, event.clientY - tap.clientY);
    const second = tap && event.timeStamp - tap.timeStamp < PAIR.apart && near < PAIR.near;
    this.tap = second ? null : event;
    if (second) this.on.pair(...this.fromMiddle(event));
  }
}
