// Several photos chosen: by check marks, a click with Shift, dragging over them, keys, a long press.
// It knows ids alone, so that photos may leave the page and come back.

import { MOVES } from "./grid.js";

const PRESS = 500; // milliseconds of a touch that chooses
const STILL = 10; // pixels that a finger moves without meaning to

const idOf = (element) => element?.closest(".tile")?.dataset.id ?? null;

export class Selection {
  /**
   * @param {HTMLElement} list of the photos; listens to it after the grid does
   * @param {() => string[]} order ids of the photos that are there, as they are shown
   * @param {() => void} changed called when others are chosen
   */
  constructor(list, order, changed) {
    Object.assign(this, { list, order, changed });
    this.ids = new Set();
    this.anchor = null; // where a range begins
    this.drag = null;
    list.addEventListener("click", (event) => this.click(event), { capture: true });
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("pointerdown", (event) => this.press(event));
    addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) {
      addEventListener(kind, () => this.release());
    }
    list.addEventListener("contextmenu", (event) => {
      if (this.pressed) event.preventDefault(); // the long press has done its work
    });
    addEventListener("keydown", (event) => this.all(event));
  }

  has(id) {
    return this.ids.has(id);
  }

  clear() {
    this.anchor = null;
    this.set([]);
  }

  set(ids) {
    this.ids = new Set(ids);
    this.changed();
  }

  toggle(id) {
    const ids = new Set(this.ids);
    if (!ids.delete(id)) ids.add(id);
    this.anchor = id;
    this.set(ids);
  }

  /** Chooses all from the anchor to a photo, beside those chosen in `before`. */
  extend(id, before = this.ids) {
    const order = this.order();
    const [from, to] = [order.indexOf(this.anchor ?? id), order.indexOf(id)];
    if (to < 0) return;
    this.anchor ??= id;
    const first = from < 0 ? to : Math.min(from, to);
    this.set([...before, ...order.slice(first, Math.max(from, to) + 1)]);
  }

  click(event) {
    const id = idOf(event.target);
    if (!id || event.button !== 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const marked = event.target.closest(".check") !== null;
    if (this.skip) {
      this.skip = false; // a drag or a long press ends with a click
    } else if (event.target.closest(".copies") || !(marked || event.shiftKey || this.ids.size)) {
      return;
    } else if (event.shiftKey) {
      this.extend(id);
    } else {
      this.toggle(id);
    }
    event.preventDefault();
    event.stopPropagation();
  }

  key(event) {
    const id = idOf(event.target);
    if (!id || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") {
      event.preventDefault();
      if (event.shiftKey) this.extend(id);
      else this.toggle(id);
    } else if (event.shiftKey && MOVES.test(event.key)) {
      const reached = idOf(document.activeElement); // the grid has moved the focus
      if (this.anchor === null || !this.ids.has(this.anchor)) this.anchor = id;
      if (reached) this.extend(reached);
    }
  }

  /** Ctrl+A, where it would not choose text in a field. */
  all(event) {
    if (event.key.toLowerCase() !== "a" || !(event.ctrlKey || event.metaKey)) return;
    if (event.defaultPrevented || event.altKey || event.shiftKey) return;
    const elsewhere = "input, select, textarea, [contenteditable], dialog";
    if (event.target.closest(elsewhere) || document.querySelector("dialog[open]")) return;
    const order = this.order();
    if (!order.length) return;
    event.preventDefault();
    this.set(order);
  }

  press(event) {
    const id = idOf(event.target);
    this.skip = false;
    this.pressed = false;
    if (!id || event.button !== 0) return;
    if (event.pointerType === "touch") {
      this.hold(id, event);
    } else if (event.target.closest(".check") && !event.shiftKey) {
      this.drag = { id, from: id, before: [...this.ids], moved: false };
    }
  }

  hold(id, { clientX, clientY }) {
    this.held = { clientX, clientY };
    this.timer = setTimeout(() => {
      this.skip = this.pressed = true;
      this.toggle(id);
    }, PRESS);
  }

  move({ clientX, clientY }) {
    if (this.held) {
      const moved = Math.hypot(clientX - this.held.clientX, clientY - this.held.clientY);
      if (moved > STILL) this.release();
    }
    if (!this.drag) return;
    const id = idOf(document.elementFromPoint(clientX, clientY));
    if (!id || (id === this.drag.id && !this.drag.moved)) return;
    this.skip = this.drag.moved = true;
    this.anchor = this.drag.from;
    if (id !== this.drag.id) this.extend((this.drag.id = id), this.drag.before);
  }

  release() {
    clearTimeout(this.timer);
    if (this.drag?.moved) setTimeout(() => (this.skip = false)); // where no click follows
    this.held = this.drag = null;
  }
}
