// Words that were searched for, kept in this browser alone.

const KEY = "user-itr-recent";
const MOST = 30;

/** Those searched for last come first. */
export function recent() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(kept) ? kept.filter((words) => typeof words === "string") : [];
  } catch {
    return []; // storage is switched off, or holds something else
  }
}

export function remember(words) {
  keep([words, ...recent().filter((one) => one !== words)].slice(0, MOST));
}

export function forget() {
  keep([]);
}

function keep(all) {
  try {
    if (all.length) localStorage.setItem(KEY, JSON.stringify(all));
    else localStorage.removeItem(KEY);
  } catch {
    // storage is switched off: nothing is kept
  }
}
