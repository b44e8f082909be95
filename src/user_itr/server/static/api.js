// The server's REST interface. Every failure is an ApiError whose `kind` says what to do about it.

export const PREVIEW = 1440; // height in pixels of a picture that fills most screens
export const PAGE = 60; // photos
const LARGE = 5e6; // bytes of an upload that a server may cut off without an answer
const KINDS = {
  401: "token",
  404: "missing",
  413: "large",
  422: "unreadable",
  429: "busy",
  503: "busy",
  504: "busy",
};

/** kind: token, missing, large, unreadable, busy, lost, refused, failed, offline or gone. */
export class ApiError extends Error {
  constructor(kind, message = "") {
    super(message);
    this.kind = kind;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(await whyNoAnswer(options.body));
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  if (response.ok && answer !== null) return answer;
  const refused = response.status >= 400 && response.status < 500;
  let kind = KINDS[response.status] ?? (refused ? "refused" : "failed");
  // a busy server says when to come again; one whose index is gone does not know
  if (response.status === 503 && !response.headers.has("Retry-After")) kind = "lost";
  throw new ApiError(kind, answer?.error ?? "");
}

async function whyNoAnswer(body) {
  const local = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  if (!navigator.onLine && !local) return "offline";
  const upload = body instanceof FormData ? body.get("photo") : null;
  if (upload && upload.size > LARGE && (await healthy())) return "large";
  return "gone";
}

/** Whether the server answers at all. */
export async function healthy() {
  try {
    return (await fetch("healthz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

function filters(search) {
  const { after, before, folder, side, area, collection } = search;
  const wanted = { after, before, folder, area, min_width: side, min_height: side };
  if (collection === "favourites") wanted.favourites = "true";
  else if (collection === "hidden") wanted.hidden = "only";
  else wanted.album = collection;
  return Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
}

const get = (path, fields, signal) => request(`${path}?${new URLSearchParams(fields)}`, { signal });

const send = (method, path, fields, signal) =>
  request(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(fields),
    signal,
  });

const photo = (id) => `api/photos/${encodeURIComponent(id)}`;
const album = (id) => `api/albums/${encodeURIComponent(id)}`;

/**
 * A page of photos: the best for the search, or the newest where it asks for nothing.
 * `query` is what the first page of a search by an uploaded picture gave.
 */
export function page(search, { offset = 0, query = null, signal } = {}) {
  if (search.name) return names(search.name, { offset, signal });
  const fields = { ...filters(search), offset, limit: PAGE };
  if (query) {
    return send("POST", "api/search/page", { ...fields, query }, signal);
  }
  if (search.upload) {
    const form = new FormData();
    const { bytes, type, name } = search.upload;
    form.set("photo", new File([bytes], name, { type }));
    if (search.q) form.set("q", search.q);
    for (const [name, value] of Object.entries({ ...filters(search), limit: PAGE })) {
      form.set(name, value);
    }
    return request("api/search", { method: "POST", body: form, signal });
  }
  if (search.similar) fields.similar = search.similar;
  if (search.q) fields.q = search.q;
  return get(search.q || search.similar ? "api/search" : "api/photos", fields, signal);
}

/** The days, and the shapes of all photos, in the order of the pages of the newest. */
export const timeline = (search, signal) => get("api/timeline", filters(search), signal);

/** Photos whose file name or folder has all of the words, the latest first. */
export const names = (words, { offset = 0, limit = PAGE, signal } = {}) =>
  get("api/names", { q: words, offset, limit }, signal);

/** Folders, each before those below it; only those that words name, where there are any. */
export const folders = (words = "", signal) => get("api/folders", { q: words }, signal);

export const suggestions = (words, signal) => get("api/suggestions", { q: words }, signal);

export const collections = () => request("api/albums");
export const createAlbum = (name, photos) => send("POST", "api/albums", { name, photos });
export const renameAlbum = (id, name) => send("PATCH", album(id), { name });
export const deleteAlbum = (id) => request(album(id), { method: "DELETE" });
/** `change` has ids of photos to `add` or to `remove`. */
export const changeAlbum = (id, change) => send("POST", `${album(id)}/photos`, change);
/** `marks` says whether they are to be `favourite` or `hidden`. */
export const markPhotos = (photos, marks) => send("POST", "api/photos/marks", { photos, ...marks });

/** What to say of a request that failed. */
export function sentence({ kind, message }) {
  if (!message) return "The server does not answer; try again.";
  return message[0].toUpperCase() + message.slice(1);
}

export const neighbours = (id, signal) => get("api/search", { similar: id, limit: 13 }, signal);

/** Where the photos of a search's filters were taken, `step` degrees together. */
export const places = (search, { signal, ...fields }) =>
  get("api/places", { ...filters(search), ...fields }, signal);

/** The outlines of all countries; see `world.js`. */
export const world = () => request("static/world.json");

export const facts = (id, signal) => request(photo(id), { signal });

export const index = () => request("api/index");

export const fileOf = (id) => `${photo(id)}/file`;

/** The server's sentence on why a picture does not come; nothing where it says none. */
export async function whyNot(address) {
  const stop = new AbortController(); // of a picture that comes after all
  try {
    const answer = await fetch(address, { signal: stop.signal });
    return answer.ok ? "" : ((await answer.json()).error ?? "");
  } catch {
    return "";
  } finally {
    stop.abort();
  }
}

export const previewOf = (id) => `${photo(id)}/thumbnail?size=${PREVIEW}`;

/** The photo as it is, to be saved. */
export const originalOf = (id) => `${photo(id)}/original`;

/** The smallest thumbnail that is sharp at `height` CSS pixels. */
export function thumbnailOf(id, height) {
  const needed = 0.9 * height * Math.min(devicePixelRatio, 2);
  const size = [160, 320].find((one) => one >= needed) ?? 640;
  return `${photo(id)}/thumbnail?size=${size}`;
}
