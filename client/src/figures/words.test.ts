import { describe, expect, it } from "vitest";
import {
  agoLabel,
  beatsLabel,
  decimalLabel,
  durationLabel,
  minutesLabel,
  pluralLabel,
  shareLabel,
  sizeLabel,
} from "./words";

describe("words", () => {
  it("say lengths in their two largest units", () => {
    expect(durationLabel(2 * 3_600_000 + 5 * 60_000 + 7000, "en")).toBe("2 hr 5 min");
    expect(durationLabel(3 * 86_400_000, "en")).toBe("3 days");
    expect(durationLabel(400, "en")).toBe("0 sec");
    expect(durationLabel(90_000, "de")).toBe("1 Min. 30 Sek.");
    expect(minutesLabel(0, "en")).toBe("0");
  });

  it("say ages and sizes as the language has them", () => {
    expect(agoLabel(0, 5 * 60_000, "en")).toBe("5 minutes ago");
    expect(agoLabel(7_200_000, 0, "en")).toBe("in 2 hours");
    expect(agoLabel(0, 300, "en")).toBe("now");
    expect(sizeLabel(1_234_000_000, "en")).toBe("1.23 GB");
    expect(sizeLabel(0, "en")).toBe("0 byte");
    expect([pluralLabel(1, "day", "days", "en"), pluralLabel(2, "day", "days", "en")]).toEqual([
      "1 day",
      "2 days",
    ]);
    expect([0, 0.0001, 0.0006, 1].map((share) => shareLabel(share, "en"))).toEqual([
      "0%",
      "under 0.1%",
      "0.1%",
      "100%",
    ]);
    expect([beatsLabel(64.5, "en"), beatsLabel(64, "en")]).toEqual(["64.5", "64"]);
    expect([decimalLabel(81, 1, "de"), decimalLabel(81.25, 1, "en")]).toEqual(["81,0", "81.3"]);
  });
});
