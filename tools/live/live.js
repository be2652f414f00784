/* Run the page's code cells in the reader's own kernel. `make live` adds this script to each
 * page. Thebe has the editor, the kernel's protocol, and the display of outputs. */
(async () => {
  "use strict";
  const TOKEN_KEY = "kernel token";
  const SERVER_STOPPED =
    "The server has stopped. You can keep reading; to run code, start “make live” again.";
  const TOKEN_MISSING = "To run code, open the address that “make live” printed last.";
  const NEW_KERNEL = "The new kernel is empty, so run the page from the top.";
  const STILL_BUSY = "Busy with a cell from before. Wait, interrupt it, or restart the kernel.";
  const LOST = "Connection lost. Reconnecting …";
  const SHARED = "This page is open in several tabs, which share one kernel.";
  const page = location.pathname.slice(1);

  /** Return the server's answer as an object; throw an error whose message is for the reader. */
  async function request(path, token = localStorage.getItem(TOKEN_KEY)) {
    const headers = { Authorization: `token ${token}` };
    const response = await fetch(path, { headers }).catch(() => {
      throw Error(SERVER_STOPPED);
    });
    if (response.status === 403) throw Error(TOKEN_MISSING);
    if (!response.ok) throw Error(`Server error: ${response.status} ${response.statusText}.`);
    return response.json();
  }

  // Remove the token from the address bar and the history, where others might see it. Any
  // site can link here with a wrong token, so keep it only if the server accepts it.
  if (location.hash.startsWith("#token=")) {
    const token = location.hash.slice(7);
    history.replaceState(null, "", location.pathname + location.search);
    const keep = () => localStorage.setItem(TOKEN_KEY, token);
    await request("/api/status", token).then(keep, () => {});
  }

  const nodes = [...document.querySelectorAll("div.cell:has(div.cell_input)")];
  if (!nodes.length) return;

  function add(parent, name, properties) {
    const node = Object.assign(document.createElement(name), properties);
    parent.append(node);
    return node;
  }

  function addButton(parent, textContent, onclick, ariaLabel = textContent) {
    const className = "live-button";
    return add(parent, "button", { type: "button", className, textContent, onclick, ariaLabel });
  }

  // The bar above the page shows the kernel's state and the buttons for the whole page.

  const container = document.querySelector(".article-container");
  const bar = add(container, "section", { className: "live-bar", ariaLabel: "Kernel" });
  container.prepend(bar);
  const status = add(bar, "p", { className: "live-state", role: "status" });
  const startButton = addButton(bar, "", () => (session ? restart() : connect()));
  const interruptButton = addButton(bar, "Interrupt", interrupt, "Interrupt the running cell");
  addButton(bar, "Run all", () => runCells(cells), "Run all cells");
  const sharing = add(bar, "p", { className: "live-note" });

  function show(state, text) {
    bar.dataset.state = state;
    if (status.textContent !== text) status.textContent = text;
    interruptButton.hidden = !session;
    startButton.textContent = session ? "Restart" : "Start the kernel";
    startButton.ariaLabel = session ? "Restart the kernel" : "Start the kernel";
  }

  const otherTabs = new BroadcastChannel(page);
  otherTabs.onmessage = ({ data }) => {
    sharing.textContent = SHARED;
    if (data === "opened") otherTabs.postMessage("also open");
  };
  otherTabs.postMessage("opened");

  // The kernel

  console.debug = () => {}; // Thebe 0.9.3 writes a hundred lines for each page
  let notebook, server, session, starting;
  let running, restarting; // the cell that runs, and whether the kernel restarts
  let busyMessage, readyMessage; // what to say until the kernel is ready, and when it is

  async function makeNotebook() {
    await new Promise((onload, onerror) => {
      add(document.head, "script", { src: "/live/thebe/index.js", onload, onerror });
    });
    const { api } = thebeCore;
    const configuration = api.makeConfiguration({ mathjaxUrl: "" }); // not on a different host
    const rendermime = api.makeRenderMimeRegistry(configuration.mathjax);
    const blocks = cells.map(({ source, number }) => ({ id: `cell-${number}`, source }));
    notebook = api.setupNotebookFromBlocks(blocks, configuration, rendermime);
  }

  /** Start the page's kernel, or connect to it; return whether it can be used. */
  const connect = () => (starting ??= startKernel().then(() => true, giveUp));

  async function startKernel() {
    [busyMessage, readyMessage] = ["Starting …", ""];
    show("busy", busyMessage);
    const ours = (await request("/api/sessions")).find(({ path }) => path === page);
    if (ours?.kernel.execution_state === "busy") busyMessage = STILL_BUSY;
    await notebookMade;
    const serverSettings = { baseUrl: location.origin, token: localStorage.getItem(TOKEN_KEY) };
    const { api } = thebeCore;
    server = api.connectToJupyter(api.makeConfiguration({ serverSettings }));
    await server.ready;
    // The path lets the page find its kernel when it is loaded again.
    const options = { kernelName: "python3", path: page };
    session = await server.startNewSession(notebook.rendermime, options);
    notebook.attachSession(session);
    session.kernel.statusChanged.connect(kernelChanged);
    session.kernel.connectionStatusChanged.connect(kernelChanged);
    kernelChanged();
  }

  /** Disconnect from the kernel and say why. */
  async function giveUp(error) {
    queueVersion += 1;
    const ended = [session, server];
    server = session = starting = null;
    for (const each of ended) each?.dispose();
    const reason = await request("/api/status").then(() => error, (problem) => problem);
    show("failed", reason.message ?? reason);
    return false;
  }

  function kernelChanged() {
    if (!session) return;
    const { status, connectionStatus } = session.kernel;
    if (status === "dead") return void giveUp("The kernel died.");
    if (status === "autorestarting") {
      busyMessage = "The kernel died. Starting a new one …";
      readyMessage = `The kernel died. ${NEW_KERNEL}`;
      queueVersion += 1;
    } else if (status === "idle" && !restarting) busyMessage = "";
    if (connectionStatus !== "connected") {
      busyMessage ||= LOST;
      request("/api/status").catch(giveUp);
    } else if (busyMessage === LOST) busyMessage = "";
    if (busyMessage) show("busy", busyMessage);
    else if (running) show("busy", `Running cell ${running.number} …`);
    else if (readyMessage) show("remark", `Ready. ${readyMessage}`);
    else show("ready", "Ready.");
  }

  function interrupt() {
    queueVersion += 1;
    session.kernel.interrupt().catch(giveUp);
  }

  function restart() {
    queueVersion += 1;
    [busyMessage, readyMessage, restarting] = ["Restarting …", NEW_KERNEL, true];
    const restarted = session.restart().then(() => true, giveUp);
    starting = restarted.finally(() => (restarting = false));
  }

  // Cells run one at a time, in the order of the requests.

  let queue = Promise.resolve();
  let queueVersion = 0; // when it changes, queued cells are dropped

  function runCells(requested) {
    for (const cell of requested) {
      const requestedIn = queueVersion;
      cell.setNote("queued");
      queue = queue.then(async () => {
        if (requestedIn !== queueVersion || !(await connect())) return cell.setNote("not run");
        running = cell;
        kernelChanged();
        const reason = await cell.run();
        running = null;
        if (requestedIn === queueVersion) {
          readyMessage = reason;
          if (reason) queueVersion += 1;
        }
        kernelChanged();
      });
    }
  }

  // The cells

  const cells = nodes.map((node, index) => {
    const number = index + 1;
    const input = node.querySelector(".cell_input");
    const pre = input.querySelector("pre");
    const source = pre.textContent.trim();
    // An edit is stored for this source, so that it is not applied to a later version of it.
    const key = `edit ${page} ${number} ${source}`;

    const tools = add(node, "div", { className: "live-tools" });
    input.after(tools); // in the same fold, if the code is folded
    addButton(tools, "Run", () => runCells([cell]), `Run cell ${number}`);
    const note = add(tools, "span", { className: "live-note", textContent: `Cell ${number}` });
    const runToHere = () => runCells(cells.slice(0, number));
    if (number > 1) addButton(tools, "Run to here", runToHere, `Run cells 1 to ${number}`);
    const resetCode = () => cell.setCode(source);
    const resetButton = addButton(tools, "Reset code", resetCode, `Reset code of cell ${number}`);
    const output = add(node, "div", { className: "cell_output live-output", role: "group" });
    output.ariaLabel = `Output of cell ${number}`;
    const recorded = node.querySelector(".cell_output:not(.live-output)");
    const fold = add(node, "details", { className: "live-recorded", open: true });
    const ariaLabel = `Recorded output of cell ${number}`;
    add(fold, "summary", { textContent: "Recorded output", ariaLabel });
    if (recorded) fold.append(recorded);
    let core, editor;

    // Enter leads from the cell into its editor, and Escape back, so that Tab can indent.
    Object.assign(input, { tabIndex: 0, role: "group", ariaLabel: `Code of cell ${number}` });
    input.onkeydown = (event) => {
      if (event.key !== "Enter" || event.target !== input) return;
      event.preventDefault();
      cell.edit()?.focus();
    };
    pre.onclick = () => cell.edit()?.focus();

    const cell = {
      number,
      source,
      input,
      setNote: (text) => (note.textContent = `Cell ${number}: ${text}`),

      setCode(code) {
        cell.code = code;
        cell.isEdited = code !== source;
        if (cell.isEdited) localStorage.setItem(key, code);
        else localStorage.removeItem(key);
        node.classList.toggle("live-edited", cell.isEdited);
        resetButton.hidden = !cell.isEdited;
        // The page shows this until there is an editor, and the copy button copies it.
        if (pre.textContent.trim() !== code) pre.textContent = code;
        if (editor && editor.getValue() !== code) editor.setValue(code);
      },

      /** Return the cell's editor, which is made when it's first needed and Thebe is loaded. */
      edit() {
        if (editor || !notebook) return editor;
        core = notebook.getCellById(`cell-${number}`);
        const placeholders = { source: add(input, "div"), output };
        pre.before(placeholders.source);
        const codeMirrorConfig = {
          lineNumbers: false,
          indentUnit: 4,
          viewportMargin: Infinity,
          tabindex: -1,
          screenReaderLabel: `Code of cell ${number}. Shift Enter runs it, Escape leaves it.`,
        };
        thebe.renderAllCells({ codeMirrorConfig }, notebook, [{ id: core.id, placeholders }]);
        pre.hidden = true;
        editor = input.querySelector(".CodeMirror").CodeMirror;
        editor.setValue(cell.code);
        editor.on("change", () => cell.setCode(editor.getValue()));
        const indent = () =>
          editor.execCommand(editor.somethingSelected() ? "indentMore" : "insertSoftTab");
        editor.setOption("extraKeys", {
          ...editor.getOption("extraKeys"), // Thebe's, for completion
          "Shift-Enter": () => runAndGoOn(cell),
          Tab: indent,
          "Shift-Tab": "indentLess",
          Esc: () => input.focus(),
        });
        return editor;
      },

      /** Run the cell; return the reason why no further cell should run, or "". */
      async run() {
        cell.edit();
        cell.setNote("running");
        // Keep the height of the previous output, so that the page below doesn't jump.
        output.style.minHeight = `${output.offsetHeight || fold.offsetHeight}px`;
        node.classList.add("live-ran");
        fold.open = false;
        const start = performance.now();
        const result = await core.execute();
        const seconds = ((performance.now() - start) / 1000).toFixed(2);
        output.style.minHeight = "";
        for (const image of output.querySelectorAll("img")) {
          const figure = cell.isEdited ? null : recorded;
          image.alt = figure?.querySelector("img")?.alt || `Figure of cell ${number}`;
          image.after(figure?.querySelector("figcaption")?.cloneNode(true) ?? "");
        }
        if (result === null) {
          core.clear(); // removes Thebe's advice to reload the page
          cell.setNote("stopped");
          return `Cell ${number} was stopped.`;
        }
        const error = result.error?.at(-1).ename;
        cell.setNote(error ? `${error} after ${seconds} s` : `ran in ${seconds} s`);
        const isExpected = node.classList.contains("tag_raises-exception");
        return error && !isExpected ? `Cell ${number} raised ${error}.` : "";
      },
    };
    cell.setCode(localStorage.getItem(key) ?? source);
    return cell;
  });

  function runAndGoOn(cell) {
    runCells([cell]);
    const next = cells.slice(cell.number).find(({ input }) => input.checkVisibility());
    next?.edit().focus();
    next?.input.scrollIntoView({ block: "nearest" });
  }

  // The page's notebook is downloaded with the reader's changes, unless it hasn't been recorded
  // since its author changed the page.
  const link = document.querySelector(".page-actions [download]");
  const download = async (event) => {
    event.preventDefault();
    const content = await (await fetch(link.href)).json();
    const codeCells = content.cells.filter(({ cell_type }) => cell_type === "code");
    if (codeCells.length === cells.length)
      for (const [index, { isEdited, code }] of cells.entries())
        if (isEdited) Object.assign(codeCells[index], { source: code, outputs: [] });
    const href = URL.createObjectURL(new Blob([JSON.stringify(content)]));
    add(bar, "a", { href, download: link.pathname.split("/").at(-1), hidden: true }).click();
  };
  link?.addEventListener("click", download);

  const notebookMade = makeNotebook();
  const edited = cells.filter(({ isEdited }) => isEdited).map(({ number }) => number);
  const textContent = `Cells that were edited before: ${edited.join(", ")}.`;
  if (edited.length) add(bar, "p", { className: "live-note", textContent });
  show("off", "The kernel is not running.");
  try {
    await notebookMade;
    const makeEditors = (entries) => {
      for (const { isIntersecting, target } of entries)
        if (isIntersecting) cells.find(({ input }) => input === target).edit();
    };
    const observer = new IntersectionObserver(makeEditors, { rootMargin: "100%" });
    for (const { input } of cells) observer.observe(input);
    const sessions = await request("/api/sessions");
    if (sessions.some(({ path }) => path === page)) connect();
  } catch (error) {
    giveUp(error);
  }
})();
