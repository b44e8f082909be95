// What lies over the page, such as a panel or a notice: Esc closes the one that was opened last.
// Dialogs are not among it: the browser closes those, and they lie over all of it.

const layers = [];

/**
 * Says that something was opened.
 * @param {() => void} close called by Esc
 * @returns {() => void} to call when it is closed in another way
 */
export function opened(close) {
  const layer = { close };
  layers.push(layer);
  return () => {
    const place = layers.indexOf(layer);
    if (place >= 0) layers.splice(place, 1);
  };
}

addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
  if (!layers.length || document.querySelector("dialog[open]")) return;
  event.preventDefault(); // a search box would lose its words
  layers.pop().close();
});
