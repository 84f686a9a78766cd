"use strict";
const byNumber = (a, b) => a - b;
const byText = new Intl.Collator(undefined, { numeric: true }).compare;
const make = (name, properties = {}, ...inside) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
};
const clock = (seconds) => {
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return (hours ? `${hours}:${two(minutes)}` : minutes) + ":" + two(whole % 60);
};
// As the page's tables have it: two decimals, or two digits of the distance to 0 or 1.
const scoreText = (score, most) => {
  const doubt = Math.max(Math.min(score, 1 - score), 10 ** -most);
  return score.toFixed(Math.min(Math.max(1 - Math.floor(Math.log10(doubt) + 1e-9), 2), most));
};
// Sorts by a value; what is unknown (null or "") stays last either way.
const sortBy = (list, value, descends, compare) => {
  const known = [], unknown = [];
  for (const item of list) (value(item) === "" || value(item) === null ? unknown : known).push(item);
  known.sort((a, b) => (descends ? -1 : 1) * compare(value(a), value(b)));
  return [...known, ...unknown];
};
// A click on a column's head sorts, a second one the other way round.
const sortable = (heads, sort) => heads.forEach((head, column) => {
  const button = head.querySelector("button");
  if (button) button.addEventListener("click", () => {
    const descends = head.getAttribute("aria-sort") !== "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", descends ? "descending" : "ascending");
    sort(column, descends, head.classList.contains("number"));
  });
});
for (const table of document.querySelectorAll("table.sortable")) {
  sortable([...table.querySelectorAll("thead th")], (column, descends, numeric) => {
    const body = table.tBodies[0];
    const value = ({ cells }) => {
      const text = cells[column].dataset.value;
      return numeric && text ? Number(text) : text;
    };
    body.append(...sortBy([...body.rows], value, descends, numeric ? byNumber : byText));
  });
}
const play = (audio) => audio.play().catch(() => {}); // a pause meanwhile is no error
// One player at a time.
document.addEventListener("play", ({ target }) => {
  for (const other of document.querySelectorAll("audio")) if (other !== target) other.pause();
}, true);
// Pictures: a line runs over them; a click plays from there, Enter plays and stops, arrows move.
for (const figure of document.querySelectorAll("figure")) {
  const audio = figure.querySelector("audio");
  const picture = figure.querySelector(".picture");
  const playhead = figure.querySelector(".playhead");
  const seconds = Number(figure.dataset.seconds);
  const follow = () => {
    playhead.style.left = (100 * Math.min(1, audio.currentTime / seconds)).toFixed(2) + "%";
    if (!audio.paused) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => { figure.classList.add("playing"); follow(); });
  audio.addEventListener("seeked", () => { figure.classList.add("playing"); follow(); });
  audio.addEventListener("ended", () => figure.classList.remove("playing"));
  picture.addEventListener("click", (event) => {
    if (event.detail) {
      const box = picture.getBoundingClientRect();
      audio.currentTime = ((event.clientX - box.left) / box.width) * seconds;
      play(audio);
    } else if (audio.paused) play(audio);
    else audio.pause();
  });
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.5, ArrowRight: 0.5 }[event.key];
    if (!step) return;
    event.preventDefault();
    audio.currentTime = Math.max(0, Math.min(seconds, audio.currentTime + step));
  });
}
// The table of recordings: all rows are in the page as data, 50 of them as elements.
const holder = document.getElementById("data");
if (holder) {
  const data = JSON.parse(holder.textContent);
  const table = document.getElementById("recordings");
  const find = document.getElementById("find"), kind = document.getElementById("kind");
  const back = document.getElementById("back"), next = document.getElementById("next");
  const PAGE = 50;
  const at = Object.fromEntries(data.fields.map((name, n) => [name, n]));
  const columns = data.columns.map(([field, label, numeric]) => ({ field, label, numeric }));
  const texts = data.rows.map((row) =>
    [at.name, at.site, at.began, at.flags].map((n) => row[n]).join("\n").toLowerCase());
  const callsOf = (row) => {
    const flat = row[at.times], calls = [];
    for (let n = 0; n < flat.length; n += 3) calls.push([flat[n] / 10, flat[n + 1] / 10, flat[n + 2] / 10 ** data.digits]);
    return calls;
  };
  let order = data.rows.map((_, n) => n), first = 0;

  const strip = (row, ticks) => {
    const box = make("div", { className: "strip" });
    const code = row[at.strip], length = row[at.duration_s];
    if (!code) return box;
    const W = 1000, H = 100, TOP = 18, y = (place) => H - (H - TOP) * place;
    let path = "";
    for (let n = 0; n < code.length; n++) {
      if (code[n] === " ") continue;
      const left = (n * W) / code.length, right = ((n + 1) * W) / code.length;
      path += `M${left.toFixed(0)} ${H}V${y(parseInt(code[n], 36) / 35).toFixed(0)}H${right.toFixed(0)}V${H}Z`;
    }
    const draw = (name, values) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
      return made;
    };
    const picture = draw("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `Scores over time, ${row[at.calls] || 0} calls, highest score ${row[at.score] === null ? "unknown" : scoreText(row[at.score], data.digits)}` });
    for (const [label, percent] of ticks) {
      const height = y(percent / 100);
      picture.append(draw("path", { class: "grid", d: `M0 ${height}H${W}` }));
      const text = make("span", { className: "axis" }, label);
      text.setAttribute("aria-hidden", "true");
      text.style.bottom = `${H - height}%`;
      box.append(text);
    }
    picture.append(draw("path", { class: "score", d: path }));
    picture.append(draw("path", { class: "threshold", d: `M0 ${y(row[at.threshold])}H${W}` }));
    for (const [start, end] of callsOf(row))
      picture.append(draw("rect", { class: "call", x: (start * W) / length, y: 0,
        width: Math.max(5, ((end - start) * W) / length), height: TOP - 5 }));
    picture.append(draw("path", { class: "base", d: `M0 ${H}H${W}` }));
    box.append(picture);
    return box;
  };
  const source = (name) => {
    if (name.startsWith("/")) return encodeURI("file://" + name);
    if (name.includes("://") || data.base === null) return "";
    return [...data.base.split("/"), ...name.split("/")].map(encodeURIComponent).join("/");
  };
  const details = (row) => {
    const inside = make("td", { className: "line", colSpan: columns.length });
    if (row[at.error]) inside.append(make("p", {}, row[at.error]));
    inside.append(strip(row, data.ticks), make("div", { className: "axis" }, `0:00 to ${clock(row[at.duration_s] || 0)}`));
    const name = row[at.name], address = source(name);
    const audio = make("audio", { controls: true, preload: "none" });
    audio.setAttribute("aria-label", `Player of ${name}`);
    const times = make("div", { className: "times" });
    for (const [start, , score] of callsOf(row)) {
      const jump = make("button", { type: "button" }, `${clock(start)} · score ${scoreText(score, data.digits)}`);
      jump.disabled = !address;
      jump.addEventListener("click", () => { audio.currentTime = Math.max(0, start - 1); play(audio); });
      times.append(jump);
    }
    const word = make("p", { className: "soft" });
    if (row[at.calls] > callsOf(row).length) word.append(`The first ${callsOf(row).length} of ${row[at.calls]} calls; calls.csv lists them all. `);
    inside.append(times);
    if (address) {
      audio.src = address;
      audio.addEventListener("error", () => {
        word.append("The recording cannot be played: it is not where it was counted, or this browser does not know its format.");
        audio.remove();
      });
      inside.append(audio);
    } else word.append("The recording lies elsewhere; this page cannot play it.");
    inside.append(word);
    return make("tr", { className: "opened" }, inside);
  };
  const cells = {
    name: (row) => {
      const parts = row[at.name].split("/").flatMap((part, n) => (n ? ["/", make("wbr"), part] : [part]));
      const button = make("button", { type: "button" }, ...parts);
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => {
        const line = button.closest("tr"), isOpen = button.getAttribute("aria-expanded") === "true";
        button.setAttribute("aria-expanded", String(!isOpen));
        if (isOpen) line.nextSibling.remove();
        else line.after(details(row));
      });
      return make("td", { className: "name" }, button);
    },
    outcome: (row) => make("td", { className: "outcome " + row[at.outcome] }, data.outcomes[row[at.outcome]]),
    strip: (row) => make("td", { className: "strip line" }, ...(row[at.strip] ? [strip(row, [])] : [])),
  };
  const cell = (row, { field, label, numeric }) => {
    const value = row[at[field]];
    const made = cells[field] ? cells[field](row)
      : make("td", { className: numeric ? "number" : field }, value === null ? "" : field === "score" ? scoreText(value, data.digits) : String(value));
    if (!(field in cells)) made.dataset.label = label;
    return made;
  };
  const show = () => {
    first = Math.max(0, Math.min(first, PAGE * Math.floor((order.length - 1) / PAGE)));
    const some = order.slice(first, first + PAGE).map((n) => data.rows[n]);
    table.tBodies[0].replaceChildren(
      ...some.map((row) => make("tr", {}, ...columns.map((column) => cell(row, column)))));
    back.disabled = first === 0;
    next.disabled = first + PAGE >= order.length;
    const last = Math.min(first + PAGE, order.length).toLocaleString("en");
    document.getElementById("shown").textContent = order.length
      ? `${(first + 1).toLocaleString("en")} to ${last} of ${order.length.toLocaleString("en")}`
      : "no recording";
  };
  let sorted = [...order];
  const choose = () => {
    const wanted = find.value.toLowerCase();
    order = sorted.filter((n) => texts[n].includes(wanted)
      && (!kind.value || data.rows[n][at.outcome] === kind.value));
    first = 0;
    show();
  };
  const heads = columns.map(({ field, label, numeric }) => {
    const head = make("th", { scope: "col", className: numeric ? "number" : "" });
    head.append(field === "strip" ? label : make("button", { type: "button" }, label));
    return head;
  });
  table.tHead.rows[0].append(...heads);
  sortable(heads, (column, descends, numeric) => {
    const n = at[columns[column].field];
    sorted = sortBy(sorted, (index) => data.rows[index][n], descends, numeric ? byNumber : byText);
    choose();
  });
  find.addEventListener("input", choose);
  kind.addEventListener("change", choose);
  back.addEventListener("click", () => { first -= PAGE; show(); });
  next.addEventListener("click", () => { first += PAGE; show(); });
  show();
}
