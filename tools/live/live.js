/* Run the page's code cells in the reader's own kernel. `make live` adds this script to each
 * page. Thebe has the editor, the kernel's protocol, and the display of outputs. */
(async () => {
  "use strict";
  const TOKEN_KEY = "kernel token";
  const SERVER_STOPPED =
    "The server has stopped. You can keep reading; to run code, start “make live” again.";
  const TOKEN_MISSING = "To run code, open the address that “make live” printed last.";
  const NEW_KERNEL = "Ready. The new kernel is empty, so run the page from the top.";

  // Remove the token from the address bar and the history, where others might see it.
  if (location.hash.startsWith("#token=")) {
    localStorage.setItem(TOKEN_KEY, location.hash.slice(7));
    history.replaceState(null, "", location.pathname + location.search);
  }
  const token = localStorage.getItem(TOKEN_KEY);
  const page = location.pathname.slice(1);
  const cellNodes = [...document.querySelectorAll("div.cell:has(div.cell_input)")];
  if (!cellNodes.length) return;

  await new Promise((resolve, reject) => {
    const script = document.createElement("script");
    Object.assign(script, { src: "/live/thebe/index.js", onload: resolve, onerror: reject });
    document.head.append(script);
  });
  const { thebe, thebeCore } = window;

  function addElement(parent, name, className, attributes = {}) {
    const node = document.createElement(name);
    node.className = className;
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    parent.append(node);
    return node;
  }

  function addButton(parent, text, action, label = text) {
    const attributes = { type: "button", "aria-label": label };
    const button = addElement(parent, "button", "live-button", attributes);
    button.textContent = text;
    button.onclick = action;
    return button;
  }

  // The bar above the page shows the kernel's state and the buttons for the whole page.

  const container = document.querySelector(".article-container");
  const bar = addElement(container, "section", "live-bar", { "aria-label": "Kernel" });
  container.prepend(bar);
  const status = addElement(bar, "p", "live-state", { role: "status" });
  const startButton = addButton(bar, "Start the kernel", () => runCells([]));
  const kernelButtons = addElement(bar, "span", "live-buttons", { hidden: "" });
  const runAll = addButton(kernelButtons, "Run all", () => runCells(cells), "Run all cells");
  addButton(kernelButtons, "Interrupt", interrupt, "Interrupt the running cell");
  addButton(kernelButtons, "Restart", restart, "Restart the kernel");
  addButton(bar, "Reset page", resetPage, "Reset page: restore its code and outputs");

  function setStatus(state, text) {
    bar.dataset.state = state;
    status.textContent = text;
  }

  function showKernelButtons(kernelRuns) {
    const hadFocus = bar.contains(document.activeElement);
    startButton.hidden = kernelRuns;
    kernelButtons.hidden = !kernelRuns;
    if (hadFocus) (kernelRuns ? runAll : startButton).focus();
  }

  // The kernel

  const configuration = thebeCore.api.makeConfiguration({
    mathjaxUrl: "", // the default is on a different host
    serverSettings: { baseUrl: location.origin, token },
  });
  const rendermime = thebeCore.api.makeRenderMimeRegistry(configuration.mathjax);
  let server, session, starting;

  /** Return the server's answer as an object; throw an error whose message is for the reader. */
  async function request(path) {
    const headers = { Authorization: `token ${token}` };
    const response = await fetch(path, { headers }).catch(() => {
      throw Error(SERVER_STOPPED);
    });
    if (response.status === 403) throw Error(TOKEN_MISSING);
    if (!response.ok) throw Error(`Server error: ${response.status} ${response.statusText}.`);
    return response.json();
  }

  /** Start the kernel unless it runs; return its session, or null after showing the reason. */
  async function ensureKernel() {
    starting ??= startKernel().catch((error) => endSession(error.message ?? error));
    await starting;
    return session;
  }

  async function startKernel() {
    setStatus("starting", "Starting …");
    await request("/api/status");
    if (!server) {
      server = thebeCore.api.connectToJupyter(configuration);
      await server.ready;
      server.sessionManager.connectionFailure.connect(checkServer);
    }
    // The path lets the page find its kernel when it is loaded again.
    session = await server.startNewSession(rendermime, { kernelName: "python3", path: page });
    const { kernel } = session;
    await kernel.info;
    kernel.statusChanged.connect((_, status) => kernelStatusChanged(status));
    kernel.connectionStatusChanged.connect((_, status) => connectionChanged(status));
    notebook.attachSession(session);
    showKernelButtons(true);
    setStatus("ready", "Ready.");
  }

  function endSession(reason) {
    const ended = session;
    session = starting = null;
    ended?.dispose();
    showKernelButtons(false);
    setStatus("failed", reason);
  }

  const endSessionAfter = (error) => session && endSession(error.message);
  const checkServer = () => request("/api/status").catch(endSessionAfter);

  let kernelDied = false;
  function kernelStatusChanged(status) {
    if (status === "autorestarting") {
      kernelDied = true;
      setStatus("starting", "The kernel died. Starting a new one …");
    } else if (status === "idle" && kernelDied) {
      kernelDied = false;
      setStatus("ready", `The kernel died. ${NEW_KERNEL}`);
    } else if (status === "dead") {
      endSession("The kernel died.");
      request("/api/status").catch((error) => setStatus("failed", error.message));
    }
  }

  function connectionChanged(status) {
    if (status !== "connected") {
      setStatus("lost", "Connection lost. Reconnecting …");
      checkServer();
    } else if (bar.dataset.state === "lost") {
      setStatus(running ? "running" : "ready", running ? "Running …" : "Ready.");
    }
  }

  let interrupted = false;
  function interrupt() {
    clearQueue();
    interrupted = true;
    session.kernel.interrupt().catch(endSessionAfter);
  }

  async function restart() {
    clearQueue();
    setStatus("starting", "Restarting …");
    try {
      await session.restart();
      await session.kernel.info;
      setStatus("ready", NEW_KERNEL);
    } catch (error) {
      endSession(`The kernel could not be restarted: ${error.message}`);
    }
  }

  // Cells run one at a time, in the order of the requests.

  const queue = [];
  let running = false;

  function clearQueue() {
    for (const cell of queue.splice(0)) cell.setNote("not run");
  }

  async function runCells(requested) {
    for (const cell of requested) {
      if (queue.includes(cell)) continue;
      queue.push(cell);
      cell.setNote("waiting");
    }
    if (running) return;
    running = true;
    let failure = "";
    if (await ensureKernel())
      while (queue.length && session && !failure) {
        setStatus("running", `Running cell ${queue[0].number} …`);
        interrupted = false;
        failure = await queue.shift().run();
        // An interruption clears the queue, so these cells were requested after it.
        if (interrupted && queue.length) failure = "";
      }
    if (bar.dataset.state === "running") setStatus("ready", `Ready. ${failure}`);
    running = false;
    clearQueue();
  }

  // The cells

  const occurrences = {};
  const cells = cellNodes.map((node, index) => {
    const source = node.querySelector(".cell_input pre").textContent.trim();
    // An edit is stored for this source, so that it is not applied to a later version of it.
    occurrences[source] = (occurrences[source] ?? 0) + 1;
    const key = `edit ${page} ${occurrences[source]} ${source}`;
    return { node, source, number: index + 1, key };
  });
  const notebook = thebeCore.api.setupNotebookFromBlocks(
    cells.map(({ source, number }) => ({ id: `cell-${number}`, source })),
    configuration,
    rendermime,
  );

  for (const cell of cells) {
    const { node, number } = cell;
    const core = notebook.getCellById(`cell-${number}`);
    const expectsError = node.classList.contains("tag_raises-exception");
    const recorded = node.querySelector(".cell_output");
    const alt = recorded?.querySelector("img")?.alt;
    const caption = recorded?.querySelector("figcaption");
    // Links to the figure have to work while the recorded output is hidden.
    if (caption) [node.id, caption.parentElement.id] = [caption.parentElement.id, ""];

    const tools = addElement(node, "div", "live-tools live-buttons");
    const note = addElement(tools, "span", "live-note");
    const runButton = addButton(tools, "Run", () => runCells([cell]), `Run cell ${number}`);
    const runToHere = () => runCells(cells.slice(0, number));
    if (number > 1) addButton(tools, "Run to here", runToHere, `Run cells 1 to ${number}`);
    const resetButton = addButton(tools, "Reset code", resetCode, `Reset code of cell ${number}`);
    const swapButton = addButton(tools, "", () => showOwnOutput(output.hidden));
    const output = addElement(node, "div", "cell_output live-output", {
      role: "group",
      "aria-label": `Output of cell ${number}`,
    });
    recorded?.before(tools, output);
    showOriginal();

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
      [{ id: core.id, placeholders: { source: node.querySelector(".cell_input pre"), output } }],
    );
    const editor = node.querySelector(".CodeMirror").CodeMirror;
    editor.setOption("extraKeys", {
      ...editor.getOption("extraKeys"), // Thebe's, for completion
      "Shift-Enter": () => void runCells([cell]),
      Tab: false,
      "Shift-Tab": false,
      Esc: () => runButton.focus(),
    });
    editor.on("change", saveEdit);
    editor.setValue(localStorage.getItem(cell.key) ?? cell.source);

    // Tab leaves the editor until the reader clicks or types in it; from then on, it indents.
    const indentKeys = {
      Tab: () => editor.execCommand(editor.somethingSelected() ? "indentMore" : "insertSoftTab"),
      "Shift-Tab": "indentLess",
    };
    const stopIndenting = () => editor.removeKeyMap(indentKeys);
    function startIndenting() {
      stopIndenting();
      editor.addKeyMap(indentKeys);
    }
    editor.on("mousedown", startIndenting);
    editor.on("keydown", (_, event) => ["Tab", "Shift"].includes(event.key) || startIndenting());
    editor.on("blur", stopIndenting);

    function saveEdit() {
      const code = editor.getValue();
      if (code === cell.source) localStorage.removeItem(cell.key);
      else localStorage.setItem(cell.key, code);
      resetButton.hidden = code === cell.source;
    }

    function resetCode() {
      editor.setValue(cell.source);
      editor.focus();
    }

    /** Show the output of the reader's own run, or the recorded output. */
    function showOwnOutput(own) {
      output.hidden = !own;
      if (recorded) recorded.hidden = own;
      swapButton.textContent = own ? "Recorded output" : "My output";
      swapButton.setAttribute("aria-label", `${swapButton.textContent} of cell ${number}`);
    }

    function showOriginal() {
      showOwnOutput(false);
      swapButton.hidden = true;
      note.textContent = `Cell ${number}`;
    }

    Object.assign(cell, {
      setNote: (text) => (note.textContent = `Cell ${number}: ${text}`),

      isEdited: () => !resetButton.hidden,

      reset() {
        editor.setValue(cell.source);
        core.clear();
        showOriginal();
      },

      /** Run the cell; return the reason why no further cell should run, or "". */
      async run() {
        cell.setNote("running");
        // Keep the height of the previous output, so that the page below doesn't jump.
        output.style.minHeight = `${(output.hidden ? recorded : output)?.offsetHeight ?? 0}px`;
        showOwnOutput(true);
        swapButton.hidden = !recorded;
        const start = performance.now();
        const result = await core.execute();
        const seconds = ((performance.now() - start) / 1000).toFixed(2);
        output.style.minHeight = "";
        for (const image of output.querySelectorAll("img")) {
          image.className = "align-center";
          image.alt = (!cell.isEdited() && alt) || `Figure of cell ${number}`;
          if (caption && !cell.isEdited()) image.after(caption.cloneNode(true));
        }
        if (result === null) {
          core.clear(); // removes Thebe's advice to reload the page
          cell.setNote("stopped");
          return `Cell ${number} was stopped.`;
        }
        const error = result.error?.at(-1).ename;
        cell.setNote(error ? `${error} after ${seconds} s` : `ran in ${seconds} s`);
        return error && !expectsError ? `Cell ${number} raised ${error}.` : "";
      },
    });
  }

  function resetPage() {
    const isEdited = cells.some((cell) => cell.isEdited());
    if (isEdited && !confirm("Discard your changes to the code of this page?")) return;
    for (const cell of cells) cell.reset();
  }

  setStatus("off", "The kernel is not running.");
  try {
    const sessions = await request("/api/sessions");
    if (sessions.some(({ path }) => path === page)) runCells([]);
  } catch (error) {
    setStatus("off", error.message);
  }
})();
