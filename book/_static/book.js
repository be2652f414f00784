// What the theme's scripts leave undone.

// From a folder, a browser does not let a script read the pages for search's excerpts.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

// The theme's inline handlers and javascript: addresses, which the page's policy forbids.
document.addEventListener("click", (event) => {
  const clicked = event.target.closest("[data-click], .highlight-link a");
  if (!clicked) return;
  if (clicked.dataset.click === "window.print()") print();
  else if (clicked.dataset.click === "toggleFullScreen()") toggleFullScreen();
  else {
    event.preventDefault();
    SphinxHighlight.hideSearchWords();
  }
});

// Search tells a page by the browser's storage what to highlight, which not every browser
// shares between the files of a folder; an address always arrives.
document.addEventListener("click", ({ target }) => {
  const found = target.closest("#search-results a");
  if (!found) return;
  const url = new URL(found.href);
  url.searchParams.set("highlight", localStorage.getItem("sphinx_highlight_terms") ?? "");
  found.href = url;
});

// The theme's tooltips, each made when it is about to be needed: all at once, they keep a
// phone busy while its page is being read.
const delay = { show: 500, hide: 100 };
const tooltip = ({ target }) => {
  const named = target.closest?.("[data-tooltip]");
  if (named) window.bootstrap?.Tooltip.getOrCreateInstance(named, { delay });
};
// The first to hear of it, since the tooltip listens, too.
for (const event of ["pointerover", "focusin"]) addEventListener(event, tooltip, true);

// The buttons that copy code.
document.addEventListener("click", async ({ target }) => {
  if (!target.matches(".copybtn")) return;
  try {
    await navigator.clipboard.writeText(target.nextElementSibling.textContent.trimEnd());
  } catch { // no such thing on a site without HTTPS
    getSelection().selectAllChildren(target.nextElementSibling);
    if (!document.execCommand("copy")) return;
  }
  target.textContent = "Copied";
  setTimeout(() => (target.textContent = "Copy"), 2000);
});

// What is wider than its place scrolls by keyboard, too. The theme sees to that for code
// that is not folded.
const OTHERS = "div.math, .pst-scrollable-table-container";
const reachable = (boxes) => {
  // First measure all, or each change would lay out the page anew.
  const wide = [...boxes].map((box) => box.scrollWidth > box.clientWidth);
  boxes.forEach((box, i) => (box.tabIndex = wide[i] ? 0 : -1));
};
document.querySelectorAll("details").forEach((folded) => {
  folded.addEventListener("toggle", () => {
    if (folded.open) reachable(folded.querySelectorAll(`pre, ${OTHERS}`));
  });
});
let resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => {
    reachable(document.querySelectorAll(`details[open] pre, ${OTHERS}`));
  }, 300);
});
addEventListener("load", () => {
  reachable(document.querySelectorAll(OTHERS));
  // The style sheet hides what is folded until here, so that the theme's measuring does not
  // lay it out; from now on the browser's own search finds it.
  setTimeout(() => {
    document.querySelectorAll("details").forEach((folded) => folded.classList.add("measured"));
  });
});

// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  document.querySelectorAll("details:not([open])").forEach((folded) => {
    folded.dataset.closed = "";
    folded.open = true;
  });
});
addEventListener("afterprint", () => {
  document.querySelectorAll("details[data-closed]").forEach((folded) => {
    delete folded.dataset.closed;
    folded.open = false;
  });
});
