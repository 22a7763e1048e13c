import { expect, it } from "vitest";
import { tarOf } from "./tar";

const LONG = `${"a-long-folder/".repeat(10)}heart_rate.json`;

/** The names and texts in an archive, read by the rules of its format alone. */
function membersOf(bytes: Uint8Array): [string, string][] {
  const text = (from: number, to: number) => new TextDecoder().decode(bytes.subarray(from, to));
  const found: [string, string][] = [];
  let told: string | null = null;
  for (let at = 0; bytes[at] !== 0; ) {
    const header = bytes.slice(at, at + 512);
    const sum = Number.parseInt(text(at + 148, at + 154), 8);
    header.fill(32, 148, 156);
    expect(header.reduce((total, byte) => total + byte, 0)).toBe(sum);
    const size = Number.parseInt(text(at + 124, at + 135), 8);
    const body = text(at + 512, at + 512 + size);
    if (text(at + 156, at + 157) === "x") {
      const length = Number.parseInt(body, 10);
      expect(new TextEncoder().encode(body).length).toBe(length);
      told = body.slice(body.indexOf("=") + 1, -1);
    } else {
      found.push([told ?? text(at, at + 100).replace(/\0.*/s, ""), body]);
      told = null;
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return found;
}

it("keeps names and contents of files, however long a name is", async () => {
  const files: [string, string][] = [
    ["Takeout/heart.json", "[]"],
    [LONG, "x".repeat(512)],
    ["Täglich/Puls.csv", ""],
  ];
  const blob = tarOf(files.map(([path, body]) => ({ path, file: new Blob([body]) })));
  const bytes = new Uint8Array(await blob.arrayBuffer());
  expect(bytes.length % 512).toBe(0);
  expect(membersOf(bytes)).toEqual(files);
});
