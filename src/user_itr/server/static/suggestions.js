// What is offered below the search box: recent searches, folders, and sentences of the index.

import * as api from "./api.js";
import { button, find, icon, make } from "./dom.js";
import * as format from "./format.js";
import { opened } from "./layers.js";
import { forget, recent } from "./recent.js";

const PAUSE = 120; // milliseconds without a key, after which the server is asked
const RECENT = 5;

export class Suggestions {
  /**
   * @param {object} on what to call: `search(words)`, `folder(path)`
   */
  constructor(on) {
    this.on = on;
    this.box = find("#q");
    this.list = find("#suggestions");
    this.options = [];
    this.stop = new AbortController();
    this.box.addEventListener("input", () => this.offer());
    this.box.addEventListener("focus", () => this.box.value || this.offer());
    this.box.addEventListener("click", () => this.box.value || this.list.hidden && this.offer());
    this.box.addEventListener("blur", () => this.close());
    this.box.addEventListener("keydown", (event) => this.press(event));
    this.box.form.addEventListener("submit", () => this.close());
    this.list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus
    this.list.addEventListener("click", (event) => {
      const place = [...this.list.children].indexOf(event.target.closest("[role=option]"));
      if (place >= 0) this.take(this.options[place]);
    });
  }

  /** Offers what fits the words at hand: what is known here at once, then what the server knows. */
  offer() {
    this.stop.abort();
    this.stop = new AbortController();
    clearTimeout(this.waiting);
    const words = this.box.value.trim();
    this.draw(this.known(words));
    const { signal } = this.stop;
    this.waiting = setTimeout(() => this.ask(words, signal), words ? PAUSE : 0);
  }

  known(words) {
    const has = (one) => one.toLowerCase().includes(words.toLowerCase()) && one !== words;
    const found = recent().filter(has).slice(0, RECENT);
    return found.map((text) => ({ kind: "recent", text, symbol: "clock" }));
  }

  async ask(words, signal) {
    try {
      const { folders, sentences } = await api.suggestions(words, signal);
      if (signal.aborted) return;
      const known = this.known(words);
      const there = new Set([words, ...known.map(({ text }) => text)]);
      this.draw([
        ...known,
        ...folders.map(({ path, photos }) => (
          { kind: "folder", text: format.folder(path), path, symbol: "folder", photos })),
        ...sentences.filter((text) => !there.has(text)).map((text) => (
          { kind: words ? "sentence" : "example", text, symbol: "search" })),
      ]);
    } catch (error) {
      if (!signal.aborted && !(error instanceof api.ApiError)) throw error;
    }
  }

  draw(options) {
    if (document.activeElement !== this.box) return;
    const active = this.options[this.active]?.text;
    this.options = options.some(({ kind }) => kind === "recent")
      ? [...options, { kind: "clear", text: "Forget recent searches", symbol: "close" }]
      : options;
    this.list.replaceChildren(...this.options.map((option, i) => optionOf(option, i)));
    this.activate(active ? this.options.findIndex(({ text }) => text === active) : -1);
    this.toggle(this.options.length > 0);
  }

  toggle(open) {
    if (open === !this.list.hidden) return;
    this.list.hidden = !open;
    this.box.setAttribute("aria-expanded", String(open));
    if (open) this.closed = opened(() => this.close());
    else this.closed();
  }

  close() {
    this.stop.abort();
    clearTimeout(this.waiting);
    this.activate(-1);
    this.toggle(false);
  }

  activate(place) {
    this.list.children[this.active]?.setAttribute("aria-selected", "false");
    this.active = place;
    const option = this.list.children[place];
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.box.setAttribute("aria-activedescendant", option.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  press(event) {
    if (this.list.hidden || event.isComposing || event.ctrlKey || event.metaKey) return;
    const count = this.options.length;
    if (event.key === "ArrowDown") this.activate(this.active + 1 < count ? this.active + 1 : -1);
    else if (event.key === "ArrowUp") this.activate(this.active < 0 ? count - 1 : this.active - 1);
    else if (event.key === "Enter" && this.active >= 0) this.take(this.options[this.active]);
    else return;
    event.preventDefault();
  }

  take({ kind, text, path }) {
    if (kind === "clear") {
      forget();
      this.offer();
      return;
    }
    this.close();
    if (kind === "folder") this.on.folder(path);
    else this.on.search(text);
  }
}

function optionOf({ kind, text, symbol, photos, path }, number) {
  const note = kind === "folder" ? format.photos(photos) : "";
  return make(
    "li",
    { role: "option", id: `suggestion-${number}`, "aria-selected": "false", title: path ?? null },
    icon(symbol),
    make("bdi", {}, text),
    make("small", {}, note || (kind === "recent" ? "searched before" : "")),
  );
}

/** Searches to begin with, as buttons: sentences that fit photos of this index. */
export async function showExamples(list, search) {
  try {
    const { sentences } = await api.suggestions("");
    list.replaceChildren(...sentences.slice(0, 3).map((text) =>
      make("li", {}, button(text, () => search(text)))));
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
  }
}
