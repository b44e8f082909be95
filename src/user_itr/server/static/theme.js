// The theme of the system, or the one chosen here before. No module, so that it runs before the
// first paint.
(() => {
  const KEY = "user-itr-theme";
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  };
  const store = (theme) => {
    try {
      if (theme) localStorage.setItem(KEY, theme);
      else localStorage.removeItem(KEY);
    } catch {
      // lasts until the page is closed
    }
  };
  const ofSystem = () => (system.matches ? "dark" : "light");
  const shown = () => root.dataset.theme || ofSystem();

  if (["dark", "light"].includes(stored())) root.dataset.theme = stored();

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const tell = () => button.setAttribute("aria-pressed", String(shown() === "dark"));
    button.addEventListener("click", () => {
      const theme = shown() === "dark" ? "light" : "dark";
      if (theme === ofSystem()) delete root.dataset.theme;
      else root.dataset.theme = theme;
      store(root.dataset.theme);
      tell();
    });
    system.addEventListener("change", tell);
    tell();
  });
})();
