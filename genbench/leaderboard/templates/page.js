// Without this script everything is visible. With it a column's head sorts, families filter in all boards at once, and a value
// shows its seeds when pointed at, tapped or focused.
const all = (query, root = document) => [...root.querySelectorAll(query)];
const hidden = ".out, tr.other:not(.open)";
document.documentElement.classList.add("js");

// --- sorting: best first, the other way round, as it was; the noise floor has a body of its own and stays below
const opposite = { ascending: "descending", descending: "ascending" };
for (const table of all("table")) {
  const body = table.tBodies[0], original = [...body.rows], heads = all("thead th", table);
  const sort = (head) => {
    const first = head.firstElementChild.dataset.first ?? "ascending", now = head.getAttribute("aria-sort");
    const next = now === null ? first : now === first ? opposite[first] : null;
    for (const other of heads) other.removeAttribute("aria-sort");
    if (next) head.setAttribute("aria-sort", next);
    const key = (row) => row.cells[head.cellIndex].dataset.sort;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return next === "ascending" ? order : -order;
    };
    body.append(...(next ? [...original].sort(compare) : original));
    oneStop(table, true);
  };
  for (const head of heads) head.firstElementChild.addEventListener("click", () => sort(head));
}

// --- filter
const form = document.querySelector(".filter"), boxes = all("input", form);
function filter() {
  const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  for (const part of all("[data-family]")) part.classList.toggle("out", !wanted.has(part.dataset.family));
  const rows = all("table.big tbody:not(.floor) tr"), shown = rows.filter((row) => !row.classList.contains("out"));
  form.querySelector("output").textContent = `${shown.length} of ${rows.length} rows`;
  hide();
  all("table").forEach(oneStop);
}
form.addEventListener("change", filter);
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of all("button[data-all]", form)) button.addEventListener("click", () => {
  for (const box of boxes) box.checked = Boolean(button.dataset.all);
  filter();
});

// --- long boards: the row that stands for a family is shown, its others on demand
function unfold(button, open) {
  button.setAttribute("aria-expanded", open);
  const table = button.closest("table"), others = all(`tr.other[data-family="${CSS.escape(button.dataset.more)}"]`, table);
  for (const row of others) row.classList.toggle("open", open);
  oneStop(table);
}
const folds = all("button.more"), every = form.querySelector(".every");
for (const button of folds) button.addEventListener("click", () => unfold(button, button.getAttribute("aria-expanded") === "false"));
every.hidden = !folds.length;
every.addEventListener("click", () => {
  const open = every.getAttribute("aria-pressed") === "false";
  every.setAttribute("aria-pressed", open);
  for (const button of folds) unfold(button, open);
});

// --- values of the seeds
const tip = document.getElementById("tip");
let cell = null;
function show(next) {
  if (next === cell) return;
  hide();
  cell = next;
  tip.textContent = cell.querySelector("small").textContent.split(SEPARATOR).join("\n");
  tip.hidden = false;
  cell.setAttribute("aria-describedby", "tip");
  place();
}
function hide() {
  cell?.removeAttribute("aria-describedby");
  cell = null;
  tip.hidden = true;
}
function place() {
  if (!cell) return;
  const box = cell.getBoundingClientRect(), page = document.documentElement;
  const below = box.bottom + tip.offsetHeight <= page.clientHeight;
  tip.style.left = `${Math.max(4, Math.min(box.left, page.clientWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${below ? box.bottom : box.top - tip.offsetHeight}px`;
}
const focused = () => document.activeElement.closest("td.many");
// a move, not what comes to lie below a still pointer after Escape or while scrolling; a finger focuses
document.addEventListener("pointermove", (event) => {
  if (event.pointerType === "touch") return;
  const over = event.target.closest("td.many") ?? (event.target.closest("#tip") ? cell : focused());
  if (over) show(over);
  else hide();
});
document.addEventListener("focusin", (event) => {
  const over = event.target.closest("td.many");
  if (!over) return hide();
  all("td.many[tabindex='0']", over.closest("table")).forEach((other) => (other.tabIndex = -1));
  over.tabIndex = 0;
  show(over);
});
document.addEventListener("focusout", hide);
document.addEventListener("scroll", place, true);

// what is scrolled to does not end up below the bar of families, where that stays in place
function clear() {
  const stays = getComputedStyle(form).position === "sticky";
  document.documentElement.style.scrollPaddingTop = stays ? `${form.offsetHeight + 8}px` : "";
}
addEventListener("resize", () => (place(), clear()));

// --- one stop of the Tab key per table; the arrow keys move from there
function oneStop(table, afresh = false) {
  const cells = all("td.many", table), shown = cells.filter((one) => !one.closest(hidden));
  const stop = (!afresh && shown.find((one) => one.tabIndex === 0)) || shown[0];
  for (const one of cells) one.tabIndex = one === stop ? 0 : -1;
}
const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hide();
  const from = event.target.closest("td.many"), step = steps[event.key];
  if (!from || !step || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const rows = all("tbody tr", from.closest("table")).filter((one) => !one.matches(hidden));
  let row = rows.indexOf(from.parentElement), column = from.cellIndex, next;
  do next = rows[(row += step[0])]?.cells[(column += step[1])]; while (next && !next.classList.contains("many"));
  next?.focus();
});

// --- the seed of the sample grids, one choice per board
for (const choice of all("fieldset.seeds")) choice.addEventListener("change", (event) => {
  const seed = event.target.value;
  for (const figure of all("figure", choice.nextElementSibling)) {
    const link = figure.querySelector(`a[data-seed="${seed}"]`), image = figure.querySelector("img");
    figure.classList.toggle("absent", !link);
    if (!link) continue;
    image.src = link.getAttribute("href");
    image.alt = image.alt.replace(/\d+$/, seed);
  }
});

// --- commands
const select = (node) => getSelection().selectAllChildren(node);
for (const button of all("button.copy")) button.addEventListener("click", async () => {
  const text = button.previousElementSibling;
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    select(text);
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
});
function reveal() {
  const target = location.hash && document.getElementById(location.hash.slice(1)), fold = target && target.closest("details");
  if (!fold) return;
  fold.open = true;
  target.scrollIntoView();
  target.focus({ preventScroll: true });
}
addEventListener("hashchange", reveal);
document.addEventListener("click", (event) => event.target.closest("a[href^='#']") && setTimeout(reveal));
let folded = [];
addEventListener("beforeprint", () => (folded = all("details:not([open])")).forEach((fold) => (fold.open = true)));
addEventListener("afterprint", () => folded.forEach((fold) => (fold.open = false)));

filter();
clear();
reveal();
