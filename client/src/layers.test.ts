import { expect, it } from "vitest";

/** The text of every module, by its path below this folder. */
const SOURCES = import.meta.glob<string>(["./*/**/*.ts", "./*/**/*.tsx", "!./**/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

/** The folders that each folder imports from. */
function importsByFolder(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const [path, text] of Object.entries(SOURCES)) {
    const folder = path.split("/")[1] ?? "";
    const others = found.get(folder) ?? new Set<string>();
    found.set(folder, others);
    for (const [, other] of text.matchAll(/from "\.\.\/(\w+)\//g)) {
      if (other !== undefined && other !== folder) others.add(other);
    }
  }
  return found;
}

it("imports no folder in a circle", () => {
  const left = importsByFolder();
  expect(left.size).toBeGreaterThan(5);
  for (let before = 0; before !== left.size; ) {
    before = left.size;
    for (const [folder, others] of left) {
      if (![...others].some((other) => left.has(other))) left.delete(folder);
    }
  }
  expect([...left.keys()]).toEqual([]);
});
