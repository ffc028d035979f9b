// Reads plots off under the pointer. Everything is on the page without it.
(() => {
  const reading = document.body.appendChild(document.createElement("div"));
  reading.id = "reading";
  reading.hidden = true;
  const scale = (text) => {
    const [kind, low, high, from, to] = text.split(" ").map((part, index) => (index ? Number(part) : part));
    return { from, to, value: (px) => {
      const measure = low + ((px - from) / (to - from)) * (high - low);
      return kind === "linear" ? measure : kind === "log" ? 10 ** measure : 1 - 10 ** -measure;
    } };
  };
  const digits = (value) => value.toPrecision(3).replace(/\.?0+$/, (zeros) => (zeros.includes(".") ? "" : zeros));
  const latency = (us) => (us < 999.5 ? digits(us) + " µs" : us < 999500 ? digits(us / 1e3) + " ms" : digits(us / 1e6) + " s");
  const percentile = (share) => "p" + String(Number((share * 100).toPrecision(share < 0.9 ? 2 : 7).slice(0, 8)));
  const heightAt = (line, x) => {
    for (let index = 1; index < line.length; index++) {
      const [x1, y1] = line[index - 1], [x2, y2] = line[index];
      if (x1 <= x && x <= x2) return x1 === x2 ? y2 : y1 + ((x - x1) / (x2 - x1)) * (y2 - y1);
    }
    return null;
  };
  for (const plot of document.querySelectorAll("svg[data-x]")) {
    const x = scale(plot.dataset.x), y = scale(plot.dataset.y);
    const lines = [...plot.querySelectorAll("polyline[data-label]")].map((line) => ({
      label: line.dataset.label,
      points: line.getAttribute("points").split(" ").map((point) => point.split(",").map(Number)),
    }));
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("visibility", "hidden");
    plot.append(cursor);
    // The browser would show the title over what is read off.
    const title = plot.querySelector(":scope > title");
    plot.setAttribute("aria-label", title.textContent);
    plot.removeAttribute("aria-labelledby");
    plot.setAttribute("aria-describedby", title.id.replace(/-t$/, "-d"));
    title.remove();
    plot.addEventListener("pointermove", (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
      const at = Math.min(Math.max(place.x, x.from), x.to);
      const read = lines.map(({ label, points }) => [label, heightAt(points, at)]).filter(([, height]) => height !== null);
      reading.replaceChildren(percentile(x.value(at)));
      for (const [label, height] of read) {
        reading.append(document.createElement("br"), `${latency(y.value(height))}  ${label}`);
      }
      for (const [name, value] of [["x1", at], ["x2", at], ["y1", Math.min(y.from, y.to)], ["y2", Math.max(y.from, y.to)]]) {
        cursor.setAttribute(name, value);
      }
      cursor.setAttribute("visibility", "visible");
      reading.hidden = false;
      const left = Math.min(event.clientX + 14, innerWidth - reading.offsetWidth - 6);
      reading.style.left = Math.max(4, left) + "px";
      reading.style.top = Math.min(event.clientY + 14, innerHeight - reading.offsetHeight - 6) + "px";
    });
    plot.addEventListener("pointerleave", () => {
      cursor.setAttribute("visibility", "hidden");
      reading.hidden = true;
    });
  }
})();
