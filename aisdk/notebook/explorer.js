// The browser side of a live view: a grid of rows that the kernel sends in blocks, their details,
// and a picture of stages. Text from records is only ever set as the content of text nodes.

const BLOCK_ROWS = 200;
const KEPT_BLOCKS = 8;
const ROW = 28; // pixels, as in the style sheet
const TALLEST = 392; // pixels of the grid, some thirteen rows
const MARGIN = 6; // rows drawn above and below those in view
const MOST_ROWS = 500_000; // what fits in the height of an element in every browser
const MOST_PICKED = 1_000;
const WIDTHS = { int: 4, float: 6, bool: 5, time: 14, bytes: 7 }; // em; other columns stretch
const OPERATORS = { "=": "is", "!=": "is not", "<": "<", "<=": "≤", ">": ">", ">=": "≥",
  contains: "contains" };

let views = 0;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** The nodes of a cell: a text; or, where words matched, pieces, of which every second is marked. */
function nodes(cell) {
  if (typeof cell === "string") return [cell];
  return cell.map((piece, place) => (place % 2 ? make("mark", {}, piece) : piece));
}

function debounced(work, milliseconds) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
}

function counted(count, what) {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** The width of a column in em: its name can be read, with the arrow of its order behind it. */
function width({ name, kind }) {
  return Math.max(WIDTHS[kind] ?? (name === "text" ? 24 : 9), 0.65 * name.length + 2.5);
}

/** Asks the kernel, and hands each answer to who asked. */
class Kernel {
  constructor(model) {
    this.model = model;
    this.view = views++;
    this.asked = 0;
    this.waiting = new Map();
    this.listen = (answer) => {
      const settle = this.waiting.get(answer?.id);
      this.waiting.delete(answer?.id);
      settle?.(answer);
    };
    model.on("msg:custom", this.listen);
  }

  async ask(question) {
    const id = `${this.view}.${this.asked++}`;
    const answered = new Promise((settle) => this.waiting.set(id, settle));
    this.model.send({ id, ...question });
    const answer = await answered;
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  close() {
    this.model.off("msg:custom", this.listen);
    this.waiting.clear();
  }
}

/** The search field, the filter, and what is told about the rows. */
class Bar {
  constructor(about, change, refresh, clear) {
    this.node = make("div", { class: "bar", role: "group", "aria-label": "Search and filter" });
    this.status = make("span", { class: "status", role: "status" });
    this.search = make("input", { type: "search", placeholder: "Search in these rows",
      "aria-label": "Search in these rows", maxlength: 1_000 });
    if (about.searches) this.node.append(this.search);
    this.filter(about.keys);
    const button = make("button", { type: "button" }, "Refresh");
    button.addEventListener("click", refresh);
    this.clear = make("button", { type: "button" }, "Select none");
    this.clear.addEventListener("click", clear);
    this.node.append(button, this.clear, this.status);
    this.node.addEventListener("input", debounced(change, 250));
  }

  filter(keys) {
    this.key = make("select", { "aria-label": "Filter by metadata" });
    this.key.append(make("option", { value: "" }, "all metadata"));
    for (const key of keys) this.key.append(make("option", { value: key }, key));
    this.operator = make("select", { "aria-label": "Comparison" });
    for (const [value, name] of Object.entries(OPERATORS))
      this.operator.append(make("option", { value }, name));
    this.value = make("input", { "aria-label": "Value to compare with", placeholder: "value",
      maxlength: 1_000, class: "value" });
    if (keys.length) this.node.append(this.key, this.operator, this.value);
  }

  read() {
    const filters = this.key.value && this.value.value !== "";
    return {
      search: this.search.value,
      key: filters ? this.key.value : "",
      operator: this.operator.value,
      value: filters ? this.value.value : "",
    };
  }
}

/** A row's values, and its chunk marked inside its document. */
class Details {
  constructor(close) {
    this.node = make("section", { class: "details", "aria-label": "Details", tabindex: -1 });
    this.node.hidden = true;
    this.close = close;
    this.node.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
  }

  fill(...children) {
    const button = make("button", { type: "button" }, "Close");
    button.addEventListener("click", () => this.close());
    this.node.replaceChildren(button, ...children);
    this.node.hidden = false;
  }

  show(answer) {
    const list = make("dl");
    for (const [name, text] of answer.fields)
      list.append(make("dt", {}, name), make("dd", {}, ...nodes(text)));
    const mark = make("mark", { class: "chunk" }, ...nodes(answer.chunk));
    const text = make("div", { class: "document", tabindex: 0, role: "group",
      "aria-label": "Text of the document" }, answer.before, mark, answer.after);
    const note = make("p", { class: "note" }, answer.note);
    text.hidden = !text.textContent;
    note.hidden = !answer.note;
    const values = make("div", { class: "values", tabindex: 0, role: "group",
      "aria-label": "Values of the row" }, list);
    this.fill(text, note, values);
    text.scrollTop = mark.offsetTop - text.clientHeight / 4;
    this.node.focus({ preventScroll: true });
  }
}

/** The rows: drawn where they are in view, asked for where they are not at hand. */
class Grid {
  constructor(about, picking, handlers) {
    this.about = about;
    this.picking = picking;
    this.handlers = handlers;
    this.sort = { sort: "", descending: false };
    this.focus = 0;
    this.tall = 4 * ROW;
    this.drawn = new Map();
    this.node = make("div", { class: "grid", role: "grid", "aria-label": about.title,
      "aria-multiselectable": "true", "aria-colcount": about.columns.length + 1 });
    const widths = about.columns.map(width);
    this.widths = ["2em", ...about.columns.map(({ name, kind }, place) => kind in WIDTHS
      ? `${widths[place]}em` : `minmax(${widths[place]}em, ${name === "text" ? 4 : 1}fr)`)].join(" ");
    this.width = `max(100%, ${widths.reduce((sum, one) => sum + one, 2)}em)`;
    this.head = this.makeHead();
    this.body = make("div", { class: "body", role: "rowgroup" });
    this.head.style.width = this.body.style.width = this.width;
    this.node.append(this.head, this.body);
    this.node.addEventListener("scroll", () => this.draw());
    this.node.addEventListener("keydown", (event) => this.press(event));
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault());
    this.reset();
  }

  makeHead() {
    const line = make("div", { class: "row", role: "row", "aria-rowindex": 1 });
    line.style.gridTemplateColumns = this.widths;
    line.append(make("span", { role: "columnheader", "aria-label": "Selected" }, "✓"));
    for (const { name, kind, sorts } of this.about.columns) {
      const cell = make("span", { role: "columnheader", class: kind });
      if (sorts) {
        const button = make("button", { type: "button", tabindex: 0 }, name);
        button.addEventListener("click", () => this.sortBy(name));
        cell.append(button);
      } else {
        cell.append(name);
      }
      line.append(cell);
    }
    return make("div", { class: "head", role: "rowgroup" }, line);
  }

  sortBy(name) {
    const again = this.sort.sort === name;
    if (again && this.sort.descending) this.sort = { sort: "", descending: false };
    else this.sort = { sort: name, descending: again };
    this.about.columns.forEach((column, place) => {
      const cell = this.head.firstChild.children[place + 1];
      if (column.name !== this.sort.sort) cell.removeAttribute("aria-sort");
      else cell.setAttribute("aria-sort", this.sort.descending ? "descending" : "ascending");
    });
    this.handlers.change();
  }

  /** Forgets the rows: those of another view come. */
  reset() {
    this.blocks = new Map();
    this.total = 0;
    this.focus = 0;
    this.anchor = 0;
    this.node.scrollTop = 0;
    for (const line of this.drawn.values()) line.remove();
    this.drawn.clear();
  }

  take(start, answer) {
    this.blocks.delete(start);
    this.blocks.set(start, answer.rows);
    this.total = Math.min(answer.total, MOST_ROWS);
    this.node.setAttribute("aria-rowcount", this.total + 1);
    this.body.style.height = `${this.total * ROW}px`;
    this.tall = Math.max(this.tall, Math.min(TALLEST, (this.total + 2) * ROW));
    this.node.style.height = `${this.tall}px`;
    this.focus = Math.max(0, Math.min(this.focus, this.total - 1));
    this.thin();
    this.draw();
  }

  /** Lets the blocks go that were not looked at for longest. */
  thin() {
    for (const start of this.blocks.keys()) {
      if (this.blocks.size <= KEPT_BLOCKS) return;
      this.blocks.delete(start);
    }
  }

  row(index) {
    return this.blocks.get(index - (index % BLOCK_ROWS))?.[index % BLOCK_ROWS];
  }

  range() {
    const first = Math.floor(this.node.scrollTop / ROW);
    const shown = Math.ceil(this.node.clientHeight / ROW);
    return [first, Math.min(first + shown, this.total)];
  }

  /** Where the first block begins that is in view and not at hand, or null. */
  missing() {
    const [first, last] = this.range();
    for (let start = first - (first % BLOCK_ROWS); start < last; start += BLOCK_ROWS)
      if (!this.blocks.has(start)) return start;
    return null;
  }

  draw() {
    const [first, last] = this.range();
    const [from, to] = [Math.max(0, first - MARGIN), Math.min(this.total, last + MARGIN)];
    for (const [index, line] of this.drawn) {
      const held = line.contains(line.getRootNode().activeElement);
      if ((index < from || index >= to) && !held) {
        line.remove();
        this.drawn.delete(index);
      }
    }
    for (let index = from; index < to; index++) this.drawRow(index);
    const entry = this.drawn.has(this.focus) ? this.focus : first;
    for (const [index, line] of this.drawn) line.tabIndex = index === entry ? 0 : -1;
    for (let start = from - (from % BLOCK_ROWS); start < to; start += BLOCK_ROWS) {
      const rows = this.blocks.get(start);
      if (rows && this.blocks.delete(start)) this.blocks.set(start, rows);
    }
    this.handlers.seen();
  }

  drawRow(index) {
    const values = this.row(index);
    let line = this.drawn.get(index);
    if (!line || line.values !== values) {
      const fresh = line ?? make("div", { class: "row", role: "row", "aria-rowindex": index + 2 });
      fresh.values = values;
      fresh.index = index;
      fresh.style.gridTemplateColumns = this.widths;
      fresh.style.top = `${index * ROW}px`;
      fresh.replaceChildren(...this.cells(values));
      if (!line) this.body.append(fresh);
      this.drawn.set(index, (line = fresh));
    }
    line.setAttribute("aria-selected", values ? this.picking.has(values[0]) : false);
  }

  cells(values) {
    const tick = make("span", { role: "gridcell", class: "tick" });
    return [tick, ...this.about.columns.map(({ place, kind }) =>
      make("span", { role: "gridcell", class: kind }, ...nodes(values ? values[place + 1] : "…")))];
  }

  moveTo(index) {
    if (!this.total) return;
    this.focus = Math.max(0, Math.min(index, this.total - 1));
    const top = this.focus * ROW;
    const room = this.node.clientHeight - this.head.offsetHeight - ROW;
    this.node.scrollTop = Math.max(Math.min(this.node.scrollTop, top), top - room);
    this.draw();
    this.drawn.get(this.focus)?.focus({ preventScroll: true });
  }

  press(event) {
    const page = Math.max(1, Math.floor(this.node.clientHeight / ROW) - 2);
    const inHead = this.head.contains(event.target);
    const moves = {
      ArrowDown: inHead ? 0 : 1, ArrowUp: -1, PageDown: page, PageUp: -page,
      Home: -this.total, End: this.total,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      const before = this.focus;
      this.moveTo(this.focus + moves[event.key]);
      if (event.shiftKey) this.pickRange(before, this.focus);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      this.node.scrollLeft += event.key === "ArrowRight" ? 80 : -80;
    } else if (event.key === "Enter" && !inHead) {
      this.open(this.focus);
    } else if (event.key === " " && !inHead) {
      this.pick(this.focus);
    } else if (event.key === "Escape") {
      this.handlers.close();
    } else {
      return;
    }
    event.preventDefault();
  }

  click(event) {
    const line = event.target.closest("[role=row]");
    if (!line) return;
    const before = this.anchor;
    this.moveTo(line.index);
    if (event.shiftKey) this.pickRange(before, line.index);
    else if (event.target.closest(".tick")) this.pick(line.index);
    else this.open(line.index);
  }

  open(index) {
    const values = this.row(index);
    if (values) this.handlers.open(values[0]);
  }

  pick(index) {
    this.anchor = index;
    const values = this.row(index);
    if (values) this.picking.toggle(values[0]);
  }

  /** Selects the rows between two places that are at hand. */
  pickRange(one, other) {
    const found = [];
    for (let index = Math.min(one, other); index <= Math.max(one, other); index++)
      if (this.row(index)) found.push(this.row(index)[0]);
    this.anchor = other;
    this.picking.add(found);
  }
}

/** The keys of the selected rows, shared with the kernel and with other views of the same rows. */
class Picking {
  constructor(model) {
    this.model = model;
  }

  get keys() {
    return this.model.get("picked");
  }

  has(key) {
    return this.keys.includes(key);
  }

  toggle(key) {
    if (this.has(key)) this.set(this.keys.filter((other) => other !== key));
    else this.add([key]);
  }

  add(keys) {
    this.set([...new Set([...this.keys, ...keys])].slice(0, MOST_PICKED));
  }

  set(keys) {
    this.model.set("picked", keys);
    this.model.save_changes();
  }
}

/** Brings bar, grid and details together. */
class Rows {
  constructor(model) {
    this.model = model;
    this.about = model.get("about");
    this.kernel = new Kernel(model);
    this.picking = new Picking(model);
    this.problem = "";
    this.bar = new Bar(this.about, () => this.change(), () => this.change(true),
      () => this.picking.set([]));
    this.details = new Details(() => this.close());
    const look = debounced(() => this.look(), 60);
    this.grid = new Grid(this.about, this.picking, {
      change: () => this.change(), close: () => this.close(), seen: look,
      open: (key) => this.open(key),
    });
    this.repaint = () => {
      this.grid.draw();
      this.tell();
    };
    model.on("change:picked", this.repaint);
    const both = make("div", { class: "both" }, this.grid.node, this.details.node);
    this.node = make("div", { class: "rows" }, this.bar.node, both);
    if (this.about.first.rows) this.grid.take(0, this.about.first);
    this.change();
  }

  /** Shows another view of the rows, or the same with what is there now. */
  change(fresh = false) {
    this.asking = Symbol("a question whose answer is still wanted");
    this.view = { ...this.grid.sort, ...this.bar.read() };
    this.problem = "";
    this.load(0, this.asking, fresh);
  }

  /** Asks for a block; while it is on its way, no other is asked for. */
  async load(start, asking, fresh = false) {
    this.loading = asking;
    const late = setTimeout(() => this.tell("Waiting for the kernel…"), 2_000);
    try {
      let answer = { again: true };
      for (let first = fresh; answer.again && asking === this.asking; first = false)
        answer = await this.kernel.ask({ do: "rows", view: this.view, start, fresh: first });
      if (asking !== this.asking) return;
      if (start === 0 && this.shown !== asking) this.grid.reset();
      this.shown = asking;
      this.grid.take(start, answer);
    } catch (error) {
      if (asking === this.asking) this.problem = error.message;
    } finally {
      clearTimeout(late);
      if (this.loading === asking) this.loading = null;
    }
    this.tell();
    this.look();
  }

  /** Asks for what is in view and not at hand, unless something went wrong. */
  look() {
    const start = this.grid.missing();
    if (start !== null && !this.loading && !this.problem) this.load(start, this.asking);
  }

  async open(key) {
    this.details.fill("Reading the document…");
    try {
      this.details.show(await this.kernel.ask({ do: "open", key }));
    } catch (error) {
      this.details.fill(make("p", { class: "note", role: "alert" }, error.message));
    }
  }

  close() {
    if (this.details.node.hidden) return;
    this.details.node.hidden = true;
    this.details.node.replaceChildren();
    this.grid.moveTo(this.grid.focus);
  }

  tell(note = this.problem) {
    const picked = this.picking.keys.length;
    const facts = [counted(this.grid.total, "row")];
    this.bar.clear.disabled = !picked;
    if (picked) facts.push(`${picked.toLocaleString("en")} selected`);
    if (note) facts.push(note);
    this.bar.status.textContent = facts.join(" · ");
    this.bar.status.classList.toggle("problem", Boolean(this.problem));
  }

  remove() {
    this.kernel.close();
    this.model.off("change:picked", this.repaint);
    this.asking = null;
  }
}

/** How a query found its hits: a bar for the time of each stage, and one for what was left. */
function picture(about) {
  const most = (name) => Math.max(...about.stages.map((stage) => stage[name] ?? 0)) || 1;
  const [time, count] = [most("milliseconds"), most("candidates")];
  const bar = (kind, share, text) => {
    const filled = make("span", { class: `fill ${kind}` });
    filled.style.width = `${Math.max(1, 100 * share)}%`;
    return make("span", { class: "gauge" }, make("span", { class: "track" }, filled), text);
  };
  const list = make("ol", { class: "stages", "aria-label": "Stages of the query" });
  for (const { stage, milliseconds, candidates, detail } of about.stages) {
    const line = make("li", {}, make("strong", {}, stage),
      bar("time", milliseconds / time, `${milliseconds.toFixed(1)} ms`));
    if (candidates === null) line.append(make("span", { class: "gauge" }));
    else line.append(bar("count", candidates / count, counted(candidates, "candidate")));
    line.append(make("span", { class: "detail" }, detail));
    list.append(line);
  }
  return list;
}

function render({ model, el }) {
  const about = model.get("about");
  const root = make("div", { class: `aisdk-explorer ${about.mark} tex2jax_ignore mathjax_ignore` });
  root.addEventListener("keydown", (event) => {
    // Plain keys are ours: to the notebook around, they would be commands such as deleting a cell.
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
  el.append(root);
  if (about.stages) {
    root.append(picture(about));
    return undefined;
  }
  const rows = new Rows(model);
  root.append(rows.node);
  const resized = new ResizeObserver(() => rows.grid.draw());
  resized.observe(rows.grid.node);
  return () => {
    resized.disconnect();
    rows.remove();
  };
}

export default { render };
