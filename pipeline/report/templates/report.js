"use strict";
// Sorting: a click on a column's head sorts by data-value, a second one the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.querySelectorAll("th")];
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const descends = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descends ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value;
      const numeric = head.classList.contains("number");
      const compare = numeric
        ? (a, b) => Number(a) - Number(b)
        : (a, b) => a.localeCompare(b, undefined, { numeric: true });
      const body = table.tBodies[0];
      const known = [...body.rows].filter((row) => value(row) !== "");
      const unknown = [...body.rows].filter((row) => value(row) === "");
      known.sort((a, b) => (descends ? -1 : 1) * compare(value(a), value(b)));
      body.append(...known, ...unknown);
    });
  });
}
// Search: rows whose text holds what is typed.
for (const field of document.querySelectorAll("input[type=search]")) {
  const rows = [...document.getElementById(field.dataset.table).tBodies[0].rows];
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
// Players: a line runs over the picture; a click on the picture plays from there.
for (const figure of document.querySelectorAll("figure")) {
  const audio = figure.querySelector("audio");
  const picture = figure.querySelector(".picture");
  const playhead = figure.querySelector(".playhead");
  const seconds = Number(figure.dataset.seconds);
  const follow = () => {
    playhead.style.left = (100 * Math.min(1, audio.currentTime / seconds)).toFixed(2) + "%";
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    figure.classList.add("playing");
    follow();
  });
  audio.addEventListener("seeked", follow);
  audio.addEventListener("ended", () => figure.classList.remove("playing"));
  picture.addEventListener("click", (event) => {
    const box = picture.getBoundingClientRect();
    audio.currentTime = ((event.clientX - box.left) / box.width) * seconds;
    audio.play();
  });
}
