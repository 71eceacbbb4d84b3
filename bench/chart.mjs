// A line chart as an SVG that reads well on light and dark pages. Enough for a few curves; no
// dependency.

const COLORS = ['#2f6fdb', '#d9622b', '#2a9d6f', '#8e5bd0', '#c0392b'];
const escapeXml = (text) =>
  String(text).replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);

/** Round numbers that cover [low, high] in about `count` steps. */
function ticks(low, high, count = 5) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => span / s <= count);
  const out = [];
  for (let x = Math.ceil(low / step) * step; x <= high + 1e-9; x += step)
    out.push(Number(x.toPrecision(12)));
  return out;
}

/**
 * @param {{title: string, xLabel: string, series: {name: string, points: [number, number][]}[]}}
 * chart
 */
export function lineChart({ title, xLabel, series }) {
  const [width, height, left, right, top, bottom] = [640, 320, 48, 16, 40, 44];
  const xs = series.flatMap((s) => s.points.map((p) => p[0]));
  const ys = series.flatMap((s) => s.points.map((p) => p[1]));
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  const margin = (Math.max(...ys) - Math.min(...ys)) * 0.05 || 1;
  const [y0, y1] = [Math.max(0, Math.min(...ys) - margin), Math.max(...ys) + margin];
  const x = (v) => left + ((v - x0) / (x1 - x0 || 1)) * (width - left - right);
  const y = (v) => height - bottom - ((v - y0) / (y1 - y0 || 1)) * (height - top - bottom);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${escapeXml(title)}">`,
    `<rect width="${width}" height="${height}" rx="6" fill="#fbfbfa"/>`,
    `<text x="${left}" y="22" font-size="14" font-weight="600" fill="#222">${escapeXml(title)}</text>`,
  ];
  for (const v of ticks(y0, y1)) {
    parts.push(`<path d="M${left} ${y(v).toFixed(1)}H${width - right}" stroke="#ddd"/>`);
    parts.push(
      `<text x="${left - 6}" y="${(y(v) + 4).toFixed(1)}" text-anchor="end" fill="#555">${v}</text>`,
    );
  }
  for (const v of ticks(x0, x1)) {
    parts.push(
      `<text x="${x(v).toFixed(1)}" y="${height - bottom + 16}" text-anchor="middle" fill="#555">${v}</text>`,
    );
  }
  parts.push(
    `<text x="${(width + left) / 2}" y="${height - 8}" text-anchor="middle" fill="#555">${escapeXml(xLabel)}</text>`,
  );
  series.forEach((s, i) => {
    const color = COLORS[i % COLORS.length];
    const d = s.points
      .map(([px, py], j) => `${j ? 'L' : 'M'}${x(px).toFixed(1)} ${y(py).toFixed(1)}`)
      .join('');
    parts.push(`<path d="${d}" fill="none" stroke="${color}" stroke-width="1.6"/>`);
    const at = width - right - 90 * (series.length - i);
    parts.push(
      `<path d="M${at} 18h16" stroke="${color}" stroke-width="3"/><text x="${at + 22}" y="22" fill="#333">${escapeXml(s.name)}</text>`,
    );
  });
  parts.push('</svg>');
  return `${parts.join('\n')}\n`;
}
