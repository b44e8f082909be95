// Puts the choosing of photos, the bar of what is done with them and the albums together.

import { isAlbum } from "./address.js";
import { Albums } from "./albums.js";
import { ChosenBar } from "./chosen.js";
import { find } from "./dom.js";
import { showMarks } from "./marks.js";
import { Selection } from "./selection.js";

/**
 * @param {import("./grid.js").Grid} grid
 * @param {object} on what to call: `openCopies(photo)`, `tell(text)`, `collection()` for the one that
 *   is shown, `listed(collections)` with what there is, `refresh()` after photos left the list,
 *   `leave()` after its album was deleted
 * @returns {{selection: Selection, albums: Albums, arrived: () => void}} `arrived` is to be called
 *   when another search is shown
 */
export function organise(grid, on) {
  const { list } = grid;
  const albums = new Albums({
    listed: on.listed,
    renamed: on.refresh,
    deleted: on.leave,
  });
  let photos = new Map(); // that are chosen; the list forgets those long not seen
  const photoOf = (id) => grid.source.photo(grid.source.placeOf(id)) ?? photos.get(id);
  const order = () => {
    const all = Array.from(grid.source.ratios, (_, place) => grid.source.photo(place));
    return all.filter((photo) => photo).map((photo) => photo.id);
  };
  const selection = new Selection(list, order, () => {
    photos = new Map([...selection.ids].map((id) => [id, photoOf(id)]));
    mark();
    bar.show();
  });
  const photoAt = (place) => grid.source.photo(place);
  const mark = showMarks(list, photoAt, (id) => selection.has(id), on.openCopies);
  const bar = new ChosenBar(selection, albums, {
    ...on,
    photoOf,
    marked(ids, marks) {
      for (const id of ids) Object.assign(photoOf(id) ?? {}, marks);
      mark();
      if (on.collection() === "favourites") on.refresh();
    },
    gone: on.refresh,
  });
  const edit = find("#album-edit");
  edit.addEventListener("click", () => albums.open(on.collection()));
  const arrived = () => {
    if (selection.ids.size) selection.clear();
    edit.hidden = !isAlbum(on.collection());
  };
  return { selection, albums, arrived };
}
