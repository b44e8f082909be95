// The lines above the photos and in the browser's tab: which photos these are, how many of how
// many, and in which order.

import { isFiltered, isSearch } from "./address.js";
import * as format from "./format.js";

const SITE = "user-itr";

/** "Best matches for “a dog”". */
export function titleOf({ q, similar, upload, name }) {
  if (name) return `Files and folders named ${format.isolated(`“${name}”`)}`;
  const words = format.isolated(q.includes('"') ? q : `“${q}”`);
  if (similar || upload) return q ? `Photos like this one, and ${words}` : "Photos like this one";
  return q ? `Best matches for ${words}` : "Newest photos";
}

/** "First 60 of all 444 photos in the index, newest first"; then what is to be said of the words. */
export function countOf(search, { count, total, complete, close, remarks }) {
  if (!count) return "";
  const counted = `${amountOf(search, count, total, !complete)}, ${orderOf(search)}`;
  const said = [...(close === false ? ["All matches are weak."] : []), ...(remarks ?? [])];
  return said.length ? `${counted}. ${said.join(" ")}` : counted;
}

function amountOf(search, shown, total, more) {
  if (search.name) return `${more ? "First " : ""}${format.photos(shown)}`;
  if (isFiltered(search)) {
    if (more) return `First ${format.photos(shown)} that fit the filters`;
    return `${format.photos(shown)} ${shown === 1 ? "fits" : "fit"} the filters`;
  }
  if (more) return `First ${format.count(shown)} of all ${format.photos(total)} in the index`;
  if (search.similar) return `All ${format.count(shown)} other photos in the index`;
  return shown < total
    ? `${format.count(shown)} of all ${format.photos(total)} in the index`
    : `All ${format.photos(total)} in the index`;
}

function orderOf({ q, similar, upload }) {
  if (q) return "best match first";
  return similar || upload ? "most similar first" : "newest first";
}

/** The title of the browser's tab, of a search or of a photo in it. */
export function tabOf(search, name = "") {
  if (name) return `${format.isolated(name)} – ${SITE}`;
  return isSearch(search) ? `${titleOf(search)} – ${SITE}` : `${SITE}: your photos`;
}
