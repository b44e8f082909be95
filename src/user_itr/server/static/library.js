// All photos by day. How many there are of each day, and their shapes, are known from the start;
// what else is known of them is fetched where one looks, and forgotten when it is long not seen.

import * as api from "./api.js";
import * as format from "./format.js";
import { stacked } from "./stacks.js";

const AT_ONCE = 2; // pages on their way
const KEPT = 40; // pages

export class Library {
  /**
   * @param {object} search which only filters
   * @param {object} on what to call: `arrived()` when photos came, `again()` when the index is
   *   another one, `failure(error)`
   */
  constructor(search, on) {
    Object.assign(this, { search, on, count: 0, total: 0, sections: [], ratios: [] });
    this.complete = true;
    this.pages = new Map(); // by number, those seen last at the end
    this.fetching = new Set(); // numbers of pages
    this.wanted = [];
  }

  /** The timeline, and the first page beside it. */
  async begin() {
    this.stopped = new AbortController();
    const { signal } = this.stopped;
    const first = api.page(this.search, { signal }).catch(() => null); // else it is fetched again
    const timeline = await api.timeline(this.search, signal);
    this.state = timeline.state;
    this.total = timeline.total_in_index;
    this.ratios = readRatios(timeline.ratios);
    this.count = this.ratios.length;
    this.sections = sectionsOf(timeline);
    const answer = await first;
    if (answer?.state === this.state) this.keep(0, answer.photos);
  }

  stop() {
    this.stopped?.abort();
    this.wanted = [];
    this.fetching.clear();
  }

  photo(place) {
    return this.pages.get(Math.floor(place / api.PAGE))?.[place % api.PAGE];
  }

  placeOf(id) {
    for (const [number, photos] of this.pages) {
      const place = photos.findIndex((photo) => photo.id === id);
      if (place >= 0) return number * api.PAGE + place;
    }
    return -1;
  }

  /** Fetches the photos from one place to another that are not there, those wanted last first. */
  want(from, to) {
    const pages = [];
    for (let number = Math.floor(Math.max(0, from) / api.PAGE); number * api.PAGE < to; number += 1) {
      const known = this.pages.get(number);
      if (!known) pages.push(number);
      else this.keep(number, known);
    }
    this.wanted = pages.filter((number) => number * api.PAGE < this.count);
    if (!this.failed) this.fetchNext();
  }

  retry() {
    this.failed = false;
    this.fetchNext();
  }

  keep(number, photos) {
    stacked(photos); // each keeps its place, and the first of them knows the others
    this.pages.delete(number);
    this.pages.set(number, photos);
  }

  fetchNext() {
    if (!this.wanted.length) return;
    if (this.stopped.signal.aborted) this.stopped = new AbortController();
    for (const number of this.wanted) {
      if (this.fetching.size >= AT_ONCE) return;
      if (!this.fetching.has(number)) this.fetch(number, this.stopped.signal);
    }
  }

  async fetch(number, signal) {
    this.fetching.add(number);
    try {
      const answer = await api.page(this.search, { offset: number * api.PAGE, signal });
      if (signal.aborted) return;
      this.fetching.delete(number);
      if (answer.state !== this.state) {
        this.on.again();
        return;
      }
      this.keep(number, answer.photos);
      while (this.pages.size > KEPT) this.pages.delete(this.pages.keys().next().value);
      this.wanted = this.wanted.filter((one) => one !== number);
      this.on.arrived();
      this.fetchNext();
    } catch (error) {
      if (signal.aborted) return;
      this.fetching.delete(number);
      this.failed = true; // not again and again by itself
      this.on.failure(error);
    }
  }
}

function readRatios(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 2 }, (_, i) => view.getUint16(2 * i, true) / 1000);
}

function sectionsOf({ days, undated }) {
  let start = 0;
  const sections = days.map(({ day, photos }) => {
    const section = { start, count: photos, day, title: format.day(day) };
    start += photos;
    return section;
  });
  if (undated) {
    const title = days.length ? "Without a date" : "";
    sections.push({ start, count: undated, day: "", title });
  }
  return sections;
}
