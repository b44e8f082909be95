// Waits for a server that was gone.

import { healthy } from "./api.js";

const PAUSE = 2000; // milliseconds

/**
 * Calls `back` once when the server answers again; looks only while the page is seen.
 * @returns {AbortController} to give up with
 */
export function whenBack(back) {
  const given = new AbortController();
  const look = async () => {
    if (given.signal.aborted) return;
    if (!document.hidden && (await healthy()) && !given.signal.aborted) {
      given.abort();
      back();
    } else {
      setTimeout(look, PAUSE);
    }
  };
  setTimeout(look, PAUSE);
  return given;
}
