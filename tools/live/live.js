/* Runs the page's code cells on the reader's own kernel. Only `make live` adds this
 * script to a page. Thebe brings the editor, the kernel's protocol and the outputs. */
(async () => {
  "use strict";
  const KEY = "kernel token";
  const GONE = "The server is gone. You can read on; to run code, start “make live” again.";
  const NO_TOKEN = "To run code, open the address that “make live” printed last.";
  const FRESH = "Ready. A new kernel knows nothing yet: run the page from its top.";

  // The token comes in the address, where nobody else should see it for long.
  if (location.hash.startsWith("#token=")) {
    localStorage.setItem(KEY, location.hash.slice(7));
    history.replaceState(null, "", location.pathname + location.search);
  }
  const token = localStorage.getItem(KEY);
  const page = location.pathname.slice(1);
  const blocks = [...document.querySelectorAll("div.cell:has(div.cell_input)")];
  if (!blocks.length) return;

  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: "/live/thebe/index.js", onload: resolve, onerror: reject });
    document.head.append(script);
  });
  const { thebe, thebeCore } = window;

  function element(parent, name, className, attributes = {}) {
    const node = document.createElement(name);
    node.className = className;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  }

  function button(parent, text, action, label = text) {
    const node = element(parent, "button", "live-button", { type: "button", "aria-label": label });
    node.textContent = text;
    node.onclick = action;
    return node;
  }

  // The bar: the kernel's state in words, and what concerns the whole page.

  const article = document.querySelector("article");
  const bar = element(article, "section", "live-bar", { "aria-label": "Kernel" });
  article.prepend(bar);
  const state = element(bar, "p", "live-state", { role: "status" });
  const startButton = button(bar, "Start the kernel", () => run([]));
  const controls = element(bar, "span", "live-buttons", { hidden: "" });
  const runAll = button(controls, "Run all", () => run(cells), "Run all cells");
  button(controls, "Interrupt", interrupt, "Interrupt the running cell");
  button(controls, "Restart", restart, "Restart the kernel");
  button(bar, "Reset page", resetPage, "Reset page: bring back its code and outputs");

  function say(kind, text) {
    bar.dataset.state = kind;
    state.textContent = text;
  }

  function showControls(started) {
    const focused = bar.contains(document.activeElement);
    startButton.hidden = started;
    controls.hidden = !started;
    if (focused) (started ? runAll : startButton).focus();
  }

  // The kernel.

  const configuration = thebeCore.api.makeConfiguration({
    mathjaxUrl: "", // the default is another host
    serverSettings: { baseUrl: location.origin, token },
  });
  const rendermime = thebeCore.api.makeRenderMimeRegistry(configuration.mathjax);
  let server, session, starting;

  async function ask(path) {
    const headers = { Authorization: `token ${token}` };
    const answer = await fetch(path, { headers }).catch(() => {
      throw Error(GONE);
    });
    if (answer.status === 403) throw Error(NO_TOKEN);
    if (!answer.ok) throw Error(`The server says: ${answer.status} ${answer.statusText}.`);
    return answer.json();
  }

  /** Whether there is a kernel, now or in a moment; says why not. */
  async function start() {
    starting ??= connect().catch((error) => end(error.message ?? error));
    await starting;
    return session;
  }

  async function connect() {
    say("starting", "Starting …");
    await ask("/api/status");
    if (!server) {
      server = thebeCore.api.connectToJupyter(configuration);
      await server.ready;
      server.sessionManager.connectionFailure.connect(() => ask("/api/status").catch(lose));
    }
    // A page that is loaded again finds its kernel by this path.
    session = await server.startNewSession(rendermime, { kernelName: "python3", path: page });
    const { kernel } = session;
    await kernel.info;
    kernel.statusChanged.connect((_, status) => kernelChanged(status));
    kernel.connectionStatusChanged.connect((_, status) => connectionChanged(status));
    notebook.attachSession(session);
    showControls(true);
    say("ready", "Ready.");
  }

  /** The session has ended, for the reason given; the page stays. */
  function end(reason) {
    const ended = session;
    session = starting = null;
    ended?.dispose();
    showControls(false);
    say("failed", reason);
  }

  const lose = (error) => session && end(error.message);

  let died = false;
  function kernelChanged(status) {
    if (status === "autorestarting") {
      died = true;
      say("starting", "The kernel died. Another one is starting …");
    } else if (status === "idle" && died) {
      died = false;
      say("ready", `The kernel died. ${FRESH}`);
    } else if (status === "dead") {
      end("The kernel died.");
      ask("/api/status").catch((error) => say("failed", error.message));
    }
  }

  function connectionChanged(status) {
    if (status !== "connected") {
      say("lost", "Disconnected, trying again …");
      ask("/api/status").catch(lose);
    } else if (bar.dataset.state === "lost") {
      say(working ? "running" : "ready", working ? "Running …" : "Ready.");
    }
  }

  let interrupted = false;
  function interrupt() {
    empty(queue);
    interrupted = true;
    session.kernel.interrupt().catch(lose);
  }

  async function restart() {
    empty(queue);
    say("starting", "Restarting …");
    try {
      await session.restart();
      await session.kernel.info;
      say("ready", FRESH);
    } catch (error) {
      end(`Not restarted: ${error.message}`);
    }
  }

  // Cells run one at a time, in the order in which they were asked for.

  const queue = [];
  let working = false;

  function empty(queue) {
    for (const cell of queue.splice(0)) cell.say("not run");
  }

  async function run(wanted) {
    for (const cell of wanted) {
      if (queue.includes(cell)) continue;
      queue.push(cell);
      cell.say("waiting");
    }
    if (working) return;
    working = true;
    let problem = "";
    if (await start())
      while (queue.length && session && !problem) {
        say("running", `Running cell ${queue[0].number} …`);
        interrupted = false;
        problem = await queue.shift().run();
        // What was asked for after an interruption is not stopped by it.
        if (interrupted && queue.length) problem = "";
      }
    if (bar.dataset.state === "running") say("ready", `Ready. ${problem}`);
    working = false;
    empty(queue);
  }

  // The cells.

  const seen = {};
  const cells = blocks.map((block, index) => {
    const source = block.querySelector(".cell_input pre").textContent.trim();
    // An edit belongs to this text; another text in its place knows nothing of it.
    seen[source] = (seen[source] ?? 0) + 1;
    return { block, source, number: index + 1, key: `edit ${page} ${seen[source]} ${source}` };
  });
  const notebook = thebeCore.api.setupNotebookFromBlocks(
    cells.map(({ source, number }) => ({ id: `cell-${number}`, source })),
    configuration,
    rendermime,
  );

  for (const cell of cells) {
    const { block, number } = cell;
    const core = notebook.getCellById(`cell-${number}`);
    const expectsError = block.classList.contains("tag_raises-exception");
    const input = block.querySelector(".cell_input > div");
    const recorded = block.querySelector(".cell_output");
    const alt = recorded?.querySelector("img")?.alt;

    const tools = element(block, "div", "live-tools live-buttons");
    const note = element(tools, "span", "live-note");
    const runButton = button(tools, "Run", () => run([cell]), `Run cell ${number}`);
    if (number > 1)
      button(tools, "Run to here", () => run(cells.slice(0, number)), `Run cells 1 to ${number}`);
    const resetButton = button(tools, "Reset code", reset, `Reset the code of cell ${number}`);
    const swapButton = button(tools, "", () => show(output.hidden));
    const output = element(block, "div", "live-output", {
      role: "group",
      "aria-label": `Output of cell ${number}`,
    });
    recorded?.before(tools, output);
    show(false);
    swapButton.hidden = true;
    note.textContent = `Cell ${number}`;

    thebe.renderAllCells(
      {
        codeMirrorConfig: {
          lineNumbers: false,
          indentUnit: 4,
          viewportMargin: Infinity,
          screenReaderLabel: `Code of cell ${number}. Shift Enter runs it, Escape leaves it.`,
        },
      },
      notebook,
      [{ id: core.id, placeholders: { source: input, output } }],
    );
    const editor = block.querySelector(".CodeMirror").CodeMirror;
    editor.setOption("extraKeys", {
      ...editor.getOption("extraKeys"), // Thebe's, for completion
      "Shift-Enter": () => void run([cell]),
      Tab: false,
      "Shift-Tab": false,
      Esc: () => runButton.focus(),
    });
    editor.on("change", edited);
    editor.setValue(localStorage.getItem(cell.key) ?? cell.source);

    // Who tabs through the page passes by; who began to edit indents.
    const indenting = {
      Tab: () => editor.execCommand(editor.somethingSelected() ? "indentMore" : "insertSoftTab"),
      "Shift-Tab": "indentLess",
    };
    const pass = () => void editor.removeKeyMap(indenting);
    const edit = () => pass() ?? editor.addKeyMap(indenting);
    editor.on("mousedown", edit);
    editor.on("keydown", (_, event) => ["Tab", "Shift"].includes(event.key) || edit());
    editor.on("blur", pass);

    function edited() {
      const code = editor.getValue();
      if (code === cell.source) localStorage.removeItem(cell.key);
      else localStorage.setItem(cell.key, code);
      resetButton.hidden = code === cell.source;
    }

    function reset() {
      editor.setValue(cell.source);
      editor.focus();
    }

    /** Show the reader's own output, or the recorded one. */
    function show(own) {
      output.hidden = !own;
      if (recorded) recorded.hidden = own;
      swapButton.textContent = own ? "Recorded output" : "My output";
      swapButton.setAttribute("aria-label", `${swapButton.textContent} of cell ${number}`);
    }

    Object.assign(cell, {
      say: (text) => (note.textContent = `Cell ${number}: ${text}`),

      isEdited: () => !resetButton.hidden,

      reset() {
        editor.setValue(cell.source);
        core.clear();
        show(false);
        swapButton.hidden = true;
        note.textContent = `Cell ${number}`;
      },

      /** Run the cell; returns why none should follow, or "". */
      async run() {
        cell.say("running");
        // The page below stays where it is until there is something to show.
        output.style.minHeight = `${(output.hidden ? recorded : output)?.offsetHeight ?? 0}px`;
        show(true);
        swapButton.hidden = !recorded;
        const began = performance.now();
        const result = await core.execute();
        const seconds = ((performance.now() - began) / 1000).toFixed(2);
        output.style.minHeight = "";
        for (const figure of output.querySelectorAll("img"))
          figure.alt = (!cell.isEdited() && alt) || `Figure of cell ${number}`;
        if (result === null) {
          core.clear(); // of Thebe's advice to reload the page
          cell.say("stopped");
          return `Cell ${number} was stopped.`;
        }
        const name = result.error?.at(-1).ename;
        cell.say(name ? `${name} after ${seconds} s` : `ran in ${seconds} s`);
        return name && !expectsError ? `Cell ${number} raised ${name}.` : "";
      },
    });
  }

  function resetPage() {
    if (cells.some((cell) => cell.isEdited()) && !confirm("Discard your code on this page?")) return;
    for (const cell of cells) cell.reset();
  }

  say("off", "The kernel is not started.");
  try {
    const running = await ask("/api/sessions");
    if (running.some((other) => other.path === page)) run([]);
  } catch (error) {
    say("off", error.message);
  }
})();
