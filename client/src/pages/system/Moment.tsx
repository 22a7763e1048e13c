import { clockLabel, dateLabel } from "../../charts/labels";
import { agoLabel } from "../../figures/words";
import { browserZone } from "../../time/zone";

/** How long ago something was; when exactly, on pointing at it. */
export function Moment({ at, now }: { at: number; now: number }) {
  const zone = browserZone();
  return (
    <span className="moment" title={`${dateLabel(at, zone)}, ${clockLabel(at, zone)}`}>
      {agoLabel(Math.min(at, now), now)}
    </span>
  );
}
