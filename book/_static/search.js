// Find the sections that contain all words of the query; search-index.js has their texts.
const query = new URLSearchParams(location.search).get("q")?.trim() ?? "";
const words = query.toLowerCase().split(/\s+/).filter(Boolean);
const escaped = words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
const anyWord = new RegExp(escaped.join("|"), "gi");

function score([, page, title, prose, code]) {
  const [inPage, inTitle, inText] = [page, title, `${prose} ${code}`].map((part) => part.toLowerCase());
  let sum = 0;
  for (const word of words) {
    const count = inText.split(word).length - 1;
    if (!count && !inTitle.includes(word)) return 0;
    sum += Math.log1p(count) + 5 * inTitle.includes(word) + 2 * inPage.includes(word);
  }
  return sum;
}

function element(parent, name, text = "") {
  const node = parent.appendChild(document.createElement(name));
  node.textContent = text;
  return node;
}

function showExcerpt(parent, text) {
  const paragraph = element(parent, "p");
  const first = Math.max(text.search(anyWord), 0);
  const start = first < 80 ? 0 : text.indexOf(" ", first - 80) + 1;
  const excerpt = text.slice(start, start + 240);
  let end = 0;
  if (start) paragraph.append("… ");
  for (const match of excerpt.matchAll(anyWord)) {
    paragraph.append(excerpt.slice(end, match.index));
    element(paragraph, "mark", match[0]);
    end = match.index + match[0].length;
  }
  paragraph.append(excerpt.slice(end), start + 240 < text.length ? " …" : "");
}

if (words.length) {
  document.querySelector("#search-query").value = query;
  const found = SECTIONS.map((section) => [score(section), section])
    .filter(([points]) => points)
    .sort(([a], [b]) => b - a);
  const list = document.querySelector("#search-results");
  for (const [, [url, page, title, prose, code]] of found) {
    const item = element(list, "li");
    const [path, anchor] = url.split("#");
    const link = element(item, "a", title === page ? page : `${page}: ${title}`);
    link.href = `${path}?highlight=${encodeURIComponent(query)}#${anchor}`;
    showExcerpt(item, prose.search(anyWord) < 0 && code.search(anyWord) >= 0 ? code : prose);
  }
  const count = found.length === 1 ? "1 section" : `${found.length} sections`;
  document.querySelector("#search-status").textContent = `${count} found for “${query}”.`;
}
