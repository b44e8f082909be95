// What is known of one photo: its facts, the sentences that describe it, and its neighbours.

import * as api from "./api.js";
import { button, find, make, pathOf } from "./dom.js";
import * as format from "./format.js";
import { Grid } from "./grid.js";

const part = (name) => find(`#viewer-${name}`);

export class About {
  /**
   * @param {object} on what to call: `addressOf(id)`, `open(photo, photos)` for a neighbour,
   *   `folder(path)`
   */
  constructor(on) {
    this.on = on;
    const look = { rowHeight: () => 84, gap: 4 };
    const list = find("#viewer-neighbours .grid");
    this.neighbours = new Grid(list, look, on.addressOf, on.open);
  }

  /** Shows what a list tells of a photo; of a photo from a link only the id is known. */
  show(photo) {
    const match = format.match(photo.match);
    part("name").textContent = photo.name ?? "";
    part("match").textContent = match;
    part("match").hidden = !match;
    part("file").href = api.fileOf(photo.id);
    part("download").href = api.originalOf(photo.id);
    part("facts").replaceChildren();
    part("captions").hidden = true;
    this.offer(true);
  }

  /** What can be done with a photo, which a link to one that is gone does not offer. */
  offer(whether) {
    for (const name of ["search", "file", "download", "neighbours"]) part(name).hidden = !whether;
  }

  clear() {
    this.neighbours.clear();
  }

  /** Says that the index does not have the photo. */
  showMissing() {
    part("name").textContent = "No such photo";
    this.offer(false);
  }

  showFacts(facts) {
    part("name").textContent = facts.name;
    const date = facts.taken ? ["Taken", facts.taken] : ["Changed", facts.modified];
    const folder = button(pathOf(facts.folder), () => this.on.folder(facts.folder), {
      class: "link", title: "Show the photos in this folder",
    });
    const rows = [
      [date[0], format.date(date[1])],
      ["Pixels", format.pixels(facts.width, facts.height)],
      ["Size", format.bytes(facts.bytes)],
      ["Folder", folder],
    ];
    part("facts").append(
      ...rows.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))),
    );
    this.showCaptions(facts.captions);
    if (!navigator.clipboard) return; // only where the page is trusted: this computer, or https
    const copy = button("Copy the path", async () => {
      await navigator.clipboard.writeText(facts.path);
      copy.lastChild.textContent = "Copied";
    }, { symbol: "copy", class: "link" });
    part("facts").append(make("div", {}, make("dt", {}, "File"), make("dd", {}, copy)));
  }

  showCaptions(captions) {
    part("captions").hidden = captions.length === 0;
    find("ul", part("captions")).replaceChildren(
      ...captions.map(({ text, match }) => {
        const label = format.match(match);
        const sentence = make("span", { dir: "auto" }, text);
        return make("li", {}, sentence, label ? make("small", {}, label) : "");
      }),
    );
  }

  async loadNeighbours(photo, signal) {
    const note = find("p", part("neighbours"));
    note.textContent = "Looking …";
    this.neighbours.clear();
    try {
      const { photos } = await api.neighbours(photo.id, signal);
      if (signal.aborted) return;
      const others = photos.filter((other) => other.id !== photo.id).slice(0, 12);
      note.textContent = others.length ? "" : "There is no other photo in the index.";
      this.neighbours.show(others);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof api.ApiError)) throw error;
      note.textContent = "Similar photos could not be loaded.";
    }
  }
}
