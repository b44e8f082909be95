"use strict";
(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const find = (id) => document.getElementById(id);
  const STEP = 12;
  let shown = STEP;

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };

  const photo = (row) => {
    const { id, src } = content.images[row];
    const figure = element("figure", "photo");
    if (src) {
      const image = element("img");
      image.src = src;
      image.alt = `image ${id}`;
      image.loading = "lazy";
      figure.append(image);
    } else {
      figure.append(element("div", "none", `no picture of ${id}`));
    }
    figure.append(element("figcaption", "", id));
    return figure;
  };

  const answer = (way, row, isRight, place) => {
    const item = element("li", isRight ? "is-right" : "");
    if (way === "i2t") {
      item.append(`${place}. ${content.captions[row]}`);
    } else {
      item.append(photo(row));
    }
    if (isRight) item.append(element("span", "right", " ✓ right"));
    return item;
  };

  const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(1));

  const card = (query) => {
    const item = element("li", "query");
    item.dataset.way = query.way;
    const left = element("div");
    const heading = element("h3", "", query.way === "i2t" ? "image to text, " : "text to image, ");
    heading.append(element("span", "rank", `rank ${number(query.rank)}`));
    left.append(heading);
    left.append(query.way === "i2t" ? photo(query.row) : element("p", "", content.captions[query.row]));
    const right = element("div");
    right.append(element("h3", "", "First five"));
    const list = element("ol", query.way === "i2t" ? "answers text" : "answers");
    query.top.forEach((row, at) => list.append(answer(query.way, row, query.right[at], at + 1)));
    right.append(list);
    if (!query.right.some(Boolean)) {
      const wanted = element("div", "wanted");
      wanted.append(element("h3", "", `Best right answer, at rank ${number(query.rank)}`));
      wanted.append(query.way === "i2t" ? element("p", "", content.captions[query.best]) : photo(query.best));
      right.append(wanted);
    }
    item.append(left, right);
    return item;
  };

  const words = (query) => {
    const rows = [query.best, ...query.top];
    const texts = query.way === "i2t" ? rows.map((row) => content.captions[row]) : rows.map((row) => content.images[row].id);
    texts.push(query.way === "i2t" ? content.images[query.row].id : content.captions[query.row]);
    return texts.join("\n").toLowerCase();
  };
  content.queries.forEach((query) => { query.words = words(query); });

  const chosen = () => {
    const way = find("way").value;
    const text = find("text").value.trim().toLowerCase();
    const low = Number(find("low").value) || 1;
    const high = Number(find("high").value) || Infinity;
    const sign = find("order").value === "easy" ? 1 : -1;
    return content.queries
      .filter((query) => (!way || query.way === way) && query.rank >= low && query.rank <= high && query.words.includes(text))
      .sort((a, b) => sign * (a.rank - b.rank));
  };

  const render = () => {
    const found = chosen();
    find("queries").replaceChildren(...found.slice(0, shown).map(card));
    const visible = Math.min(shown, found.length);
    find("count").textContent = found.length
      ? `${visible} of ${found.length} queries. The page holds the hardest of each direction.`
      : "No query fits. Clear the filters, or look for another word.";
    find("more").hidden = visible >= found.length;
  };
  const restart = () => { shown = STEP; render(); };
  for (const kind of ["input", "change"]) find("filters").addEventListener(kind, restart);
  find("filters").addEventListener("submit", (event) => event.preventDefault());
  find("filters").addEventListener("reset", () => setTimeout(restart));
  find("more").addEventListener("click", () => { shown += STEP; render(); });

  for (const [way, label, items] of [["t2i", "Images that too many captions find", "images"], ["i2t", "Captions that too many images find", "captions"]]) {
    const hubs = content.hubs[way];
    const part = element("div");
    part.append(element("h3", "", label));
    part.append(element("p", "", `Mean: in ${hubs.expected.toFixed(1)} of ${hubs.queries.toLocaleString("en")} top-${hubs.k} lists; ${hubs.never.toLocaleString("en")} of ${hubs.candidates.toLocaleString("en")} ${items} are in none. Skewness ${hubs.skewness.toFixed(1)} (0: no hubs).`));
    const list = element("ol", way === "i2t" ? "answers text" : "answers");
    for (const hub of hubs.hubs) {
      const item = element("li");
      const count = `in ${hub.count} lists, ${hub.share.toFixed(1)} %`;
      if (way === "i2t") {
        item.append(content.captions[hub.row], element("small", "", count));
      } else {
        item.append(photo(hub.row), element("small", "", count));
      }
      list.append(item);
    }
    part.append(list);
    find("hubs").append(part);
  }

  const theme = (dark) => {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    find("theme").textContent = dark ? "Light" : "Dark";
    find("theme").setAttribute("aria-pressed", String(dark));
  };
  theme(matchMedia("(prefers-color-scheme: dark)").matches);
  find("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
  render();
})();
