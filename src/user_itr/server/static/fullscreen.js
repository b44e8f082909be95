// The picture of the viewer alone on the screen, where the browser can do that.

export class FullScreen {
  /**
   * @param {HTMLButtonElement} button hidden where the browser cannot
   * @param {HTMLElement} element
   */
  constructor(button, element) {
    Object.assign(this, { button, element });
    button.hidden = !document.fullscreenEnabled;
    button.addEventListener("click", () => this.toggle());
    document.addEventListener("fullscreenchange", () => {
      button.setAttribute("aria-pressed", String(document.fullscreenElement === element));
    });
  }

  async toggle() {
    if (this.button.hidden) return;
    if (document.fullscreenElement) await this.leave();
    else await this.element.requestFullscreen().catch(() => (this.button.hidden = true));
  }

  async leave() {
    if (document.fullscreenElement) await document.exitFullscreen().catch(() => {}); // it ended
  }
}
