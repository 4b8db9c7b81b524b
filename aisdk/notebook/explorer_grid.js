// The rows of a live view as a grid for mouse and keyboard, of which only those in view are drawn.

/** The width of a column in em: its name can be read, with the arrow of its order behind it. */
function width({ name, kind }) {
  return Math.max(WIDTHS[kind] ?? (name === "text" ? 24 : 9), 0.65 * name.length + 2.5);
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
    this.node = make("div", { class: "grid", role: "grid", tabindex: -1,
      "aria-label": about.title, "aria-multiselectable": "true", "aria-colcount": about.columns.length + 1 });
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
    this.focused ||= hasFocus(this.body);
    this.blocks = new Map();
    this.total = 0; // rows that there are
    this.reach = 0; // rows that can be scrolled to
    this.focus = 0;
    this.anchor = 0;
    this.node.scrollTop = 0;
    for (const line of this.drawn.values()) line.remove();
    this.drawn.clear();
  }

  take(start, answer) {
    this.blocks.delete(start);
    this.blocks.set(start, answer.rows);
    this.total = answer.total;
    this.reach = Math.min(this.total, MOST_ROWS);
    this.node.setAttribute("aria-rowcount", this.total + 1);
    this.body.style.height = `${this.reach * ROW}px`;
    this.tall = Math.max(this.tall, Math.min(TALLEST, (this.reach + 2) * ROW));
    this.node.style.height = `${this.tall}px`;
    this.focus = Math.max(0, Math.min(this.focus, this.reach - 1));
    this.thin();
    this.draw();
    if (this.focused) (this.drawn.get(this.focus) ?? this.node).focus({ preventScroll: true });
    this.focused = false;
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
    return [first, Math.min(first + shown, this.reach)];
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
    const [from, to] = [Math.max(0, first - MARGIN), Math.min(this.reach, last + MARGIN)];
    for (const [index, line] of this.drawn) {
      if ((index < from || index >= to) && !hasFocus(line)) {
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
      if (!line) this.body.insertBefore(fresh, this.after(index));
      this.drawn.set(index, (line = fresh));
    }
    line.setAttribute("aria-selected", values ? this.picking.has(values[0]) : false);
  }

  /** The first row drawn that stands below a place: readers of the page go from row to row. */
  after(index) {
    return [...this.body.children].find((line) => line.index > index) ?? null;
  }

  cells(values) {
    const tick = make("span", { role: "gridcell", class: "tick" });
    return [tick, ...this.about.columns.map(({ place, kind }) =>
      make("span", { role: "gridcell", class: kind }, ...nodes(values ? values[place + 1] : "…")))];
  }

  moveTo(index) {
    if (!this.reach) {
      this.node.focus({ preventScroll: true });
      return;
    }
    this.focus = Math.max(0, Math.min(index, this.reach - 1));
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
      Home: -this.reach, End: this.reach,
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
    else if (index < this.reach) this.pickRange(index, index);
  }

  pickRange(one, other) {
    this.anchor = other;
    this.handlers.pickRange(one, other);
  }
}
