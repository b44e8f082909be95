// The bar that says how many photos are chosen, and what can be done with them.

import { isAlbum } from "./address.js";
import * as api from "./api.js";
import { find, make } from "./dom.js";
import * as format from "./format.js";
import { opened } from "./layers.js";

const ARCHIVE = 2000; // photos of one zip file, as many as the server takes

const part = (name) => find(`#chosen-${name}`);

export class ChosenBar {
  /**
   * @param {import("./selection.js").Selection} selection
   * @param {import("./albums.js").Albums} albums
   * @param {object} on what to call: `photoOf(id)`, `tell(text)`, `collection()` for the one that is
   *   shown, `marked(ids, marks)` after favourites changed, `gone(ids)` after photos left the list
   */
  constructor(selection, albums, on) {
    Object.assign(this, { selection, albums, on });
    this.bar = find("#chosen");
    part("clear").addEventListener("click", () => selection.clear());
    part("download").addEventListener("click", () => this.download());
    part("paths").addEventListener("click", () => this.copyPaths());
    part("album").addEventListener("click", () =>
      albums.choose([...selection.ids], (album) => this.added(album)));
    part("out").addEventListener("click", () => this.takeOut());
    part("favourite").addEventListener("click", () => this.favour());
    part("hide").addEventListener("click", () => this.hide());
    part("paths").hidden = !navigator.clipboard; // only where the page is trusted
  }

  /** Shows how many are chosen; hides itself where none is. */
  show() {
    const { size } = this.selection.ids;
    if (size && this.bar.hidden) this.closed = opened(() => this.selection.clear());
    if (!size && !this.bar.hidden) this.closed();
    this.bar.hidden = !size;
    document.documentElement.classList.toggle("choosing", size > 0);
    const text = size ? `${format.photos(size)} chosen` : "";
    part("count").textContent = part("status").textContent = text;
    const favourite = this.all((photo) => photo?.favourite);
    part("favourite").lastChild.textContent = favourite ? "No favourite" : "Favourite";
    const collection = this.on.collection();
    part("hide").lastChild.textContent = collection === "hidden" ? "Show again" : "Hide";
    part("out").hidden = !isAlbum(collection);
  }

  all(condition) {
    return [...this.selection.ids].every((id) => condition(this.on.photoOf(id)));
  }

  /** One zip file, which the browser takes as a download while the page stays. */
  download() {
    const { ids } = this.selection;
    if (ids.size > ARCHIVE) {
      this.on.tell(`One download has ${format.count(ARCHIVE)} photos at most; choose fewer.`);
      return;
    }
    const photos = make("input", { type: "hidden", name: "photos", value: [...ids].join(" ") });
    const form = make("form", { method: "post", action: "api/photos/zip", hidden: true }, photos);
    document.body.append(form);
    form.submit();
    form.remove();
  }

  async copyPaths() {
    const photos = [...this.selection.ids].map((id) => this.on.photoOf(id));
    const paths = photos.filter((photo) => photo).map(pathOf);
    await navigator.clipboard.writeText(paths.join("\n"));
    this.on.tell(`${paths.length === 1 ? "A path was" : `${format.count(paths.length)} paths were`} copied.`);
  }

  added({ name }) {
    const { size } = this.selection.ids;
    this.on.tell(`${format.photos(size)} put into “${format.isolated(name)}”.`);
    this.selection.clear();
  }

  async takeOut() {
    const ids = [...this.selection.ids];
    const album = this.on.collection();
    if (!(await this.attempt(() => api.changeAlbum(album, { remove: ids })))) return;
    this.left(ids, "taken out of the album");
  }

  async favour() {
    const ids = [...this.selection.ids];
    const favourite = !this.all((photo) => photo?.favourite);
    if (!(await this.attempt(() => api.markPhotos(ids, { favourite })))) return;
    this.on.marked(ids, { favourite });
    this.on.tell(`${format.photos(ids.length)} ${favourite ? "made" : "no longer"} favourites.`);
    this.selection.clear();
    this.albums.load();
  }

  async hide() {
    const ids = [...this.selection.ids];
    const hidden = this.on.collection() !== "hidden";
    if (!(await this.attempt(() => api.markPhotos(ids, { hidden })))) return;
    this.left(ids, hidden ? "hidden; the filter “Hidden photos” shows them" : "shown again");
  }

  left(ids, what) {
    this.selection.clear();
    this.on.gone(ids);
    this.on.tell(`${format.photos(ids.length)} ${what}.`);
    this.albums.load();
  }

  async attempt(ask) {
    try {
      return (await ask()) ?? true;
    } catch (error) {
      if (!(error instanceof api.ApiError)) throw error;
      this.on.tell(api.sentence(error));
      return false;
    }
  }
}

function pathOf({ folder, name }) {
  const separator = folder.includes("\\") && !folder.includes("/") ? "\\" : "/";
  return folder.endsWith(separator) ? folder + name : `${folder}${separator}${name}`;
}
