// The picture of an explorer: an image with real alternative text, the live sentence, and the pointer.
// It also gives the sliders and buttons around it the names that a screen reader needs.
const BUTTONS = { play: "Play", pause: "Pause", stop: "Stop", retweet: "Repeat" };

function render({ model, el }) {
  const part = (tag, name, role) => {
    const node = document.createElement(tag);
    node.className = "gclip-" + name;
    if (role) node.setAttribute("role", role);
    return node;
  };
  const figure = part("figure", "figure");
  const [question, image, sentence, error] = [
    part("p", "question"), part("img", "image"), part("figcaption", "sentence", "status"), part("p", "error", "alert"),
  ];
  figure.append(question, image, sentence, error);
  el.append(figure);
  image.draggable = false;
  image.width = model.get("width");
  image.height = model.get("height");
  image.classList.toggle("gclip-grab", model.get("draggable"));

  const name = () => {
    const root = el.closest(".gclip-explorer");
    if (!root) return;
    for (const [field, { label, text }] of Object.entries(model.get("frame").controls)) {
      const row = root.querySelector(".gclip-control-" + field);
      if (!row) continue;
      for (const handle of row.querySelectorAll(".noUi-handle")) {
        if (handle.getAttribute("aria-label") !== label) handle.setAttribute("aria-label", label);
        if (handle.getAttribute("aria-valuetext") !== text) handle.setAttribute("aria-valuetext", text);
      }
      for (const box of row.querySelectorAll("input[type=number]")) box.setAttribute("aria-label", label + ", exact value");
    }
    for (const icon of root.querySelectorAll(".widget-play button i")) {
      const kind = [...icon.classList].map((c) => BUTTONS[c.slice(3)]).find(Boolean);
      if (kind && icon.parentElement.title !== kind) {
        icon.parentElement.title = kind;
        icon.parentElement.setAttribute("aria-label", kind);
      }
    }
  };

  const waiting = []; // addresses of pictures that are still loading or on the screen
  const show = () => {
    const frame = model.get("frame");
    const url = URL.createObjectURL(new Blob([frame.png], { type: "image/png" }));
    waiting.push(url);
    image.src = url;
    image.alt = frame.alt;
    for (const [node, text] of [[question, frame.question], [sentence, frame.sentence], [error, frame.error]]) {
      if (node.textContent !== text) node.textContent = text;
    }
    name();
  };
  image.addEventListener("load", () => {
    while (waiting.length && waiting[0] !== image.src) URL.revokeObjectURL(waiting.shift());
  });

  let from = null;
  let seq = 0;
  const point = (event) => {
    const box = image.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * model.get("width")) / box.width,
      ((event.clientY - box.top) * model.get("height")) / box.height,
    ];
  };
  const report = (event) => {
    model.set("gesture", { from, to: point(event), seq: ++seq });
    model.save_changes();
  };
  const release = (event) => {
    if (from) report(event);
    from = null;
  };
  if (model.get("draggable")) {
    image.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      image.setPointerCapture(event.pointerId);
      from = point(event);
      report(event);
    });
    image.addEventListener("pointermove", (event) => from && report(event));
    image.addEventListener("pointerup", release);
    image.addEventListener("pointercancel", release);
  }

  let screen = null; // zoom and another screen change its resolution, with or without a resize
  const dense = () => {
    screen?.removeEventListener("change", dense);
    screen = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    screen.addEventListener("change", dense);
    const enlarged = (image.getBoundingClientRect().width || image.width) / image.width;
    model.set("density", window.devicePixelRatio * Math.max(1, enlarged) > 1 ? 2 : 1);
    model.save_changes();
  };
  window.addEventListener("gclip-scale", dense); // a page that enlarges its pictures says so
  model.on("change:frame", show);
  show();
  dense();
  // The sliders appear after the picture, in their own time.
  const observer = new MutationObserver(name);
  const start = requestAnimationFrame(() => {
    const root = el.closest(".gclip-explorer");
    if (root) observer.observe(root, { childList: true, subtree: true });
    name();
  });
  return () => {
    cancelAnimationFrame(start);
    observer.disconnect();
    screen.removeEventListener("change", dense);
    window.removeEventListener("gclip-scale", dense);
    model.off("change:frame", show);
    waiting.forEach((url) => URL.revokeObjectURL(url));
  };
}

export default { render };
