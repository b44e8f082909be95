// A search as the page's address, and back. An uploaded picture does not fit into an address: it is
// kept in the history entry beside it, so that back, forward and reload find it again.

export const FILTERS = ["after", "before", "folder", "side", "area", "collection"];
const FIELDS = ["q", "similar", "name", ...FILTERS];

export const NOTHING = Object.freeze({
  ...Object.fromEntries(FIELDS.map((name) => [name, ""])),
  upload: null, // {key, name, type, bytes}
});

/** What the address bar and the history entry ask for; `lost`: without its picture. */
export function readAddress() {
  const given = new URLSearchParams(location.search);
  const fields = FIELDS.map((name) => [name, (given.get(name) ?? "").trim()]);
  const upload = history.state?.upload ?? null;
  return {
    search: { ...Object.fromEntries(fields), upload },
    viewing: given.get("photo") ?? "",
    lost: given.has("upload") && upload === null,
  };
}

/** The address of a search and, where one is open, of a photo in it. */
export function addressOf(search, viewing = "") {
  const fields = FIELDS.filter((name) => search[name]).map((name) => [name, search[name]]);
  if (search.upload) fields.push(["upload", "1"]);
  if (viewing) fields.push(["photo", viewing]);
  return fields.length ? `?${new URLSearchParams(fields)}` : "./";
}

/** Equal for equal searches. */
export function keyOf(search) {
  return JSON.stringify([...FIELDS.map((name) => search[name]), search.upload?.key ?? ""]);
}

/** Whether it asks for certain photos, not just the newest. */
export const isSearch = (search) => Boolean(search.q || search.similar || search.upload || search.name);

/** Whether a collection is an album, and not the favourites or the hidden photos. */
export const isAlbum = (collection) => /^\d+$/.test(collection);

export const isFiltered = (search) => FILTERS.some((name) => search[name]);
