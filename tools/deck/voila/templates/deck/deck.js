// One slide at a time: a slide begins at every heading. Arrow keys switch, unless a slider or a box has the focus; Escape leaves it.
(() => {
  const root = document.getElementById("rendered_cells");
  const body = root.firstElementChild;
  const slides = [];
  for (const cell of body.querySelectorAll(":scope > [cell-index]")) {
    if (!slides.length || cell.querySelector("h1, h2, h3")) slides.push([]);
    slides.at(-1).push(cell);
  }
  const bar = document.createElement("nav");
  bar.className = "deck-bar";
  bar.setAttribute("aria-label", "Slides");
  const button = (text, says, step) => {
    const node = document.createElement("button");
    node.textContent = text;
    node.title = says;
    node.setAttribute("aria-label", says);
    node.addEventListener("click", () => show(at + step));
    return node;
  };
  const where = document.createElement("span");
  where.setAttribute("role", "status");
  bar.append(button("←", "Previous slide", -1), where, button("→", "Next slide", 1));
  document.body.append(bar);

  let at = Math.min(slides.length - 1, Math.max(0, Number(location.hash.slice(1)) - 1 || 0));
  const fit = () => {
    // Everything in `body` at once grows to what the screen holds; a long slide of text may be scrolled.
    body.style.zoom = 1;
    const height = body.scrollHeight + 16;
    const wide = innerWidth / 960;
    const zoom = slides[at].some((cell) => cell.querySelector(".gclip-explorer")) ? Math.min(wide, innerHeight / height) : wide;
    body.style.zoom = Math.min(3, Math.max(1, zoom));
    window.dispatchEvent(new Event("gclip-scale"));
  };
  const show = (wanted) => {
    at = Math.min(slides.length - 1, Math.max(0, wanted));
    slides.forEach((cells, k) => cells.forEach((cell) => cell.classList.toggle("deck-away", k !== at)));
    where.textContent = `${at + 1} of ${slides.length}`;
    history.replaceState(null, "", "#" + (at + 1));
    document.activeElement?.blur();
    scrollTo(0, 0);
    fit();
  };
  const STEPS = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
  document.addEventListener("keydown", (event) => {
    const held = event.target.closest?.("input, select, textarea, .noUi-handle, [role=radiogroup]");
    if (event.key === "Escape") document.activeElement?.blur();
    else if (event.key === "Home" && !held) show(0);
    else if (event.key === "End" && !held) show(slides.length - 1);
    else if (STEPS[event.key] && !held && !event.ctrlKey && !event.metaKey && !event.altKey) show(at + STEPS[event.key]);
    else return;
    event.preventDefault();
  });
  addEventListener("resize", fit);
  // Cells arrive with their outputs already in the page, but sliders take their time: fit again while things grow.
  new ResizeObserver(() => { if (Math.abs(body.offsetHeight - seen) > 4) { fit(); seen = body.offsetHeight; } }).observe(body);
  let seen = 0;
  show(at);
})();
