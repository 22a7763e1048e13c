import { expect, it } from "vitest";
import { localeOf } from "./locale";

/** The text of every module, by its path below this folder. */
const SOURCES = import.meta.glob<string>(["./**/*.ts", "./**/*.tsx", "!./**/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

it("is English of the kind the reader has, and never another language", () => {
  expect(localeOf(["de-DE", "de", "en-US", "en"])).toBe("en-US");
  expect(localeOf(["en"])).toBe("en");
  expect(localeOf(["de-DE", "eng", "x-en"])).toBe("en-GB");
});

it("is given wherever the browser's own language would be taken", () => {
  const calls = /toLocale\w*String\(\s*(\)|undefined)|new Intl\.\w+Format\(\s*(\)|undefined)/g;
  const found = Object.entries(SOURCES).flatMap(([path, text]) => {
    return [...text.matchAll(calls)].map(([call]) => `${path}: ${call}`);
  });
  expect(found).toEqual([]);
});
