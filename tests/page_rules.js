// What a reader would stumble over: each rule gives a list of complaints about the page as it is shown now.
({
  overflow() {
    const width = document.documentElement.clientWidth, found = [];
    if (document.documentElement.scrollWidth > width) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
    for (const e of document.querySelectorAll("body *")) {
      const box = e.getBoundingClientRect();
      if (box.width && !e.closest(".scroll") && box.right > width + 1) found.push(`${e.tagName} ${e.id} ends at ${box.right}`);
    }
    return found.slice(0, 5);
  },
  overlap() {
    const found = [];
    for (const svg of document.querySelectorAll("svg")) {
      const frame = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll("text")].map((e) => [e.textContent, e.getBoundingClientRect()]).filter(([, b]) => b.width);
      texts.forEach(([name, b], k) => {
        if (b.left < frame.left - 1 || b.right > frame.right + 1 || b.top < frame.top - 1 || b.bottom > frame.bottom + 1)
          found.push(`${name} is cut off`);
        for (const [other, c] of texts.slice(0, k))
          if (b.left < c.right - 1 && c.left < b.right - 1 && b.top < c.bottom - 2 && c.top < b.bottom - 2) found.push(`${name} on ${other}`);
      });
    }
    return found.slice(0, 5);
  },
  contrast() {
    const parse = (color) => { const p = color.match(/[\d.]+/g).map(Number); return [p[0], p[1], p[2], p.length > 3 ? p[3] : 1]; };
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
    const behind = (e) => e ? over(parse(getComputedStyle(e).backgroundColor), behind(e.parentElement)) : [255, 255, 255];
    const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const e = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE"].includes(e.tagName) || !e.getClientRects().length) continue;
      const style = getComputedStyle(e), background = behind(e);
      const color = over(parse(e.closest("svg") ? style.fill : style.color), background);
      const [a, b] = [light(color), light(background)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${e.tagName}.${e.className.baseVal ?? e.className} ${walker.currentNode.textContent.slice(0, 20)}`);
    }
    return found.slice(0, 5);
  },
  accessible() {
    const found = [], all = (s) => [...document.querySelectorAll(s)];
    if (!document.documentElement.lang) found.push("no language");
    if (!document.title) found.push("no title");
    if (all("main").length !== 1 || all("h1").length !== 1) found.push("not one main part and one heading of the first level");
    if (!document.querySelector('meta[name=viewport]') || /maximum-scale|user-scalable/.test(document.querySelector('meta[name=viewport]').content))
      found.push("cannot be zoomed");
    let level = 0;
    for (const h of all("h1, h2, h3, h4")) { const n = Number(h.tagName[1]); if (n > level + 1) found.push(`${h.textContent} skips a level`); level = n; }
    for (const e of all("svg, [role=img], [role=group], nav")) if (!e.ariaLabel && !e.getAttribute("aria-label")) found.push(`${e.tagName} has no name`);
    for (const e of all("input, select, textarea")) if (!e.labels.length) found.push(`${e.id} has no label`);
    for (const e of all("button, a[href], summary")) if (!e.textContent.trim()) found.push(`${e.tagName} says nothing`);
    for (const e of all("a[href^='#']")) if (!document.getElementById(e.getAttribute("href").slice(1))) found.push(`${e.href} leads nowhere`);
    for (const e of all("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) found.push("labelled by nothing");
    for (const e of all("*")) if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible" && e.tabIndex < 0)
      found.push(`${e.tagName}.${e.className} scrolls and cannot be reached by the keyboard`);
    for (const e of all("th")) if (!e.textContent.trim()) found.push("an empty heading in a table");
    for (const e of all("[tabindex]")) if (e.tabIndex > 0) found.push("an order of its own for the keyboard");
    for (const e of all("table")) if (!e.querySelector("th")) found.push("a table without headings");
    const ids = all("[id]").map((e) => e.id);
    if (new Set(ids).size !== ids.length) found.push("an id occurs twice");
    return found.slice(0, 8);
  },
})
