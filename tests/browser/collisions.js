// Texts of the stage that lie upon others, upon a control or a screen, or outside of the window.

() => {
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const parent = node.parentElement;
    const text = node.data.trim();
    if (!text || parent.closest(".dot, option, script, .unseen") || !parent.checkVisibility()) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const heading = parent.closest("figcaption")?.getBoundingClientRect(); // its text ends in an ellipsis
    for (const box of parent.closest("svg") ? [parent.getBoundingClientRect()] : range.getClientRects()) {
      const inset = box.height * 0.15; // a line is higher than its letters
      const right = Math.min(box.right, heading?.right ?? Infinity);
      texts.push({ text, parent, edges: [box.left + 0.5, box.top + inset, right - 0.5, box.bottom - inset] });
    }
  }
  const things = [...document.querySelectorAll("button, select, .screen, .cell")].filter((one) => one.checkVisibility());
  const boxes = things.map((parent) => {
    const { left, top, right, bottom } = parent.getBoundingClientRect();
    return { text: `<${parent.tagName} ${parent.id} ${parent.classList}>`, parent, edges: [left, top, right, bottom] };
  });
  const outside = ({ edges: [left, top, right, bottom] }) => left < 0 || top < 0 || right > innerWidth || bottom > innerHeight;
  const found = texts.filter(outside).map(({ text }) => `${text}: outside`);
  texts.forEach((one, at) => {
    for (const other of [...texts.slice(at + 1), ...boxes]) {
      if (other.parent === one.parent || other.parent.contains(one.parent)) continue;
      const [a, b] = [one.edges, other.edges];
      if (a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]) found.push(`${one.text} / ${other.text}`);
    }
  });
  return found;
};
