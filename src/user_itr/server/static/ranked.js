// The photos of a search, the best first: the next page is fetched as the end of the last one nears.

import * as api from "./api.js";
import { ratioOf } from "./source.js";
import { stacked } from "./stacks.js";

const FURTHEST = 10_000; // photos that the server pages through
const AHEAD = 12; // photos that are still to come when the next page is fetched

export class Ranked {
  /**
   * @param {object} search
   * @param {object} on what to call: `grown()` when there are more photos, `failure(error)`
   */
  constructor(search, on) {
    Object.assign(this, { search, on, photos: [], ratios: [], offset: 0, total: 0, query: null });
    this.complete = false;
    this.stopped = new AbortController();
  }

  get sections() {
    return [{ start: 0, count: this.photos.length }];
  }

  /** How many photos are listed. */
  get count() {
    return this.photos.length;
  }

  photo(place) {
    return this.photos[place];
  }

  placeOf(id) {
    return this.photos.findIndex((photo) => photo.id === id);
  }

  /** The first page. */
  async begin() {
    this.stopped = new AbortController();
    await this.fetch(true);
  }

  stop() {
    this.stopped.abort();
    this.busy = false;
  }

  want(from, to) {
    if (to + AHEAD >= this.photos.length) this.more();
  }

  /** Fetches the next page, unless one is on its way, or failed, or all are there. */
  async more() {
    if (this.complete || this.busy || this.failed) return;
    if (this.stopped.signal.aborted) this.stopped = new AbortController();
    const { signal } = this.stopped;
    try {
      await this.fetch(false);
      if (!signal.aborted) this.on.grown();
    } catch (error) {
      if (signal.aborted) return;
      this.failed = true; // not again and again by itself
      this.on.failure(error);
    }
  }

  retry() {
    this.failed = false;
    this.more();
  }

  async fetch(first) {
    const { signal } = this.stopped;
    const { search, offset, query } = this;
    this.busy = true;
    try {
      const answer = await api.page(search, { offset, query, signal });
      const there = new Set(this.photos.map((photo) => photo.id)); // while photos are being indexed
      const fresh = stacked(answer.photos).filter((photo) => !there.has(photo.id));
      this.photos.push(...fresh);
      this.ratios.push(...fresh.map(ratioOf));
      this.offset += answer.photos.length;
      this.complete = !answer.more || !answer.photos.length || this.offset > FURTHEST;
      this.total = answer.total_in_index;
      this.query = answer.query ?? query;
      if (first) [this.close, this.remarks] = [answer.close, answer.remarks];
    } finally {
      if (!signal.aborted) this.busy = false;
    }
  }
}
