// Files and folders whose names have the words of a search: a strip above what the photos show.

import * as api from "./api.js";
import { button, find, icon, make } from "./dom.js";
import * as format from "./format.js";
import { Grid } from "./grid.js";

const FOLDERS = 6;
const PHOTOS = 12;

export class Names {
  /**
   * @param {object} on what to call: `addressOf(id)`, `open(photo, photos)`, `folder(path)`,
   *   `all(words)` for a list of all files
   */
  constructor(on) {
    this.on = on;
    this.section = find("#names");
    const look = { rowHeight: () => 84, gap: 4 };
    this.grid = new Grid(find("#names-files"), look, on.addressOf, on.open);
    this.stop = new AbortController();
  }

  /** Looks for the words of a search, where they are plain words. */
  async show({ q, similar, upload, name }) {
    this.stop.abort();
    this.hide();
    if (!q || similar || upload || name || !isPlain(q)) return;
    this.stop = new AbortController();
    const { signal } = this.stop;
    try {
      const [files, folders] = await Promise.all([
        api.names(q, { limit: PHOTOS, signal }),
        api.folders(q, signal),
      ]);
      if (!signal.aborted && (files.photos.length || folders.length)) this.tell(q, files, folders);
    } catch (error) {
      if (!signal.aborted && !(error instanceof api.ApiError)) throw error;
    }
  }

  hide() {
    this.section.hidden = true;
    find("#contents-title").hidden = true;
  }

  tell(words, { photos, more }, folders) {
    this.section.hidden = false;
    find("#contents-title").hidden = false;
    const many = `${more ? "more than " : ""}${format.count(photos.length)}`;
    const files = photos.length === 1 && !more ? "1 file" : `${many} files`;
    const named = folders.length === 1 ? "1 folder" : `${format.count(folders.length)} folders`;
    const told = [photos.length && files, folders.length && named].filter(Boolean);
    find("#names-title").textContent = `By name: ${told.join(", ")}`;
    find("#names-all").hidden = !more;
    find("#names-all").onclick = () => this.on.all(words);
    const links = folders.slice(0, FOLDERS).map(({ path, photos: count }) =>
      make("li", {}, this.folder(path, count)),
    );
    find("#names-folders").replaceChildren(...links);
    this.grid.show(photos);
  }

  folder(path, count) {
    const made = button("", () => this.on.folder(path), { title: path });
    made.append(icon("folder"), make("bdi", {}, format.folder(path)));
    made.append(make("small", {}, format.photos(count)));
    return made;
  }
}

/** Whether a query is plain words, without phrases to add and to take away. */
const isPlain = (text) => !/["“”„«»]|(^|\s)[-+−–]/.test(text);
