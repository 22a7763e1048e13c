import { expect, it } from "vitest";
import { commandsFor } from "./commands";

const NOW = Date.parse("2026-05-01T07:00:00.250Z");

it("writes commands that a shell takes as they are, with the key where one is needed", () => {
  const sender = { origin: "http://127.0.0.1:8000", user: "o'neill@home", key: null, now: NOW };
  const [curl, iphone] = commandsFor(sender);
  expect(curl?.text).toBe(
    "curl http://127.0.0.1:8000/v1/metrics/heart-rate \\\n" +
      "  -H 'Content-Type: application/json' \\\n" +
      `  -d '{"user_id":"o'\\''neill@home","device_id":"strap","timestamp":"2026-05-01T07:00:00Z","heart_rate":61}'`,
  );
  expect(iphone?.text).toContain("?user_id=o'neill%40home");
  const keyed = commandsFor({ ...sender, key: "pulsebase_0" });
  expect(keyed[0]?.text).toContain("-H 'Authorization: Bearer pulsebase_0'");
  expect(keyed.at(-1)?.text).toBe("Authorization: Bearer pulsebase_0");
});
