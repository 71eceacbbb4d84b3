// PNG with a palette: a screenshot of few colours in a quarter of the bytes. Reads 8-bit RGB and
// RGBA without interlacing, as browsers write it; colours are chosen by median cut (Heckbert 1982).
import { deflateSync, inflateSync, crc32 as nativeCrc } from 'node:zlib';

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

function decode(png) {
  let [width, height, channels] = [0, 0, 0];
  const data = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const type = png.toString('latin1', at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (type === 'IHDR') {
      [width, height] = [body.readUInt32BE(0), body.readUInt32BE(4)];
      channels = { 2: 3, 6: 4 }[body[9]];
      if (body[8] !== 8 || channels === undefined || body[12] !== 0)
        throw new Error('not an 8-bit RGB or RGBA image');
    } else if (type === 'IDAT') data.push(body);
    at += 12 + length;
  }
  const raw = inflateSync(Buffer.concat(data));
  const stride = width * channels;
  const pixels = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= channels ? pixels[y * stride + x - channels] : 0;
      const up = y > 0 ? pixels[(y - 1) * stride + x] : 0;
      const corner = x >= channels && y > 0 ? pixels[(y - 1) * stride + x - channels] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = up;
      else if (filter === 3) guess = (left + up) >> 1;
      else if (filter === 4) {
        const p = left + up - corner;
        const [a, b, c] = [Math.abs(p - left), Math.abs(p - up), Math.abs(p - corner)];
        guess = a <= b && a <= c ? left : b <= c ? up : corner;
      }
      pixels[y * stride + x] = (raw[y * (stride + 1) + 1 + x] + guess) & 255;
    }
  }
  return { width, height, channels, pixels };
}

function palette(counts) {
  let boxes = [
    [...counts].map(([colour, count]) => ({
      rgb: [colour >> 16, (colour >> 8) & 255, colour & 255],
      count,
    })),
  ];
  const spread = (box) => {
    const ranges = [0, 1, 2].map(
      (i) => Math.max(...box.map(({ rgb }) => rgb[i])) - Math.min(...box.map(({ rgb }) => rgb[i])),
    );
    const axis = ranges.indexOf(Math.max(...ranges));
    return {
      axis,
      score: ranges[axis] * Math.sqrt(box.reduce((sum, { count }) => sum + count, 0)),
    };
  };
  while (boxes.length < 256) {
    const scored = boxes
      .map((box) => ({ box, ...spread(box) }))
      .filter(({ box, score }) => box.length > 1 && score > 0);
    if (scored.length === 0) break;
    const { box, axis } = scored.reduce((a, b) => (b.score > a.score ? b : a));
    box.sort((a, b) => a.rgb[axis] - b.rgb[axis]);
    const half = box.reduce((sum, { count }) => sum + count, 0) / 2;
    let [cut, sum] = [0, 0];
    while (cut < box.length - 1 && sum < half) sum += box[cut++].count;
    boxes = [
      ...boxes.filter((one) => one !== box),
      box.slice(0, Math.max(1, cut)),
      box.slice(Math.max(1, cut)),
    ];
  }
  return boxes.map((box) => {
    const total = box.reduce((sum, { count }) => sum + count, 0);
    return [0, 1, 2].map((i) =>
      Math.round(box.reduce((sum, { rgb, count }) => sum + rgb[i] * count, 0) / total),
    );
  });
}

function crc(bytes) {
  if (nativeCrc !== undefined) return nativeCrc(bytes);
  let c = ~0;
  for (const byte of bytes) {
    c ^= byte;
    for (let k = 0; k < 8; k++) c = (c >>> 1) ^ (c & 1 ? 0xedb88320 : 0);
  }
  return ~c >>> 0;
}

function chunk(type, body) {
  const out = Buffer.alloc(12 + body.length);
  out.writeUInt32BE(body.length, 0);
  out.write(type, 4, 'latin1');
  body.copy(out, 8);
  out.writeUInt32BE(crc(out.subarray(4, 8 + body.length)), 8 + body.length);
  return out;
}

/** The same picture with at most 256 colours. */
export function encodeIndexed(png) {
  const { width, height, channels, pixels } = decode(png);
  const counts = new Map();
  for (let at = 0; at < pixels.length; at += channels) {
    const colour = (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2];
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const colours = palette(counts);
  const nearest = new Map();
  for (const colour of counts.keys()) {
    const [r, g, b] = [colour >> 16, (colour >> 8) & 255, colour & 255];
    let [best, distance] = [0, Infinity];
    colours.forEach(([pr, pg, pb], i) => {
      const d = (r - pr) ** 2 + (g - pg) ** 2 + (b - pb) ** 2;
      if (d < distance) [best, distance] = [i, d];
    });
    nearest.set(colour, best);
  }
  const raw = Buffer.alloc((width + 1) * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * channels;
      raw[y * (width + 1) + 1 + x] = nearest.get(
        (pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2],
      );
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const table = Buffer.from(colours.flat());
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', header),
    chunk('PLTE', table),
    chunk('IDAT', deflateSync(raw, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
