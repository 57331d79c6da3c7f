// What zensical leaves out: names for the buttons of code blocks, and the keyboard for boxes that scroll.
function complete() {
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((nav, index) => {
    nav.setAttribute("aria-label", `Code block ${index + 1}`);
  });
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap, .equation .formula, .md-typeset pre > code")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

addEventListener("resize", complete);
document.fonts.ready.then(complete);
new MutationObserver(complete).observe(document.body, { childList: true, subtree: true });
