// What stands around the rows of a live view: the bar, the details, and the picture of stages.

/** The search field, the filter, and what is told about the rows. */
class Bar {
  constructor(about, change, refresh, clear) {
    this.node = make("div", { class: "bar", role: "group", "aria-label": "Search and filter" });
    this.status = make("span", { class: "status", role: "status" });
    this.search = make("input", { type: "search", placeholder: "Search in these rows",
      "aria-label": "Search in these rows", maxlength: 1_000 });
    if (about.searches) this.node.append(this.search);
    this.filter();
    this.offer(about);
    const button = make("button", { type: "button" }, "Refresh");
    button.addEventListener("click", refresh);
    if (about.refreshes) this.node.append(button);
    this.clear = make("button", { type: "button" }, "Select none");
    this.clear.addEventListener("click", clear);
    this.node.append(this.clear, this.status);
    this.node.addEventListener("input", debounced(change, 250));
  }

  filter() {
    this.key = make("select", { "aria-label": "Filter by metadata" });
    this.more = make("option", { disabled: "" });
    this.key.append(make("option", { value: "" }, "all metadata"));
    this.operator = make("select", { "aria-label": "Comparison" });
    for (const [value, name] of Object.entries(OPERATORS))
      this.operator.append(make("option", { value }, name));
    this.value = make("input", { "aria-label": "Value to compare with", placeholder: "value",
      maxlength: 1_000, class: "value" });
    this.condition = make("span", { class: "condition" }, this.key, this.operator, this.value);
    this.node.append(this.condition);
  }

  /** Offers the keys of metadata that are known by now; those offered before stay. */
  offer({ keys, keys_note: note }) {
    const offered = new Set([...this.key.options].map((option) => option.value));
    for (const key of keys) {
      if (offered.has(key)) continue;
      const next = [...this.key.options].find((option) => option.value > key);
      this.key.insertBefore(make("option", { value: key }, key), next ?? null);
    }
    this.more.textContent = note;
    if (note) this.key.append(this.more);
    else this.more.remove();
    this.condition.hidden = this.key.length < 2;
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

  show(answer, focus) {
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
    if (focus) this.node.focus({ preventScroll: true });
  }
}

/** Brings bar, grid and details together; drawn when the kernel has answered. */
class Rows {
  constructor(model, answered) {
    this.model = model;
    this.answered = answered;
    this.about = model.get("about");
    const noted = (note) => this.remark(note);
    this.kernel = new Kernel(model, { noted, heard: () => this.hear(), silent: () => this.miss(),
      gone: () => this.lose() });
    this.picking = new Picking(model, this.kernel, noted);
    this.problem = this.note = this.silence = "";
    this.bar = new Bar(this.about, () => this.change(), () => this.change(true),
      () => this.picking.set([]));
    this.details = new Details(() => this.close());
    const look = debounced(() => this.look(), 60);
    this.grid = new Grid(this.about, this.picking, {
      change: () => this.change(), close: () => this.close(), seen: look,
      open: (key) => this.open(key), pickRange: (one, other) => this.pickRange(one, other),
    });
    this.repaint = () => {
      this.note = "";
      this.grid.draw();
      this.tell();
    };
    model.on("change:picked", this.repaint);
    const both = make("div", { class: "both" }, this.grid.node, this.details.node);
    this.live = make("div", { class: "rows" }, this.bar.node, both);
    this.live.hidden = true;
    this.waits = make("p", { class: "note", role: "status" });
    this.node = make("div", {}, this.waits, this.live);
    this.change();
  }

  hear() {
    this.live.hidden = false;
    this.waits.remove();
    this.answered(Boolean(this.shown));
    if (!this.silence) return;
    this.silence = "";
    this.tell();
  }

  /** Nobody has answered: the static table is shown again. */
  miss() {
    this.silence = SILENCE;
    this.answered(false);
    this.tell();
  }

  /** Nobody will answer, and nobody has the selection. */
  lose() {
    this.picking.forget();
    this.miss();
  }

  remark(note) {
    this.note = note;
    this.tell();
  }

  /** Shows another view of the rows, or the same with what is there now. */
  change(fresh = false) {
    this.asking = Symbol("a question whose answer is still wanted");
    this.view = { ...this.grid.sort, ...this.bar.read() };
    this.problem = this.note = "";
    this.load(0, this.asking, fresh);
  }

  /** A block of the rows, however far it is. */
  async block(start, asking, fresh = false) {
    let answer = { again: true };
    for (let first = fresh; answer.again && asking === this.asking; first = false)
      answer = await this.kernel.ask({ do: "rows", view: this.view, start, fresh: first });
    return answer;
  }

  /** Shows a block; while it is on its way, no other is asked for. */
  async load(start, asking, fresh = false) {
    this.loading = asking;
    const late = setTimeout(() => this.tell("Waiting for the kernel…"), SLOW);
    try {
      const answer = await this.block(start, asking, fresh);
      if (asking !== this.asking) return;
      if (start === 0 && this.shown !== asking) this.grid.reset();
      this.shown = asking;
      this.grid.take(start, answer);
      this.bar.offer(answer);
      this.answered(true);
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

  /** Selects the rows between two places, and asks for those that are not at hand. */
  async pickRange(one, other) {
    const [asking, most] = [this.asking, MOST_PICKED - 1];
    const end = Math.max(one - most, Math.min(one + most, other));
    const [first, last] = [Math.min(one, end), Math.max(one, end)];
    const found = [];
    try {
      for (let start = first - (first % BLOCK_ROWS); start <= last; start += BLOCK_ROWS) {
        const rows = this.grid.blocks.get(start) ?? (await this.block(start, asking)).rows;
        if (asking !== this.asking) throw new Error("The rows changed. Select them again.");
        found.push(...rows.slice(Math.max(0, first - start), last + 1 - start));
      }
      this.picking.add(found.map(([key]) => key));
      if (end !== other) this.picking.full();
    } catch (error) {
      this.remark(error.message);
    }
  }

  async open(key) {
    const reading = (this.reading = Symbol("the row whose details are wanted"));
    this.details.fill("Reading the document…");
    let answer, problem;
    try {
      answer = await this.kernel.ask({ do: "open", key });
    } catch (error) {
      problem = error.message;
    }
    if (reading !== this.reading) return;
    const here = hasFocus(this.grid.node) || hasFocus(this.details.node);
    if (answer) this.details.show(answer, here);
    else this.details.fill(make("p", { class: "note", role: "alert" }, problem));
  }

  close() {
    this.reading = null;
    if (this.details.node.hidden) return;
    this.details.node.hidden = true;
    this.details.node.replaceChildren();
    this.grid.moveTo(this.grid.focus);
  }

  tell(note = this.silence || this.problem || this.note) {
    const picked = this.picking.keys.length;
    const { total, reach } = this.grid;
    const facts = [counted(total, "row")];
    if (reach < total)
      facts.push(`the first ${reach.toLocaleString("en")} can be scrolled to: sort or filter`);
    this.bar.clear.disabled = !picked;
    if (picked && !this.silence) facts.push(`${picked.toLocaleString("en")} selected`);
    if (note) facts.push(note);
    this.bar.status.textContent = facts.join(" · ");
    this.bar.status.classList.toggle("problem", Boolean(this.silence || this.problem));
    this.waits.textContent = note;
  }

  remove() {
    this.asking = this.reading = null;
    this.kernel.close();
    this.model.off("change:picked", this.repaint);
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
  const root = make("div", { class: "aisdk-explorer tex2jax_ignore mathjax_ignore" });
  // The static table hides itself beside the class: not before there is something in its place.
  const answered = (there) => root.classList.toggle(about.mark, there);
  root.addEventListener("keydown", (event) => {
    // Plain keys are ours: to the notebook around, they would be commands such as deleting a cell.
    if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
  });
  el.append(root);
  if (about.stages) {
    root.append(picture(about));
    answered(true);
    return undefined;
  }
  const rows = new Rows(model, answered);
  root.append(rows.node);
  const resized = new ResizeObserver(() => rows.grid.draw());
  resized.observe(rows.grid.node);
  return () => {
    resized.disconnect();
    rows.remove();
  };
}

export default { render };
