// Where the page is: searches and opened photos as entries of the browser's history.

import { addressOf, keyOf, readAddress } from "./address.js";

const KEPT = 2e6; // bytes of a picture that go into a history entry; larger ones stay in memory
const PLACE = "user-itr-place";

export class Navigation {
  /** @param {(place: {search, viewing, lost, scroll}) => void} arrive shows where one is now */
  constructor(arrive) {
    this.arrive = arrive;
    this.scrolls = new Map(); // how far entries were scrolled when they were left
    this.uploads = new Map();
    history.scrollRestoration = "manual";
    addEventListener("popstate", () => this.read());
    addEventListener("pagehide", () => keep(this.entry, scrollY));
  }

  /** Goes to what the address bar says. */
  read() {
    this.leave();
    const place = readAddress();
    const upload = place.search.upload;
    if (upload && !upload.bytes) {
      place.search.upload = this.uploads.get(upload.key) ?? null;
      place.lost = place.search.upload === null;
    }
    this.entry = history.state?.entry ?? "first";
    this.depth = history.state?.depth ?? 0;
    this.search = place.search;
    this.arrive({ ...place, scroll: this.scrolls.get(this.entry) ?? kept(this.entry) });
  }

  leave() {
    if (this.entry) this.scrolls.set(this.entry, scrollY);
  }

  /** A new entry with a search. */
  go(search) {
    const same = keyOf(search) === keyOf(this.search) && this.depth === 0;
    this.write(same ? "replaceState" : "pushState", search, "", 0);
    this.arrive({ search, viewing: "", lost: false, scroll: 0, asked: true });
  }

  /** A new entry with a photo opened from where we are. */
  open(id) {
    this.write("pushState", this.search, id, this.depth + 1);
  }

  /** The next photo takes the place of the one that is open. */
  move(id) {
    this.write("replaceState", this.search, id, this.depth);
  }

  /** Back to before the first photo was opened. */
  close() {
    if (this.depth) history.go(-this.depth);
    else this.write("replaceState", this.search, "", 0);
  }

  write(how, search, viewing, depth) {
    this.leave();
    if (how === "pushState") this.entry = `${performance.timeOrigin + performance.now()}`;
    this.search = search;
    this.depth = depth;
    let upload = search.upload;
    if (upload && upload.bytes.byteLength > KEPT) {
      this.uploads.set(upload.key, upload);
      upload = { ...upload, bytes: null };
    }
    history[how]({ entry: this.entry, depth, upload }, "", addressOf(search, viewing));
  }
}

/** For a reload: how far an entry was scrolled. */
function keep(entry, scroll) {
  try {
    sessionStorage.setItem(PLACE, JSON.stringify({ entry, scroll }));
  } catch {
    // storage is switched off: a reload begins at the top
  }
}

function kept(entry) {
  try {
    const place = JSON.parse(sessionStorage.getItem(PLACE));
    return place?.entry === entry ? place.scroll : 0;
  } catch {
    return 0;
  }
}
