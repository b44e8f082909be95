// Albums: which there are, a dialog to put photos into one, and one to rename or delete it.

import * as api from "./api.js";
import { button, find, make, makeClosable } from "./dom.js";
import * as format from "./format.js";

export class Albums {
  /**
   * @param {object} on what to call: `listed(collections)` with what there is, `failed(error)`,
   *   `renamed()` and `deleted()` after one was
   */
  constructor(on) {
    this.on = on;
    this.known = [];
    this.ids = [];
    this.dialog = find("#albums");
    this.edit = find("#album");
    makeClosable(this.dialog);
    makeClosable(this.edit);
    find("form", this.dialog).addEventListener("submit", (event) => {
      event.preventDefault();
      this.create(event.target.elements.name.value);
    });
    find("form", this.edit).addEventListener("submit", (event) => {
      event.preventDefault();
      const { name } = event.target.elements;
      this.change(() => api.renameAlbum(this.id, name.value), on.renamed);
    });
    find("#album-delete").addEventListener("click", () =>
      this.change(() => api.deleteAlbum(this.id), on.deleted));
  }

  /** Asks the server which albums there are. */
  async load() {
    try {
      const collections = await api.collections();
      this.known = collections.albums;
      this.on.listed(collections);
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
    }
  }

  nameOf(id) {
    return this.known.find((album) => String(album.id) === id)?.name ?? `album ${id}`;
  }

  /** Lets a person choose the album that photos are put into; then `done(album)` is called. */
  async choose(ids, done) {
    Object.assign(this, { ids, done });
    this.say(this.dialog, "");
    find("form", this.dialog).reset();
    await this.load();
    find("ul", this.dialog).replaceChildren(
      ...this.known.map((album) => {
        const count = make("small", {}, format.photos(album.photos));
        const choose = button("", () => this.put(album));
        choose.append(make("span", { dir: "auto" }, album.name), count);
        return make("li", {}, choose);
      }),
    );
    this.dialog.showModal();
  }

  async put(album) {
    await this.attempt(this.dialog, () => api.changeAlbum(album.id, { add: this.ids }), album);
  }

  async create(name) {
    await this.attempt(this.dialog, () => api.createAlbum(name, this.ids), { name });
  }

  async attempt(dialog, ask, album) {
    try {
      const answer = await ask();
      dialog.close();
      this.done({ ...album, ...answer });
      this.load();
    } catch (error) {
      this.trouble(dialog, error);
    }
  }

  /** The dialog to rename or delete an album. */
  open(id) {
    this.id = id;
    this.say(this.edit, "");
    find("input", this.edit).value = this.nameOf(id);
    this.edit.showModal();
  }

  async change(ask, then) {
    try {
      await ask();
      this.edit.close();
      await this.load();
      then();
    } catch (error) {
      this.trouble(this.edit, error);
    }
  }

  trouble(dialog, error) {
    if (!(error instanceof api.ApiError)) throw error;
    this.say(dialog, api.sentence(error));
  }

  say(dialog, text) {
    find(".trouble", dialog).textContent = text;
  }
}
