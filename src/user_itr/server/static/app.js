// Puts the parts together: what the address says is searched for and shown.

import * as api from "./api.js";
import { NOTHING, addressOf, isFiltered, isSearch, keyOf } from "./address.js";
import { showChip } from "./chip.js";
import { button, find } from "./dom.js";
import { Filters, NONE } from "./filters.js";
import * as format from "./format.js";
import { Grid } from "./grid.js";
import { countOf, tabOf, titleOf } from "./headline.js";
import { installKeys } from "./keys.js";
import { PhotoMap } from "./map.js";
import * as messages from "./messages.js";
import { Names } from "./names.js";
import { Navigation } from "./navigation.js";
import { tell, untell } from "./notice.js";
import { organise } from "./organising.js";
import { readPicture, takePictures } from "./picture.js";
import { remember as keepWords } from "./recent.js";
import { Results } from "./results.js";
import { Suggestions, showExamples } from "./suggestions.js";
import { Timeline } from "./timeline.js";
import { Viewer } from "./viewer.js";
import { whenBack } from "./waiting.js";

const LOOK = {
  rowHeight: (width) => (width < 600 ? 132 : width < 1000 ? 190 : 230),
  gap: 6,
};
const REMEMBERED = 2_000; // photos
const box = find("#q");
const narrow = matchMedia("(max-width: 719px)");
const known = new Map(); // photos that were listed lately, by id
let search = null; // what is shown
let waiting = null; // for the server to come back
let steps = []; // photos of the grid that the viewer goes through

const link = (id) => addressOf(search, id);
const grid = new Grid(find("#grid"), LOOK, link, (photo, photos) => {
  steps = photos;
  open(photo, photos);
});
const typed = () => box.value.trim();
const ask = (q) => {
  box.value = q;
  box.form.requestSubmit();
};
const folder = (path) => navigation.go({ ...NOTHING, folder: path });
const filters = new Filters(
  (chosen) => navigation.go({ ...search, ...asked(), ...chosen }),
  (id) => organised.albums.nameOf(id),
);
const names = new Names({
  addressOf: (id) => addressOf(search, id),
  open,
  folder,
  all: (words) => navigation.go({ ...NOTHING, name: words }),
});
new Suggestions({ search: ask, folder });
const map = new PhotoMap({
  search: () => search,
  open: (area) => navigation.go({ ...search, ...asked(), area }),
});
const results = new Results(grid, { start: () => busy(true), page, failure });
const viewer = new Viewer({
  addressOf: link,
  open,
  move: (photo) => navigation.move(photo.id),
  close: (photo) => {
    navigation.close();
    grid.focusPhoto(photo.id);
  },
  search: (photo) => navigation.go({ ...NOTHING, similar: photo.id }),
  folder,
  more: (photos) => photos === steps && results.around(viewer.photo.id),
  named: (name) => (document.title = tabOf(search, name)),
});
new Timeline(grid);
const navigation = new Navigation(arrive);
const organised = organise(grid, {
  openCopies: (photo) => open(photo, [photo, ...photo.copies]),
  tell,
  collection: () => search.collection,
  listed: (collections) => {
    filters.offerCollections(collections);
    filters.show(search);
  },
  refresh: () => {
    results.remembered.clear();
    retry();
  },
  leave: () => navigation.go({ ...search, collection: "" }),
});

/** The words in the box, as what photos show. */
const asked = () => ({ q: typed(), name: "" });

function open(photo, photos) {
  navigation.open(photo.id);
  remember(photos);
  viewer.show(photo, photos);
}

function remember(photos) {
  for (const photo of photos) known.set(photo.id, photo);
  for (const id of known.keys()) {
    if (known.size <= REMEMBERED) break;
    known.delete(id);
  }
}

/** Shows what the address asks for; `asked` by the person here, not by going back. */
function arrive({ search: wanted, viewing, lost, scroll, asked = false }) {
  if (asked || search === null || keyOf(wanted) !== keyOf(search)) {
    search = wanted;
    viewer.hide();
    showSearch(lost);
    names.show(search);
    results.show(search, { again: asked }).then(() => scrollTo(0, scroll));
  }
  if (!viewing) viewer.hide();
  else if (viewing !== viewer.photo?.id) show(viewing);
}

function show(id) {
  const photo = known.get(id) ?? { id };
  steps = grid.around(id) ?? [photo];
  viewer.show(photo, grid.around(id) ? steps : (viewer.about.neighbours.around(id) ?? steps));
}

function showSearch(lost) {
  box.value = search.q || search.name;
  filters.show(search);
  organised.arrived();
  find("#title").textContent = titleOf(search);
  document.title = tabOf(search);
  if (lost) tell("A link cannot carry the picture it was made with: drop the picture again.");
  else untell();
  const remove = () => {
    navigation.go({ ...search, upload: null, similar: "", ...asked() });
    box.focus();
  };
  const name = search.upload?.name ?? known.get(search.similar)?.name ?? "this photo";
  showChip(find("#chip"), search, name, remove);
}

function busy(whether) {
  find("#progress").hidden = !whether;
  grid.list.setAttribute("aria-busy", String(whether));
}

function page(source) {
  busy(false);
  if (!find("#again").hidden) grid.mend();
  again(null);
  const { count, total } = source;
  if (viewer.photo && viewer.photos === steps) {
    steps = grid.around(viewer.photo.id) ?? steps;
    viewer.showSteps(steps);
  }
  messages.show(find("#message"), count ? null : messages.nothing(search, total), ACTIONS);
  find("#headline").hidden = total === 0;
  find("#count").textContent = countOf(search, source);
  find("#examples").hidden = isSearch(search) || isFiltered(search) || total === 0;
  showIndex();
}

function failure(error, first) {
  busy(false);
  if (first) {
    find("#headline").hidden = true;
    messages.show(find("#message"), messages.failure(error, search), ACTIONS);
    again(null);
  } else {
    again(`${messages.failure(error, search).title}.`);
  }
  if (["gone", "offline", "lost"].includes(error.kind)) {
    waiting?.abort();
    waiting = whenBack(() => (first ? retry() : results.retry()));
  }
}

/** The line and the button below the photos when more of them could not be fetched. */
function again(text) {
  find("#trouble").textContent = text ?? "";
  find("#again").hidden = text === null;
  waiting?.abort();
}

const retry = () => results.show(search, { again: true });
const ACTIONS = {
  retry: button("Try again", retry, { class: "main" }),
  pick: button("Choose another picture", () => find("#pick").click(), { class: "main" }),
  remove: button("Go on without it", () => navigation.go({ ...search, upload: null, similar: "" })),
  clear: button("Clear the filters", () => navigation.go({ ...search, ...NONE }), {
    class: "main",
  }),
  newest: button("Show the newest photos", () => navigation.go(NOTHING), { class: "main" }),
  help: button("How to search", () => find("#help").showModal()),
};

let indexShown = false;

/** What the index holds: a line in the help, and searches to begin with. */
async function showIndex() {
  if (indexShown) return;
  indexShown = true;
  try {
    const { photos, model, sentences, version } = await api.index();
    organised.albums.load();
    const captions = sentences ? `, ${format.count(sentences)} sentences` : "";
    find("#about").textContent =
      `user-itr ${version}: ${format.photos(photos)}${captions}; model: ${model}`;
    await Promise.all([map.offer(), showExamples(find("#examples"), ask)]);
  } catch (error) {
    if (!(error instanceof api.ApiError)) throw error;
    indexShown = false; // with the next page of photos again
  }
}

find("#search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (typed()) keepWords(typed());
  navigation.go({ ...search, ...asked() });
  if (matchMedia("(pointer: coarse)").matches) box.blur(); // puts the keyboard on the screen away
});
find(".brand").addEventListener("click", (event) => {
  event.preventDefault();
  navigation.go(NOTHING);
});
find("#again").addEventListener("click", () => results.retry());
const shorten = () => {
  box.placeholder = narrow.matches ? "Describe a photo" : "Describe a photo, or drop one here";
};
narrow.addEventListener("change", shorten);
shorten();
takePictures(async (file) => {
  const upload = await readPicture(file).catch(() => null);
  if (!upload) {
    tell(`“${format.isolated(file.name)}” could not be read: it was moved or deleted.`);
    return;
  }
  navigation.go({ ...search, ...asked(), similar: "", upload });
}, tell);
installKeys(grid);
navigation.read();
