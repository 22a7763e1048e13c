/** What a device, an app or a terminal needs to send readings to this server. */
import { instantText } from "../../time/range";

export interface Command {
  label: string;
  text: string;
}

export interface Sender {
  /** Where the server is reached. */
  origin: string;
  user: string;
  /** Null where none is needed. */
  key: string | null;
  now: number;
}

/** A text as one word of a shell. */
function quoted(text: string): string {
  return /^[\w./:@%?=&-]+$/.test(text) && !text.includes("&")
    ? text
    : `'${text.replaceAll("'", "'\\''")}'`;
}

export function commandsFor({ origin, user, key, now }: Sender): Command[] {
  const at = instantText(Math.floor(now / 1000) * 1000);
  const reading = { user_id: user, device_id: "strap", timestamp: at, heart_rate: 61 };
  const bearer = `Authorization: Bearer ${key}`;
  const header = key === null ? "" : ` \\\n  -H ${quoted(bearer)}`;
  const who = encodeURIComponent(user);
  return [
    {
      label: "One reading, in a terminal",
      text:
        `curl ${quoted(`${origin}/v1/metrics/heart-rate`)}${header} \\\n` +
        `  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(reading))}`,
    },
    {
      label: "iPhone, Health Auto Export: URL of a REST API automation",
      text: `${origin}/v1/push/health-auto-export?user_id=${who}`,
    },
    {
      label: "Android, HC Webhook: webhook URL",
      text: `${origin}/v1/push/health-connect?user_id=${who}&device_id=phone`,
    },
    ...(key === null ? [] : [{ label: "Both apps: header", text: bearer }]),
  ];
}
