// The strip beside the photos: years and months in the share of their photos, to jump to any of
// them. To assistive technology it is a slider, the newest month its highest value.

import { find, make } from "./dom.js";
import * as format from "./format.js";

const MANY = 60; // photos; fewer need no strip
const APART = 20; // pixels between two years that are written
const DOTS_APART = 6;
const LINGERS = 900; // milliseconds that the month stays named after a scroll

export class Timeline {
  /** @param {import("./grid.js").Grid} grid whose sections have a `day` */
  constructor(grid) {
    Object.assign(this, { grid, months: [], strip: find("#timeline") });
    this.thumb = find(".thumb", this.strip);
    this.told = find(".told", this.strip);
    this.marks = find(".marks", this.strip);
    grid.list.addEventListener("laid", () => this.build());
    addEventListener("scroll", () => this.follow(), { passive: true });
    addEventListener("resize", () => this.draw());
    this.strip.addEventListener("keydown", (event) => this.press(event));
    this.strip.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.strip.setPointerCapture(event.pointerId);
      this.strip.classList.add("held");
      this.jump(this.heightAt(event));
    });
    this.strip.addEventListener("pointermove", (event) => {
      if (this.strip.hasPointerCapture(event.pointerId)) this.jump(this.heightAt(event));
      else this.tell(this.monthAt(this.heightAt(event)), event.clientY - this.strip.offsetTop);
    });
    this.strip.addEventListener("lostpointercapture", () => this.strip.classList.remove("held"));
    this.strip.addEventListener("pointerleave", () => this.show());
  }

  build() {
    const { sections, heads, height } = this.grid.layout;
    this.height = Math.max(1, height);
    this.months = [];
    sections.forEach(({ day, count, title }, number) => {
      if (day === undefined || !heads[number]) return;
      const key = day.slice(0, 7);
      const last = this.months.at(-1);
      if (last?.key === key) last.count += count;
      else {
        const name = day ? format.month(day) : title;
        this.months.push({ key, name, count, top: heads[number].top });
      }
    });
    const photos = this.months.reduce((sum, { count }) => sum + count, 0);
    this.strip.hidden = this.months.length < 2 || photos < MANY;
    this.strip.setAttribute("aria-valuemax", Math.max(0, this.months.length - 1));
    this.draw();
    this.show();
  }

  /** Writes the years, and a dot for each month, as far as there is room. */
  draw() {
    if (this.strip.hidden) return;
    const room = this.strip.clientHeight;
    this.room = room; // not asked for again while the page scrolls
    const marks = [];
    let [year, written, dotted] = ["", -Infinity, -Infinity];
    for (const { key, top } of this.months) {
      const at = (top / this.height) * room;
      const own = key.slice(0, 4);
      if (own && own !== year && at >= written + APART && at <= room - APART / 2) {
        marks.push(mark("year", at, own));
        written = dotted = at;
      } else if (at >= dotted + DOTS_APART && at >= written + APART) {
        marks.push(mark("dot", at));
        dotted = at;
      }
      year = own;
    }
    this.marks.replaceChildren(...marks);
  }

  follow() {
    if (this.strip.hidden) return;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.show();
    });
    this.strip.classList.add("moving");
    clearTimeout(this.lingering);
    this.lingering = setTimeout(() => this.strip.classList.remove("moving"), LINGERS);
  }

  /** Shows where the window is. */
  show() {
    if (this.strip.hidden) return;
    const y = this.top();
    const at = Math.min(1, Math.max(0, y / this.height)) * this.room;
    const number = this.monthAt(y);
    this.thumb.style.top = `${at}px`;
    this.tell(number, at);
    const { name, count } = this.months[number];
    this.strip.setAttribute("aria-valuenow", this.months.length - 1 - number);
    this.strip.setAttribute("aria-valuetext", `${name}, ${format.photos(count)}`);
  }

  tell(number, at) {
    this.told.style.top = `${Math.min(Math.max(at, 20), this.room - 20)}px`;
    if (this.told.month === this.months[number]) return;
    const { name, count } = this.months[number];
    this.told.month = this.months[number];
    this.told.replaceChildren(name, make("small", {}, format.photos(count)));
  }

  /** The height in the list that stands below the bar. */
  top() {
    return find(".bar").getBoundingClientRect().bottom - this.grid.list.getBoundingClientRect().top;
  }

  monthAt(y) {
    const number = this.months.findLastIndex(({ top }) => top <= y + 2);
    return Math.max(0, number);
  }

  heightAt({ clientY }) {
    const { top, height } = this.strip.getBoundingClientRect();
    return (Math.min(Math.max(clientY - top, 0), height) / height) * this.height;
  }

  jump(y) {
    scrollBy({ top: y - this.top(), behavior: "instant" });
    this.show();
  }

  press(event) {
    const number = this.monthAt(this.top());
    const year = (one) => this.months[one].key.slice(0, 4);
    const ofYear = (one) => this.months.findIndex((_, other) => year(other) === year(one));
    const last = this.months.length - 1;
    const later = this.months.findIndex((_, one) => one > number && year(one) !== year(number));
    const before = ofYear(number) < number ? ofYear(number) : ofYear(Math.max(0, number - 1));
    const steps = {
      ArrowDown: Math.min(number + 1, last), ArrowRight: Math.max(number - 1, 0),
      ArrowUp: Math.max(number - 1, 0), ArrowLeft: Math.min(number + 1, last),
      PageDown: later < 0 ? last : later, PageUp: before,
      Home: last, End: 0, // the lowest and the highest value of a slider
    };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.jump(this.months[steps[event.key]].top);
  }
}

function mark(kind, at, text = "") {
  const made = make("span", { class: kind }, text);
  made.style.top = `${at}px`;
  return made;
}
