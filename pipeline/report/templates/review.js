"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const clips = data.clips;
const by = (id) => document.getElementById(id);
const sound = by("sound"), observer = by("observer"), site = by("site"), note = by("note"), gain = by("gain");
const make = (name, properties = {}, ...inside) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...inside);
  return made;
};
const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

// What was answered, for each observer: clip number → [label, birds, time], and the order for undo.
// Kept under the sample's own name, so that another sample's page does not mix with this one.
const KEY = `capuchinbird-review-${data.id}`;
const empty = () => ({ labels: {}, order: [] });
let state = { observer: "", at: 0, of: { "": empty() } };
try {
  const kept = JSON.parse(localStorage.getItem(KEY));
  if (kept) state = kept;
} catch { /* private windows keep nothing: the table can still be saved */ }
const mine = () => (state.of[state.observer] ??= empty());
let file = null; // saved into as you go
const keep = () => {
  try { localStorage.setItem(KEY, JSON.stringify(state)); }
  catch { by("saved").textContent = "This browser keeps nothing. Save the table before you close the page."; }
  if (file) writeInto(file);
};

const notes = () => (mine().notes ??= {});
const isDone = (n) => n in mine().labels;
// What is left of a visit that has a confirmed call is passed over.
const visitOf = (clip) => clip.visit && clip.site + "\n" + clip.visit;
const queue = () => {
  const given = Object.entries(mine().labels);
  const confirmed = new Set(given.filter(([, [label]]) => label === "yes").map(([n]) => visitOf(clips[n])));
  confirmed.delete("");
  return clips.map((_, n) => n).filter((n) => (!site || site.selectedIndex < 1 || clips[n].site === site.value) && (isDone(n) || !confirmed.has(visitOf(clips[n]))));
};

const show = (n, plays) => {
  state.at = n;
  const clip = clips[n], length = clip.end - clip.begin;
  const percent = (s) => Math.min(100, Math.max(0, (100 * (s - clip.begin)) / length));
  by("name").textContent = clip.name;
  by("where").textContent = `${clip.site ? clip.site + " · " : ""}${clip.visit ? clip.visit + " · " : ""}from ${clock(clip.begin)} · clip ${queue().indexOf(n) + 1} of ${queue().length}${clip.speech}`;
  by("picture").src = clip.picture;
  by("play").setAttribute("aria-label", `Play. Spectrogram of the clip, ${length.toFixed(1)} s; marked from ${(clip.start - clip.begin).toFixed(1)} to ${(clip.stop - clip.begin).toFixed(1)} s`);
  by("before").style.width = percent(clip.start) + "%";
  by("after").style.width = 100 - percent(clip.stop) + "%";
  const mark = (from, to, kind) => {
    const made = make("i", { className: kind });
    made.style.left = percent(from) + "%";
    made.style.width = percent(to) - percent(from) + "%";
    return made;
  };
  by("bounds").replaceChildren(...clip.others.map(([from, to]) => mark(from, to, "other")), mark(clip.start, clip.stop, ""));
  by("seconds").replaceChildren();
  for (let s = Math.ceil(clip.begin); s < clip.end; s++) {
    if (s % 2 || percent(s) < 4 || percent(s) > 96) continue;
    const label = make("span", {}, clock(s));
    label.style.left = percent(s) + "%";
    by("seconds").append(label);
  }
  sound.src = clip.sound;
  note.value = notes()[n] ?? "";
  if (plays) play();
  refresh();
};
// Browsers play nothing before the first key or click: no error.
const play = () => { sound.currentTime = 0; sound.play().catch(() => {}); };
const follow = () => {
  const clip = clips[state.at];
  by("playhead").style.left = Math.min(100, (100 * sound.currentTime) / (clip.end - clip.begin)) + "%";
  if (!sound.paused) requestAnimationFrame(follow);
};
for (const event of ["play", "seeked", "loadeddata"]) sound.addEventListener(event, follow);

const words = ([label, birds]) => (birds ? `yes, ${birds} birds` : label);
const refresh = () => {
  const given = mine().labels[state.at], shown = queue(), done = shown.filter(isDone);
  for (const button of document.querySelectorAll("[data-answer], [data-birds]")) {
    const { answer, birds } = button.dataset;
    const pressed = !!given && (birds ? given[1] === Number(birds) : given[0] === answer && !(answer === "yes" && given[1]));
    button.setAttribute("aria-pressed", String(pressed));
  }
  by("progress").max = shown.length;
  by("progress").value = done.length;
  const count = (label) => done.filter((n) => mine().labels[n][0] === label).length;
  by("done").textContent = `${done.length} of ${shown.length} labelled: ${count("yes")} yes, ${count("no")} no, ${count("unsure")} unsure`;
  by("back").disabled = shown.indexOf(state.at) <= 0;
  by("next").disabled = shown.indexOf(state.at) >= shown.length - 1;
  by("undo").disabled = !mine().order.length;
  by("save").disabled = !Object.keys(mine().labels).length;
};
const say = (text) => { by("said").textContent = text; };

const answer = (label, birds = 0) => {
  const n = state.at, before = mine().labels[n] ?? null;
  mine().labels[n] = [label, birds, new Date().toISOString().replace(/\.\d+Z$/, "Z")];
  mine().order.push([n, before]);
  const shown = queue(), from = shown.indexOf(n);
  const open = [...shown.slice(from + 1), ...shown.slice(0, from)].find((other) => !isDone(other));
  say(open === undefined ? "All clips are labelled. Save labels.csv." : `Last answer: ${words(mine().labels[n])}.`);
  if (open === undefined) { sound.pause(); refresh(); } else show(open, true);
  keep();
};
const undo = () => {
  const last = mine().order.pop();
  if (!last) return;
  const [n, before] = last;
  if (before) mine().labels[n] = before;
  else delete mine().labels[n];
  say("Taken back.");
  show(n, true);
  keep();
};
const move = (by_) => {
  const shown = queue(), to = shown.indexOf(state.at) + by_;
  if (to >= 0 && to < shown.length) { say(""); show(shown[to], true); keep(); }
};

note.addEventListener("input", () => { notes()[state.at] = note.value.trim(); keep(); });
note.addEventListener("keydown", (event) => { if (event.key === "Enter") note.blur(); });
// Louder than the player can: what is faint in a clip that was made as loud as others.
let amplifier = null;
gain.addEventListener("input", () => {
  gain.setAttribute("aria-valuetext", `${gain.value} dB`);
  if (!amplifier) {
    const context = new AudioContext();
    amplifier = context.createGain();
    context.createMediaElementSource(sound).connect(amplifier).connect(context.destination);
  }
  amplifier.gain.value = 10 ** (gain.value / 20);
});
gain.addEventListener("change", () => gain.blur()); // keys answer again

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT|TEXTAREA|SUMMARY)$/.test(event.target.tagName)) return;
  const key = event.key.toLowerCase();
  const isButton = event.target.tagName === "BUTTON" || event.target.tagName === "AUDIO";
  if (key === "y" || key === "1") answer("yes");
  else if (key === "n" || key === "0") answer("no");
  else if (key === "u") answer("unsure");
  else if (/^[2-9]$/.test(key)) answer("yes", Number(key));
  else if (key === "z" || key === "backspace") undo();
  else if (key === " " && !isButton) play();
  else if (key === "arrowleft" && event.target.tagName !== "AUDIO") move(-1);
  else if (key === "arrowright" && event.target.tagName !== "AUDIO") move(1);
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-answer]")) button.addEventListener("click", () => answer(button.dataset.answer));
for (const button of document.querySelectorAll("[data-birds]")) button.addEventListener("click", () => answer("yes", Number(button.dataset.birds)));
by("undo").addEventListener("click", undo);
by("again").addEventListener("click", play);
by("back").addEventListener("click", () => move(-1));
by("next").addEventListener("click", () => move(1));
by("play").addEventListener("click", (event) => {
  const box = by("play").getBoundingClientRect();
  sound.currentTime = event.detail ? ((event.clientX - box.left) / box.width) * sound.duration || 0 : 0;
  sound.play().catch(() => {});
});

// labels.csv: the cells that were drawn, with the answers. A name that a spreadsheet would take for
// a formula gets an apostrophe, as in all our tables.
const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const guarded = (text) => (/^'*[=+\-@\t\r\n]/.test(text) ? "'" + text : text);
const at = Object.fromEntries(data.columns.map((name, n) => [name, n]));
const table = () => {
  const lines = [data.columns];
  for (const [n, clip] of clips.entries()) {
    const given = mine().labels[n];
    if (!given) continue;
    const cells = [...clip.cells];
    cells[at.label] = given[0];
    cells[at.n_birds] = given[1] ? String(given[1]) : "";
    cells[at.observer] = guarded(state.observer);
    cells[at.labelled_at] = given[2];
    cells[at.note] = guarded(notes()[n] ?? "");
    lines.push(cells);
  }
  return lines.map((cells) => cells.map(quote).join(",") + "\n").join("");
};
const fileName = () => `labels${state.observer ? "-" + state.observer.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-") : ""}.csv`;
by("save").addEventListener("click", () => {
  const link = make("a", { href: URL.createObjectURL(new Blob([table()], { type: "text/csv" })), download: fileName() });
  link.click();
  URL.revokeObjectURL(link.href);
  by("saved").textContent = `${fileName()}: saved ${Object.keys(mine().labels).length} labels.`;
});
let writing = Promise.resolve();
const writeInto = (handle) => {
  writing = writing.then(async () => {
    const stream = await handle.createWritable();
    await stream.write(table());
    await stream.close();
    by("saved").textContent = `${handle.name} has all ${Object.keys(mine().labels).length} labels.`;
  }).catch((error) => { by("saved").textContent = `${handle.name} could not be written: ${error.message}`; });
};
if (window.showSaveFilePicker) {
  by("in-place").hidden = false;
  by("in-place").addEventListener("click", async () => {
    try { file = await window.showSaveFilePicker({ suggestedName: fileName() }); }
    catch (error) {
      if (error.name !== "AbortError") by("saved").textContent = `No file could be chosen: ${error.message}`;
      return;
    }
    writeInto(file);
  });
}

// Another observer's table: how far both agree, beyond chance (Cohen's kappa).
const parse = (text) => {
  const rows = [[""]];
  let quoted = false;
  for (let n = 0; n < text.length; n++) {
    const c = text[n], row = rows.at(-1);
    if (quoted && c === '"' && text[n + 1] === '"') { row[row.length - 1] += c; n++; }
    else if (c === '"') quoted = !quoted;
    else if (c === "," && !quoted) row.push("");
    else if (c === "\n" && !quoted) rows.push([""]);
    else if (c !== "\r" || quoted) row[row.length - 1] += c;
  }
  return rows.filter((row) => row.length > 1);
};
const agreement = (text) => {
  const [head, ...rows] = parse(text.replace(/^\ufeff/, ""));
  const column = (name) => head?.indexOf(name) ?? -1;
  const key = (cells, index) => [cells[index("recording")], cells[index("start_s")], cells[index("stratum")]].join("\n");
  if (column("label") < 0 || column("stratum") < 0) return "This is no labels.csv of a review.";
  const theirs = new Map(rows.map((row) => [key(row, column), row[column("label")]]));
  const pairs = [];
  for (const [n, clip] of clips.entries()) {
    const other = theirs.get(key(clip.cells, (name) => at[name]));
    if (mine().labels[n] && other) pairs.push([mine().labels[n][0], other]);
  }
  if (!pairs.length) return "No clip has a label of both of you.";
  const same = pairs.filter(([a, b]) => a === b).length / pairs.length;
  const share = (who, label) => pairs.filter((pair) => pair[who] === label).length / pairs.length;
  const chance = ["yes", "no", "unsure"].reduce((sum, label) => sum + share(0, label) * share(1, label), 0);
  const kappa = chance < 1 ? `Cohen's kappa ${((same - chance) / (1 - chance)).toFixed(2)}` : "Cohen's kappa is not defined, as you both gave one and the same answer throughout";
  return `You agree on ${(100 * same).toFixed(0)} % of ${pairs.length} clips: ${kappa}.`;
};
by("other").addEventListener("change", async ({ target }) => {
  if (target.files[0]) by("agreement").textContent = agreement(await target.files[0].text());
});

observer.value = state.observer;
observer.addEventListener("change", () => {
  const name = observer.value.trim();
  // Answers given before a name are whoever's gives it first.
  if (!state.observer && !state.of[name]) { state.of[name] = mine(); state.of[""] = empty(); }
  state.observer = name;
  say(name ? `Labels are now ${name}'s.` : "");
  show(queue().find((n) => !isDone(n)) ?? state.at, false);
  keep();
});
if (site) {
  const choose = () => show(queue().find((n) => !isDone(n)) ?? queue()[0], false);
  site.addEventListener("change", choose);
  const wanted = new URLSearchParams(location.hash.slice(1)).get("site");
  if (wanted !== null) {
    const option = [...site.options].find((o) => o.dataset.name === wanted);
    if (option) site.selectedIndex = option.index;
  }
}
if (clips.length) show(queue().includes(state.at) && !isDone(state.at) ? state.at : queue().find((n) => !isDone(n)) ?? queue()[0], true);
