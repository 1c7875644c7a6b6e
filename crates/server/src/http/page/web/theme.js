// The chosen theme. This script is no module: it runs before the first paint, so that a dark page does not flash.
(() => {
  "use strict";
  const THEMES = ["system", "light", "dark"];
  const KEPT_AS = "wyoming-stt.theme";

  function kept() {
    try {
      const theme = localStorage.getItem(KEPT_AS);
      return THEMES.includes(theme) ? theme : "system";
    } catch {
      // The browser keeps nothing for this page.
      return "system";
    }
  }

  function apply(theme) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  let theme = kept();
  apply(theme);

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const chosen = document.getElementById("theme-chosen");
    const show = () => { chosen.textContent = theme; };
    show();
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      apply(theme);
      show();
      try {
        localStorage.setItem(KEPT_AS, theme);
      } catch {
        // It lasts until the page is closed.
      }
      document.dispatchEvent(new Event("themechange"));
    });
  });
})();
