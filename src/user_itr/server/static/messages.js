// What stands in the place of photos when there are none, and what to do about it.

import { isFiltered, isSearch } from "./address.js";
import { sentence } from "./api.js";
import { icon, make } from "./dom.js";

const FAILURES = {
  gone: {
    symbol: "plug",
    title: "The server does not answer",
    text:
      "It was stopped, or it cannot be reached. Start it again in a terminal; " +
      "this page goes on as soon as it answers.",
    command: "user-itr serve",
    actions: ["retry"],
  },
  offline: {
    symbol: "plug",
    title: "You are offline",
    text: "The photos are on another computer. This page goes on as soon as it is reached again.",
    actions: ["retry"],
  },
  token: {
    symbol: "key",
    title: "This page needs its token",
    text: "Open the whole address, with its token, that was printed where the server was started:",
    command: "user-itr serve",
    actions: ["retry"],
  },
  large: {
    symbol: "picture",
    title: "This picture is too large",
    text: "The server does not take files of this size. A smaller copy finds the same photos.",
    actions: ["pick", "remove"],
  },
  unreadable: {
    symbol: "picture",
    title: "This picture cannot be read",
    text: "It may be damaged, or of a format that is not known here.",
    actions: ["pick", "remove"],
  },
  busy: {
    symbol: "plug",
    title: "The server is busy",
    text: "Others search at the same time. Try again in a moment.",
    actions: ["retry"],
  },
  lost: {
    symbol: "folder",
    title: "The index cannot be read",
    text: "Its folder is gone, damaged, or on a disk that is not mounted.",
    actions: ["retry"],
  },
  missing: {
    symbol: "picture",
    title: "This photo is not in the index",
    text: "It was deleted or moved since the link was made.",
    actions: ["newest"],
  },
  refused: {
    symbol: "search",
    title: "This cannot be searched for",
    text: "Describe a photo in plain words, or see how less of something is asked for.",
    actions: ["help"],
  },
  failed: {
    symbol: "plug",
    title: "Something went wrong in the server",
    text: "The terminal where it runs says more.",
    actions: ["retry"],
  },
};

const SAYS_MORE = ["large", "unreadable", "lost", "refused", "failed"]; // the server's own sentence does

/** The message for a search that failed. */
export function failure(error, search) {
  const kind = error.kind === "unreadable" && !search.upload ? "refused" : error.kind;
  const message = { ...FAILURES[kind] };
  if (error.message && SAYS_MORE.includes(kind)) {
    message.text = sentence(error);
  }
  if (kind === "refused" && isFiltered(search)) message.actions = ["clear", "help"];
  return message;
}

/** The message for a search without photos. */
export function nothing(search, total) {
  if (total === 0) {
    return {
      symbol: "folder",
      title: "No photos here yet",
      text:
        "Name a folder of photos in a terminal. They stay where they are; " +
        "nothing leaves this computer.",
      command: "user-itr index ~/Pictures",
      actions: ["retry"],
    };
  }
  if (isFiltered(search)) {
    return {
      symbol: "filters",
      title: "No photo fits these filters",
      text: "Choose other dates, another folder or a smaller size.",
      actions: ["clear"],
    };
  }
  return {
    symbol: "search",
    title: "No photos found",
    text: "Describe what can be seen, in a few plain words.",
    actions: isSearch(search) ? ["newest", "help"] : ["help"],
  };
}

/**
 * Shows a message, or hides the section where it is null.
 * @param {Object<string, HTMLElement>} actions a button for each action
 */
export function show(section, message, actions) {
  section.hidden = message === null;
  section.replaceChildren();
  if (message === null) return;
  section.append(
    make("div", { class: "emblem" }, icon(message.symbol)),
    make("h3", {}, message.title),
    make("p", {}, message.text),
  );
  if (message.command) section.append(make("pre", {}, make("code", {}, message.command)));
  const buttons = message.actions.map((name) => actions[name]);
  section.append(make("div", { class: "buttons" }, ...buttons));
}
