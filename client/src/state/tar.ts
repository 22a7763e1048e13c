/**
 * Many files as one: a tar archive (POSIX ustar), made of slices of the files, so that nothing is read before it is
 * sent. A folder is one import then, with one summary.
 */

export interface Packed {
  /** The path within the folder, with `/` between its parts. */
  path: string;
  file: Blob & { lastModified?: number };
}

const BLOCK = 512;
const NAME_BYTES = 100;
const SIZE_DIGITS = 11;
/** From here on a size does not fit the digits it has, and is written in base 256. */
const MOST_OCTAL = 8 ** SIZE_DIGITS;
const text = new TextEncoder();

function padding(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array((BLOCK - (length % BLOCK)) % BLOCK);
}

function writeSize(header: Uint8Array, size: number): void {
  if (size < MOST_OCTAL) {
    header.set(text.encode(size.toString(8).padStart(SIZE_DIGITS, "0")), 124);
    return;
  }
  header[124] = 0x80;
  for (let at = 135, rest = size; rest > 0; at -= 1, rest = Math.floor(rest / 256)) {
    header[at] = rest % 256;
  }
}

function headerOf(
  name: Uint8Array,
  size: number,
  kind: string,
  modifiedMs: number,
): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(BLOCK);
  const put = (at: number, value: string) => header.set(text.encode(value), at);
  header.set(name.subarray(0, NAME_BYTES), 0);
  put(100, "0000644\x000000000\x000000000\0");
  writeSize(header, size);
  put(
    136,
    Math.max(0, Math.floor(modifiedMs / 1000))
      .toString(8)
      .padStart(SIZE_DIGITS, "0"),
  );
  put(148, " ".repeat(8));
  put(156, kind);
  put(257, "ustar\x0000");
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(148, `${sum.toString(8).padStart(6, "0")}\0 `);
  return header;
}

/** `27 path=a/b\n`: the length counts itself. */
function record(path: string): Uint8Array<ArrayBuffer> {
  const rest = text.encode(` path=${path}\n`).length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length = String(length).length + rest;
  return text.encode(`${length} path=${path}\n`);
}

/** The archive of these files. Long names, and those that are not ASCII, stand in headers of their own (pax). */
export function tarOf(files: readonly Packed[]): Blob {
  const parts: BlobPart[] = [];
  for (const { path, file } of files) {
    const name = text.encode(path);
    if (name.length > NAME_BYTES || name.length !== path.length) {
      const said = record(path);
      parts.push(headerOf(text.encode("path"), said.length, "x", 0), said, padding(said.length));
    }
    parts.push(headerOf(name, file.size, "0", file.lastModified ?? 0), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}
