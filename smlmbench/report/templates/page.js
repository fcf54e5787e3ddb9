
"use strict";
const made = (name, text = "", facts = {}) => Object.assign(document.createElement(name), { textContent: text }, facts);

function labelled(text, control, look = "") {
  const label = made("label", text, { className: look });
  label.append(control);
  return label;
}

function chooser(first, choices) {
  const select = made("select");
  select.append(...[[first, ""], ...choices].map(([text, value]) => made("option", text, { value })));
  return select;
}

function sortBy(table, heads, place, up) {
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  heads[place].setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => row.cells[place].dataset.sort ?? row.cells[place].textContent.trim();
  const empty = (text) => text === "" || text === "–" || text === "n/a";
  const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]).sort(([x], [y]) => {
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const [p, q] = [Number(x), Number(y)];
    const order = Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
    return up ? order : -order;
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

/* What a cell is chosen by: its first line. */
const named = (cell) => (cell.firstChild?.textContent ?? "").trim();

/* Boxes that hide columns; a heading above several shrinks with them. */
function columnsOf(table, heads, rows) {
  const above = table.tHead.rows.length > 1 ? [...table.tHead.rows[0].cells].map((cell) => [cell, cell.colSpan]) : [];
  const show = (place, shown) => {
    for (const cell of [heads[place], ...rows.map((row) => row.cells[place])]) cell.hidden = !shown;
    let start = 0;
    for (const [cell, width] of above) {
      const left = heads.slice(start, start + width).filter((head) => !head.hidden).length;
      cell.hidden = left === 0;
      cell.colSpan = Math.max(left, 1);
      start += width;
    }
  };
  const menu = made("div");
  heads.forEach((head, place) => {
    const box = made("input", "", { type: "checkbox", checked: true });
    box.addEventListener("change", () => show(place, box.checked));
    const label = made("label");
    label.append(box, made("span", rows[0].cells[place].dataset.label));
    menu.append(label);
  });
  const details = made("details");
  details.append(made("summary", "Columns"), menu);
  return details;
}

function tools(table, heads, rows) {
  const search = made("input", "", { type: "search" });
  const said = made("output");
  const chosen = [];
  heads.forEach((head, place) => {
    const values = [...new Set(rows.map((row) => named(row.cells[place])))].filter((text) => text);
    if (head.dataset.choose === undefined || values.length < 2) return;
    values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    chosen.push([head.dataset.choose, chooser("all", values.map((text) => [text, text])), place]);
  });
  const order = chooser("as it is", heads.map((head, place) => [rows[0].cells[place].dataset.label, `${place}`]));
  order.addEventListener("change", () => order.value && sortBy(table, heads, Number(order.value), true));
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/);
    let left = 0;
    rows.forEach((row, k) => {
      const kept = words.every((word) => texts[k].includes(word)) &&
        chosen.every(([, select, place]) => select.value === "" || select.value === named(row.cells[place]));
      row.hidden = !kept;
      left += kept;
    });
    said.textContent = left === rows.length ? `${left} rows` : `${left} of ${rows.length} rows`;
  };
  search.addEventListener("input", apply);
  chosen.forEach(([, select]) => select.addEventListener("change", apply));
  apply();
  const box = made("div", "", { className: "tools" });
  box.append(labelled("Filter", search), ...chosen.map(([title, select]) => labelled(title, select)));
  box.append(labelled("Sort by", order, "narrow"), columnsOf(table, heads, rows), said);
  table.closest(".scroll").before(box);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const rows = [...table.tBodies[0].rows];
  if (heads.some((head) => head.dataset.choose !== undefined) && rows.length > 1) tools(table, heads, rows);
  heads.forEach((head, place) => {
    const button = made("button", head.textContent, { type: "button" });
    head.replaceChildren(button);
    button.addEventListener("click", () => sortBy(table, heads, place, head.getAttribute("aria-sort") !== "ascending"));
  });
}

/* A link to something folded unfolds it. */
function unfold() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let at = place; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  place?.scrollIntoView();
}
addEventListener("hashchange", unfold);
if (location.hash) unfold();

/* What scrolls sideways can be scrolled by keyboard. */
for (const box of document.querySelectorAll(".pan")) if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
