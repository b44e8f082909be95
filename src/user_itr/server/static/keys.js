// Keys that work anywhere on the page, and the help that lists them.

import { find, makeClosable, typing } from "./dom.js";

export function installKeys(grid) {
  const box = find("#q");
  const help = find("#help");
  const bottomOfBar = () => find(".bar").getBoundingClientRect().bottom;

  find("#help-button").addEventListener("click", () => help.showModal());
  makeClosable(help);

  find(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // a new address would lose the picture that is searched by
    grid.focusVisible(bottomOfBar());
  });

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const inDialog = document.querySelector("dialog[open]") !== null;
    const enter =
      event.target === box
        ? ["ArrowDown"]
        : event.target === document.body
          ? ["ArrowRight", "ArrowLeft"]
          : [];
    if (!inDialog && enter.includes(event.key)) {
      event.preventDefault();
      grid.focusVisible(bottomOfBar());
    } else if (!typing(event.target) && event.key === "/" && !inDialog) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (!typing(event.target) && event.key === "?" && !help.open) {
      event.preventDefault();
      help.showModal();
    }
  });
}
