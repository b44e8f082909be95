// The photos of a search, page by page: the next page is fetched as its end comes near.

import * as api from "./api.js";
import { keyOf } from "./address.js";

const FURTHEST = 10_000; // photos that the server pages through
const REMEMBERED = 12; // searches whose photos are there at once when one goes back

export class Results {
  /**
   * @param {import("./grid.js").Grid} grid
   * @param {HTMLElement} end what stands below the grid
   * @param {object} on what to call: `start(search)`, `page(results)`, `failure(error, first)`
   */
  constructor(grid, end, on) {
    Object.assign(this, { grid, end, on });
    this.remembered = new Map();
    this.stop = new AbortController();
    this.state = null;
    this.observer = new IntersectionObserver(
      (entries) => entries.some((entry) => entry.isIntersecting) && this.more(),
      { rootMargin: "1200px 0px" },
    );
  }

  /** Shows a search: from memory when one goes back to it, else its first page from the server. */
  async show(search, { again = false } = {}) {
    this.stop.abort();
    this.stop = new AbortController();
    this.observer.disconnect();
    this.end.classList.remove("busy");
    const known = this.remembered.get(keyOf(search));
    this.state = { search, photos: [], offset: 0, total: 0, more: true, query: null, busy: false };
    if (known && !again) {
      this.state = { ...known, busy: false };
      this.grid.show(this.state.photos, !this.state.more);
      this.told();
      return;
    }
    this.on.start(search);
    await this.fetch(true);
  }

  /** Fetches the next page, unless one is on its way or all are there. */
  async more() {
    if (this.state && this.state.more && !this.state.busy) await this.fetch(false);
  }

  async fetch(first) {
    const { state, stop } = this;
    state.busy = true;
    this.end.classList.toggle("busy", !first);
    try {
      const { search, query, photos } = state;
      const answer = await api.page(search, { offset: state.offset, query, signal: stop.signal });
      if (stop.signal.aborted) return;
      const there = new Set(photos.map((photo) => photo.id)); // while photos are being indexed
      const fresh = answer.photos.filter((photo) => !there.has(photo.id));
      state.photos = [...photos, ...fresh];
      state.offset += answer.photos.length;
      state.more = answer.more && answer.photos.length > 0 && state.offset <= FURTHEST;
      state.total = answer.total_in_index;
      if (first) state.close = answer.close;
      state.query = answer.query ?? query;
      state.busy = false;
      this.remember();
      if (first) this.grid.show(fresh, !state.more);
      else this.grid.add(fresh, !state.more);
      this.told();
    } catch (error) {
      if (stop.signal.aborted) return;
      if (!(error instanceof api.ApiError)) throw error;
      this.observer.disconnect(); // not again and again by itself
      state.busy = false;
      if (first) this.grid.clear();
      this.on.failure(error, first);
    } finally {
      if (this.state === state) this.end.classList.remove("busy");
    }
  }

  remember() {
    const key = keyOf(this.state.search);
    this.remembered.delete(key);
    this.remembered.set(key, this.state);
    if (this.remembered.size > REMEMBERED) {
      this.remembered.delete(this.remembered.keys().next().value);
    }
  }

  told() {
    this.on.page(this.state);
    this.observer.disconnect();
    if (this.state.more) this.observer.observe(this.end); // reports at once where the end is near
  }
}
