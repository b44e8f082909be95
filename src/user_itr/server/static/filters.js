// The panel of filters, and the ones in use as small buttons that remove them.

import { FILTERS } from "./address.js";
import * as api from "./api.js";
import { find, icon, make } from "./dom.js";
import * as format from "./format.js";
import { opened } from "./layers.js";
import { FolderTree } from "./tree.js";

export const NONE = Object.freeze(Object.fromEntries(FILTERS.map((name) => [name, ""])));

const COLLECTIONS = { favourites: "Favourites", hidden: "Hidden photos" };

export class Filters {
  /**
   * @param {(filters: object) => void} change called with all filters as they shall be
   * @param {(id: string) => string} nameOf an album
   */
  constructor(change, nameOf) {
    this.nameOf = nameOf;
    this.form = find("#filters");
    this.opener = find("#filters-button");
    this.active = find("#active");
    this.change = change;
    this.tree = new FolderTree(find("#folders"), (path) => {
      this.form.elements.folder.value = path;
    });
    this.opener.addEventListener("click", () => this.toggle(this.form.hidden));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.toggle(false);
      change(this.read());
    });
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      this.toggle(false);
      change(NONE);
    });
    addEventListener("pointerdown", (event) => {
      if (!event.target.closest("#filters, #filters-button")) this.toggle(false);
    });
  }

  toggle(open) {
    if (open === !this.form.hidden) return;
    if (open) {
      this.offerFolders();
      this.closed = opened(() => {
        this.toggle(false);
        this.opener.focus();
      });
    } else {
      this.closed();
    }
    this.form.hidden = !open;
    this.opener.setAttribute("aria-expanded", String(open));
  }

  /** What is chosen; of two days the earlier is the first. */
  read() {
    const read = FILTERS.map((name) => [name, this.form.elements[name].value]);
    const chosen = Object.fromEntries(read);
    const { after, before } = chosen;
    if (after && before && after > before) Object.assign(chosen, { after: before, before: after });
    return chosen;
  }

  /** Asks for the folders anew, whenever the panel is opened. */
  async offerFolders() {
    try {
      this.tree.offer(await api.folders());
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error; // those that were offered before stay
    }
  }

  /** The albums that can be chosen, and what else was collected. */
  offerCollections({ albums, favourites, hidden }) {
    const select = this.form.elements.collection;
    const chosen = select.value;
    const counted = [["favourites", favourites], ["hidden", hidden]].filter(([, count]) => count);
    const all = [...counted, ...albums.map(({ id, photos }) => [String(id), photos])];
    const options = all.map(([value, count]) => {
      const name = format.isolated(this.describe("collection", value));
      return make("option", { value }, `${name} (${format.count(count)})`);
    });
    select.replaceChildren(select.options[0], ...options);
    this.choose("collection", chosen);
  }

  /** Shows the filters of a search. */
  show(search) {
    for (const name of FILTERS) this.choose(name, search[name]);
    this.tree.show(search.folder);
    const used = FILTERS.filter((name) => search[name]);
    this.opener.classList.toggle("used", used.length > 0);
    this.active.replaceChildren(
      ...used.map((name) => {
        const text = this.describe(name, search[name]);
        const label = `Remove the filter ${format.isolated(text)}`;
        const remove = make("button", { type: "button", title: label, "aria-label": label });
        remove.append(make("span", { dir: "auto" }, text), icon("close"));
        remove.addEventListener("click", () => {
          const rest = used.filter((one) => one !== name).map((one) => [one, search[one]]);
          this.change({ ...NONE, ...Object.fromEntries(rest) });
        });
        return make("li", {}, remove);
      }),
    );
  }

  choose(name, value) {
    const field = this.form.elements[name];
    if (field.options && ![...field.options].some((option) => option.value === value)) {
      field.append(make("option", { value }, this.describe(name, value)));
    }
    field.value = value;
  }

  describe(name, value) {
    if (name === "after") return `from ${value}`;
    if (name === "before") return `until ${value}`;
    if (name === "area") return `around ${format.middle(value)}`;
    if (name === "side") return `${format.count(Number(value))} pixels or more each way`;
    if (name === "collection") return COLLECTIONS[value] ?? this.nameOf(value);
    return value;
  }
}
