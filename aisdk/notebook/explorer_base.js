// The browser side of a live view: a grid of rows that the kernel sends in blocks, their details,
// and a picture of stages. Text from records is only ever set as the content of text nodes.
// This part: numbers, small helpers, questions to the kernel, and what is selected.

const BLOCK_ROWS = 200;
const KEPT_BLOCKS = 8;
const ROW = 28; // pixels, as in the style sheet
const TALLEST = 392; // pixels of the grid, some thirteen rows
const MARGIN = 6; // rows drawn above and below those in view
const MOST_ROWS = 500_000; // what fits in the height of an element in every browser
const MOST_PICKED = 1_000;
const SLOW = 2_000; // milliseconds until one is told to wait for an answer
const PATIENCE = 25_000; // until nobody is taken to answer: a little longer than the kernel may take
const SILENCE = "No kernel answers. Run the cell again for the live view.";
const WIDTHS = { int: 4, float: 6, bool: 5, time: 14, bytes: 7 }; // em; other columns stretch
const OPERATORS = { "=": "is", "!=": "is not", "<": "<", "<=": "≤", ">": ">", ">=": "≥",
  contains: "list contains" };

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

/** Whether the focus is inside a node, which may stand in a shadow tree. */
function hasFocus(node) {
  return node.contains(node.getRootNode().activeElement);
}

/** Asks the kernel, and hands each answer to who asked. */
class Kernel {
  constructor(model, handlers) {
    this.model = model;
    this.handlers = handlers;
    // Answers go to every window on the notebook: each knows its own.
    this.window = Math.random().toString(36).slice(2);
    this.asked = 0;
    this.waiting = new Map();
    this.listen = (answer) => {
      if (answer?.note) handlers.noted(answer.note);
      this.waiting.get(answer?.id)?.(answer);
    };
    model.on("msg:custom", this.listen);
  }

  async ask(question) {
    const id = `${this.window}.${this.asked++}`;
    let late;
    const answered = new Promise((settle) => {
      this.waiting.set(id, settle);
      late = setTimeout(this.handlers.silent, PATIENCE);
    });
    try {
      this.send({ id, ...question });
      const answer = await answered;
      this.handlers.heard();
      if (answer.error) throw new Error(answer.error);
      return answer;
    } finally {
      clearTimeout(late);
      this.waiting.delete(id);
    }
  }

  /** Sends a message; where that fails, as after a restart of the kernel, nobody will answer. */
  send(message) {
    try {
      this.model.send(message);
    } catch {
      this.handlers.gone();
      throw new Error(SILENCE);
    }
  }

  close() {
    this.model.off("msg:custom", this.listen);
    for (const settle of this.waiting.values()) settle({ error: "The view is closed." });
    this.handlers = { heard() {}, silent() {}, gone() {}, noted() {} };
  }
}

/** The keys of the selected rows, shared with the kernel and with other views of the same rows. */
class Picking {
  constructor(model, kernel, noted) {
    this.model = model;
    this.kernel = kernel;
    this.noted = noted;
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
    const all = [...new Set([...this.keys, ...keys])];
    this.set(all.slice(0, MOST_PICKED));
    if (all.length > MOST_PICKED) this.full();
  }

  full() {
    this.noted(`At most ${counted(MOST_PICKED, "row")} can be selected.`);
  }

  set(keys) {
    this.model.set("picked", keys);
    this.model.save_changes();
    // Nobody says whether that arrived: a question tells where no kernel is there to have it.
    this.kernel.ask({ do: "picked" }).catch(() => {});
  }

  /** Nothing is selected any more: the kernel that knew of it is gone. */
  forget() {
    this.model.set("picked", []);
  }
}
