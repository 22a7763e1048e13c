// Watches the page for the benchmark: nothing here changes what it does.
window.watched = { first: null, steps: [], live: [] };

{
  // The first chart is there once a picture that was asked for after the first answer is on its canvas.
  let wiped = false;
  const look = (records) => {
    const { watched } = window;
    for (const { target, attributeName } of records) {
      if (attributeName !== "data-painted" || watched.first !== null) continue;
      const drawn = /\[\[/.test(target.dataset.pieces ?? "");
      if (!("painted" in target.dataset)) wiped = drawn;
      else if (wiped) requestAnimationFrame(() => (watched.first ??= performance.now()));
    }
    const value = document.querySelector(".live-value")?.textContent;
    if (value && value !== watched.live.at(-1)?.value) {
      watched.live.push({ value, at: performance.timeOrigin + performance.now() });
    }
  };
  new MutationObserver(look).observe(document, {
    attributes: true,
    attributeFilter: ["data-painted"],
    characterData: true,
    childList: true,
    subtree: true,
  });

  // A step is over once its own picture, at its own resolution, is on the canvas.
  addEventListener(
    "keydown",
    ({ key, timeStamp }) => {
      if (key !== "ArrowUp" && key !== "ArrowDown") return;
      let frames = 0;
      const poll = () => {
        frames += 1;
        const settled = document.querySelector(".panel").ariaBusy === "false";
        const painted = "painted" in document.querySelector(".chart").dataset;
        if (frames > 2 && settled && painted) window.watched.steps.push(performance.now() - timeStamp);
        else requestAnimationFrame(poll);
      };
      requestAnimationFrame(poll);
    },
    { capture: true },
  );
}
