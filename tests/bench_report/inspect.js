// What is wrong with the page as it is laid out now, one line each. Evaluated in the page.
(() => {
  const wrong = [];
  const where = (element) => `${element.closest("[id]")?.id}, ${element.localName}`;
  const say = (what, element) => wrong.push(`${what} (${where(element)}): ${(element.textContent || element.outerHTML).trim().slice(0, 60)}`);
  const seen = (element) => element.checkVisibility({ contentVisibilityAuto: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(seen);

  if (document.documentElement.scrollWidth > innerWidth) wrong.push(`the page is ${document.documentElement.scrollWidth} wide`);
  const inScroll = (element) => element.closest(".scroll");
  for (const element of all("body *:not(svg *)")) {
    const box = element.getBoundingClientRect();
    if (!inScroll(element) && box.width && (box.right > innerWidth + 1 || box.left < -1)) say("beyond the edge", element);
  }
  // A text is wider than what holds it.
  for (const element of all("h1, h2, h3, p, figcaption, li, td, th, pre, summary")) {
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth) say(`text runs over by ${element.scrollWidth - element.clientWidth}`, element);
  }
  for (const section of all("main > section")) {
    const box = section.getBoundingClientRect();
    if (box.width < 200 || box.height < 40) say(`the section ${section.id} is ${box.width} x ${box.height}`, section);
  }

  const overlap = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1.5 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3;
  for (const plot of all("figure svg")) {
    const frame = plot.getBoundingClientRect();
    const name = plot.querySelector("desc").id;
    if (frame.width < 200 || frame.height < 15) wrong.push(`${name} is ${frame.width} x ${frame.height}`);
    if (![...plot.querySelectorAll("[class]")].some((mark) => /\bs\d\b/.test(mark.getAttribute("class")))) wrong.push(`${name} has no marks`);
    for (const mark of plot.querySelectorAll("polyline, rect, circle, line, text")) {
      const numbers = [...mark.attributes].filter(({ name }) => /^(x|y|cx|cy|x1|x2|y1|y2|width|height|points)$/.test(name));
      if (numbers.some(({ value }) => /NaN|inf/i.test(value))) say(`${name}: no number in`, mark);
    }
    const texts = [...plot.querySelectorAll("text")].filter((text) => text.textContent).map((text) => [text, text.getBoundingClientRect()]);
    texts.forEach(([text, box], index) => {
      if (box.left < frame.left - 1.5 || box.right > frame.right + 1.5 || box.top < frame.top - 1.5 || box.bottom > frame.bottom + 1.5) say(`${name}: outside the plot`, text);
      for (const [other, otherBox] of texts.slice(index + 1)) {
        if (overlap(box, otherBox)) wrong.push(`${name}: "${text.textContent}" lies over "${other.textContent}"`);
      }
    });
  }
  // Words beside each other in the text around: sections, captions and rows must not lie over each other.
  const blocks = all("h1, .lede, .command, nav li, .alarm, .warning, h2, h3, .note, .key, figure, summary, .verdict");
  blocks.forEach((block, index) => {
    const box = block.getBoundingClientRect();
    for (const other of blocks.slice(index + 1)) {
      if (!block.contains(other) && overlap(box, other.getBoundingClientRect())) say(`lies over "${other.textContent.slice(0, 30)}"`, block);
    }
  });

  const luminance = (colour) => {
    const parts = colour.match(/[\d.]+/g).map(Number).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const contrast = (colour) => (Math.max(luminance(colour), paper) + 0.05) / (Math.min(luminance(colour), paper) + 0.05);
  for (const element of all("body *")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const style = getComputedStyle(element);
    const colour = element.matches("svg text") ? style.fill : style.color;
    if (element.matches("svg text, :not(svg *)") && contrast(colour) < 4.5) say(`contrast ${contrast(colour).toFixed(1)}`, element);
  }
  return wrong;
})()
