// Finding and making elements. What users or files say goes in as text, never as markup.

export const find = (selector, within = document) => within.querySelector(selector);

/** An element with attributes (null and false are left out) and children (nodes or text). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children);
  return element;
}

/** One of the icons that index.html defines. */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(namespace, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/** A button that does something; with `symbol` its icon stands before the text. */
export function button(text, onClick, { symbol = "", ...attributes } = {}) {
  const children = symbol ? [icon(symbol), text] : [text];
  const made = make("button", { type: "button", ...attributes }, ...children);
  made.addEventListener("click", onClick);
  return made;
}

/** Has a dialog closed by its button, and by a click beside it. */
export function makeClosable(dialog) {
  find(".close", dialog).addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
}

/** Whether letters typed now would go into a field. */
export function typing(target) {
  return target.closest("input:not([type=file]), select, textarea, [contenteditable]") !== null;
}

/** Whether the click asks the browser for a new tab or window. */
export function opensElsewhere(event) {
  return event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey;
}

/** A path, whose folders each read in their own direction and all stand from left to right. */
export function pathOf(path) {
  const folders = path.split(/(?<=[/\\])/);
  return make("span", { dir: "ltr" }, ...folders.map((folder) => make("bdi", {}, folder)));
}
