// A zip archive of a few small texts, stored without compression: enough for a plugin to download, nothing to load for it.
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});

export function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = (TABLE[(c ^ byte) & 0xff] ?? 0) ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

const le = (...fields: [value: number, bytes: number][]) => {
  const out: number[] = [];
  for (const [value, bytes] of fields) for (let at = 0; at < bytes; at += 1) out.push((value >>> (8 * at)) & 0xff);
  return Uint8Array.from(out);
};

/** 1980-01-01, the format's first day: the same files give the same archive. */
const [TIME, DATE] = [0, 33] as const;

export function zip(files: Record<string, string>): Blob {
  const text = new TextEncoder();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const central: Uint8Array<ArrayBuffer>[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const path = text.encode(name);
    const body = text.encode(content);
    const common: [number, number][] = [
      [20, 2],
      [0x0800, 2],
      [0, 2],
      [TIME, 2],
      [DATE, 2],
      [crc32(body), 4],
      [body.length, 4],
      [body.length, 4],
      [path.length, 2],
      [0, 2],
    ];
    const head = le([0x04034b50, 4], ...common);
    central.push(le([0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]), path);
    parts.push(head, path, body);
    offset += head.length + path.length + body.length;
  }
  const size = central.reduce((sum, part) => sum + part.length, 0);
  const entries = Object.keys(files).length;
  const end = le([0x06054b50, 4], [0, 2], [0, 2], [entries, 2], [entries, 2], [size, 4], [offset, 4], [0, 2]);
  return new Blob([...parts, ...central, end], { type: 'application/zip' });
}
