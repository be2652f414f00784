// Printing opens everything that is folded, and closes it again afterwards.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not([open])")) {
    folded.dataset.closed = "";
    folded.open = true;
  }
});
addEventListener("afterprint", () => {
  for (const unfolded of document.querySelectorAll("details[data-closed]")) {
    delete unfolded.dataset.closed;
    unfolded.open = false;
  }
});

// Make boxes that scroll sideways focusable. Chrome and Firefox do so themselves; delete this
// when Safari does.
const sideways = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("pre, .table-wrapper, .math-wrapper")) {
  sideways.observe(box);
}

// Sphinx links to a javascript: address, which the page's policy forbids.
document.addEventListener("click", (event) => {
  if (!event.target.matches(".highlight-link a")) return;
  event.preventDefault();
  SphinxHighlight.hideSearchWords();
});
