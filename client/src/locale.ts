/** The language of every text on the page: its words are English, so its dates, numbers and units are too. */

/** The kind of English the reader's browser asks for, whatever else it prefers; British where it asks for none. */
export function localeOf(languages: readonly string[]): string {
  return languages.find((language) => /^en(-|$)/i.test(language)) ?? "en-GB";
}

export const LOCALE = localeOf(globalThis.navigator?.languages ?? []);
