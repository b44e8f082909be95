// A line about what just happened, at the bottom of the page for some seconds.

import { find } from "./dom.js";
import { opened } from "./layers.js";

const SECONDS = 8;

export function tell(text) {
  untell();
  const notice = find("#notice");
  notice.textContent = text;
  notice.hidden = false;
  tell.timer = setTimeout(untell, 1000 * SECONDS);
  tell.closed = opened(untell);
}

export function untell() {
  clearTimeout(tell.timer);
  tell.closed?.();
  find("#notice").hidden = true;
}
