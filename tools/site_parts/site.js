// What a page does without a kernel: sliders over pictures that were drawn beforehand, predictions and quizzes that answer.
(() => {
  const theme = document.querySelector("#theme");
  const kept = (() => { try { return localStorage.getItem("theme"); } catch { return null; } })();
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const paint = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    theme.textContent = dark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", dark() ? "Use light colours" : "Use dark colours");
  };
  theme.addEventListener("click", () => {
    const name = dark() ? "light" : "dark";
    try { localStorage.setItem("theme", name); } catch { /* a file on a stick may not remember */ }
    paint(name);
  });
  theme.hidden = false;
  paint(kept);

  for (const box of document.querySelectorAll(".explorer[data-frames]")) {
    const { start, controls } = JSON.parse(box.querySelector("script").textContent);
    const [image, caption] = [box.querySelector("img"), box.querySelector("figcaption")];
    const describes = image.dataset.describes;
    const show = (frame) => {
      image.src = frame.src;
      image.alt = `${describes} ${frame.says}`;
      caption.textContent = frame.says;
    };
    const sliders = controls.map((control, k) => {
      const input = box.querySelectorAll("input[type=range]")[k];
      const told = input.closest(".control").querySelector("output");
      const tell = () => {
        told.textContent = control.frames[input.value].at;
        input.setAttribute("aria-valuetext", control.frames[input.value].at);
      };
      // Only one control is away from the start at a time: the pictures of all combinations would fill a disk.
      input.addEventListener("input", () => {
        sliders.forEach((other) => other.input !== input && other.reset());
        tell();
        show(control.frames[input.value]);
      });
      const reset = () => { input.value = control.at; tell(); };
      reset();
      return { input, reset };
    });
    const back = box.querySelector("button");
    back.addEventListener("click", () => { sliders.forEach((one) => one.reset()); show(start); });
    // The browser fetches the rest once a slider is near, so that it answers at once.
    new IntersectionObserver((seen, watcher) => {
      if (!seen.some((one) => one.isIntersecting)) return;
      watcher.disconnect();
      for (const control of controls) for (const frame of control.frames) new Image().src = frame.src;
    }, { rootMargin: "300px" }).observe(box);
  }

  for (const ask of document.querySelectorAll(".ask[data-kind]")) {
    const told = JSON.parse(ask.querySelector("script").textContent);
    const answer = ask.querySelector(".answer");
    const say = (text, good) => {
      answer.textContent = text;
      answer.className = "answer " + (good === undefined ? "" : good ? "good" : "bad");
    };
    ask.querySelector("button").addEventListener("click", () => {
      const chosen = ask.querySelector("input:checked");
      if (ask.dataset.kind === "number") {
        const guess = Number(ask.querySelector("input").value.trim().replace(/,(?=\d{3}\b)/g, "").replace(",", "."));
        if (!ask.querySelector("input").value.trim() || !Number.isFinite(guess)) return say("Write a number first.");
        const off = told.truth === 0 ? Math.abs(guess) : Math.abs(guess / told.truth - 1);
        const near = off <= told.tolerance ? "close" : guess < told.truth ? "low" : "high";
        say(`You predicted ${guess}. It is ${told.shown}. ${told.explain[near]} ${told.evidence}`, near === "close");
      } else if (!chosen) say("Choose an answer first.");
      else {
        const right = chosen.value === told.truth;
        const mark = right ? "✓ " : "✗ ";
        const last = ask.dataset.kind === "quiz" ? "" : right ? "" : ` It is: ${told.shown}.`;
        say(`${mark}${told.explain[chosen.value]}${last} ${told.evidence || ""}`, right);
      }
      if (ask.dataset.kind !== "quiz") {
        const hidden = ask.nextElementSibling;
        if (hidden?.matches("details.after")) hidden.open = true;
      }
    });
  }
  addEventListener("beforeprint", () => document.querySelectorAll("details.after").forEach((one) => { one.open = true; }));
  renderMathInElement(document.querySelector("main"), {
    delimiters: [{ left: "$$", right: "$$", display: true }, { left: "$", right: "$", display: false }],
    ignoredTags: ["script", "style", "pre", "code", "option"], throwOnError: false,
  });
})();
