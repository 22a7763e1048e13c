// Watches the page for the benchmark: nothing here changes what it does.
window.watched = { first: null, steps: [], live: [] };

{
  // The first chart is there once a scene with points in it, the first that was sent, is painted.
  let sent = false;
  const send = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) {
    sent ||= message.scene?.lines.some(({ columns }) => columns.length > 0) ?? false;
    return send.call(this, message, ...rest);
  };
  const look = () => {
    const { watched } = window;
    if (sent && watched.first === null && document.querySelector(".chart[data-painted]")) {
      watched.first = Number.NaN;
      requestAnimationFrame(() => (watched.first = performance.now()));
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
