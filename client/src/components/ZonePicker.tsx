import type { Page } from "../state/usePage";
import { goTo } from "../state/useView";
import { unitOf } from "../time/civil";
import type { RangeChoice } from "../time/range";
import { browserZone, offsetLabel, wallOf } from "../time/zone";

const UTC = "UTC";
const OWN = "own";

/** `Europe/Berlin (UTC+1)`. */
function zoneText(zone: string, instant: number): string {
  const offset = offsetLabel(instant, zone);
  return offset === zone ? zone : `${zone.replaceAll("_", " ")} (${offset})`;
}

/** What the address says of the range once another zone is chosen: a day of the calendar stays that day. */
function keptRange({ choice, asked, zone }: Page): RangeChoice | null {
  if (choice?.kind !== "span" || choice.wall || unitOf(asked, zone) === null) return choice;
  const { start, end } = asked;
  return { kind: "span", span: { start: wallOf(start, zone), end: wallOf(end, zone) }, wall: true };
}

/** Whose clock the times are of. */
export function ZonePicker({ page, single }: { page: Page; single: boolean }) {
  const { people, nameOf, recordOf, clocks, asked, zoneSaid } = page;
  const mine = browserZone();
  const theirs = [...new Set(people.map((id) => recordOf(id)?.time_zone ?? mine))];
  const [first = mine] = theirs;
  const at = asked.end - 1;
  const whose = people.length === 1 ? `${nameOf(people[0] ?? "")}\u2019s` : "Everybody\u2019s";
  const own = theirs.length > 1 ? "Everybody\u2019s own clock" : `${whose}: ${zoneText(first, at)}`;
  const named = new Set([UTC, mine, ...(theirs.length > 1 ? theirs : [])]);
  if (zoneSaid.zone !== null) named.add(zoneSaid.zone);
  const value = zoneSaid.zone ?? (clocks !== null || zoneSaid.own || single ? OWN : mine);
  return (
    <label className="zone-picker">
      <span className="faint">Times</span>
      <select
        className="field"
        value={value}
        onChange={({ target }) => {
          const chosen = target.value;
          const range = keptRange(page);
          const next = chosen === OWN ? { zone: null, own: true } : { zone: chosen, own: false };
          goTo({ ...next, ...(range ? { range } : {}) });
        }}
      >
        {people.length > 0 && <option value={OWN}>{own}</option>}
        {[...named].map((zone) => (
          <option key={zone} value={zone}>
            {zone === mine ? `Mine: ${zoneText(zone, at)}` : zoneText(zone, at)}
          </option>
        ))}
      </select>
    </label>
  );
}
