// What a search or all photos give, shown in the grid, and remembered for going back.

import * as api from "./api.js";
import { isSearch, keyOf } from "./address.js";
import { Library } from "./library.js";
import { Ranked } from "./ranked.js";

const REMEMBERED = 12; // searches whose photos are there at once when one goes back

export class Results {
  /**
   * @param {import("./grid.js").Grid} grid
   * @param {object} on what to call: `start()`, `page(source)`, `failure(error, first)`
   */
  constructor(grid, on) {
    Object.assign(this, { grid, on, source: null });
    this.remembered = new Map();
  }

  /** Shows a search: from memory when one goes back to it, else from the server. */
  async show(search, { again = false } = {}) {
    this.source?.stop();
    const key = keyOf(search);
    const known = again ? undefined : this.remembered.get(key);
    const source = known ?? this.make(search);
    this.source = source;
    if (!known) {
      this.on.start();
      try {
        await source.begin();
      } catch (error) {
        if (this.source !== source) return;
        if (!(error instanceof api.ApiError)) throw error;
        this.grid.clear();
        this.on.failure(error, true);
        return;
      }
      if (this.source !== source) return;
    }
    this.remember(key, source);
    this.grid.show(source);
    this.on.page(source);
  }

  make(search) {
    const here = () => this.source === source;
    const told = (show) => {
      if (!here()) return;
      show();
      this.on.page(source);
    };
    const failure = (error) => {
      if (!(error instanceof api.ApiError)) throw error;
      if (here()) this.on.failure(error, false);
    };
    const source = isSearch(search)
      ? new Ranked(search, { grown: () => told(() => this.grid.more()), failure })
      : new Library(search, {
          arrived: () => told(() => this.grid.fill()),
          again: () => here() && this.show(search, { again: true }),
          failure,
        });
    return source;
  }

  /** Has the photos before and behind one that is open fetched. */
  around(id) {
    const place = this.source?.placeOf(id) ?? -1;
    if (place >= 0) this.source.want(Math.max(0, place - 6), place + 6);
  }

  /** Fetches again what did not come. */
  retry() {
    this.source?.retry();
  }

  remember(key, source) {
    this.remembered.delete(key);
    this.remembered.set(key, source);
    if (this.remembered.size > REMEMBERED) {
      this.remembered.delete(this.remembered.keys().next().value);
    }
  }
}
