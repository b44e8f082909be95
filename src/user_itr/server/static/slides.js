// A slide show of the photos in the viewer. It waits while a picture loads and while the page is
// not seen.

export class Slides {
  /**
   * @param {HTMLButtonElement} button that starts and ends it; says how many seconds a photo stands
   * @param {object} on what to call: `next()`, which goes on to the next photo and says whether
   *   there is one, `held()`, which says whether this photo shall stay, and `changed(running)`
   */
  constructor(button, on) {
    Object.assign(this, { button, on, running: false });
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => this.wait());
  }

  toggle(run = !this.running) {
    if (run === this.running) return;
    this.running = run;
    this.button.setAttribute("aria-pressed", String(run));
    this.on.changed(run);
    this.wait();
  }

  /** Counts from now. */
  wait() {
    clearTimeout(this.timer);
    if (!this.running || document.hidden) return;
    this.timer = setTimeout(() => {
      if (this.on.held()) this.wait();
      else if (!this.on.next()) this.toggle(false);
    }, 1000 * Number(this.button.dataset.seconds));
  }

  /** Counts again when a picture is there. */
  async after(picture) {
    clearTimeout(this.timer);
    this.picture = picture;
    await picture;
    if (this.picture === picture) this.wait();
  }
}
