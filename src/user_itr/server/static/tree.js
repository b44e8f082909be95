// Folders as a tree: one is chosen, those with folders below them open and close.

import { make } from "./dom.js";
import * as format from "./format.js";

const ALL = { path: "", name: "All folders", depth: 0, photos: null, parent: null, below: [] };

export class FolderTree {
  /**
   * @param {HTMLElement} box that becomes the tree
   * @param {(path: string) => void} choose called with the folder that is chosen, "" for all
   */
  constructor(box, choose) {
    Object.assign(this, { box, choose, nodes: [ALL], tops: [ALL], chosen: "", current: ALL });
    this.open = new Set(); // paths
    box.addEventListener("click", (event) => {
      const node = this.nodeOf(event.target);
      if (!node) return;
      if (event.target.closest(".opener")) this.toggle(node);
      else this.select(node);
    });
    box.addEventListener("keydown", (event) => this.press(event));
    this.draw();
  }

  /** @param {{path: string, depth: number, photos: number}[]} folders each before those below it */
  offer(folders) {
    const told = JSON.stringify(folders);
    if (told === this.told) return;
    this.told = told;
    const { path } = this.current;
    const way = []; // from the topmost folder to the one at hand
    this.nodes = [ALL];
    for (const folder of folders) {
      const parent = folder.depth ? way[folder.depth - 1] : null;
      const node = { ...folder, name: format.folder(folder.path), parent, below: [] };
      way[folder.depth] = node;
      parent?.below.push(node);
      this.nodes.push(node);
    }
    this.tops = this.nodes.filter(({ parent }) => parent === null);
    if (this.tops.length === 2) this.open.add(this.tops[1].path);
    this.show(this.chosen);
    this.current = this.nodes.find((one) => one.path === path) ?? this.current;
    this.draw();
  }

  /** Shows that a folder is chosen, with the folders that it is in. */
  show(path) {
    this.chosen = path;
    const node = this.nodes.find((one) => one.path === path);
    for (let one = node?.parent; one; one = one.parent) this.open.add(one.path);
    this.current = node ?? ALL;
    this.draw();
  }

  select(node) {
    this.show(node.path);
    this.focus(node);
    this.choose(node.path);
  }

  toggle(node) {
    if (!this.open.delete(node.path)) this.open.add(node.path);
    this.focus(node);
  }

  focus(node) {
    this.current = node;
    this.draw();
    this.box.querySelector("[tabindex='0']").focus();
  }

  /** The folders that are seen, from above to below. */
  seen(nodes = this.tops) {
    return nodes.flatMap((node) => [
      node, ...(this.open.has(node.path) ? this.seen(node.below) : []),
    ]);
  }

  draw() {
    this.shown = this.seen();
    if (!this.shown.includes(this.current)) this.current = ALL;
    const focused = this.box.contains(document.activeElement);
    this.box.replaceChildren(...this.shown.map((node) => this.item(node)));
    if (focused) this.box.querySelector("[tabindex='0']").focus();
  }

  item(node) {
    const beside = node.parent?.below ?? this.tops;
    const text = node.photos === null ? "" : format.count(node.photos);
    const item = make(
      "div",
      {
        role: "treeitem",
        "aria-level": node.depth + 1,
        "aria-setsize": beside.length,
        "aria-posinset": beside.indexOf(node) + 1,
        "aria-selected": String(node.path === this.chosen),
        "aria-expanded": node.below.length ? String(this.open.has(node.path)) : null,
        "aria-label": text ? `${format.isolated(node.name)}, ${format.photos(node.photos)}` : null,
        tabindex: node === this.current ? "0" : "-1",
        title: node.path || null,
      },
      make("span", { class: "opener", "aria-hidden": "true" }),
      make("bdi", {}, node.name),
      make("small", {}, text),
    );
    item.style.setProperty("--depth", node.depth);
    return item;
  }

  nodeOf(element) {
    const item = element.closest("[role=treeitem]");
    return item ? this.shown[[...this.box.children].indexOf(item)] : null;
  }

  press(event) {
    const node = this.nodeOf(event.target);
    if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
    const { shown } = this;
    const place = shown.indexOf(node);
    const isOpen = this.open.has(node.path);
    const goes = {
      ArrowDown: () => shown[place + 1],
      ArrowUp: () => shown[place - 1],
      Home: () => shown[0],
      End: () => shown.at(-1),
      ArrowRight: () => (isOpen ? node.below[0] : node.below.length && this.toggle(node)),
      ArrowLeft: () => (isOpen ? this.toggle(node) : node.parent),
      " ": () => this.select(node),
      Enter: () => this.select(node),
    };
    const letter = event.key.toLowerCase();
    const begins = (one) => one.name.toLowerCase().startsWith(letter);
    const go = goes[event.key] ?? (letter.length === 1
      ? () => shown.slice(place + 1).find(begins) ?? shown.find(begins)
      : null);
    if (!go) return;
    event.preventDefault();
    const to = go();
    if (to) this.focus(to);
  }
}
