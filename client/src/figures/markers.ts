/** Answers of the server as marks on a person's chart. */
import type { Connection, Device, Note, Origin, Signal } from "../api/types";
import { dateLabel } from "../charts/labels";
import type { Marker } from "../charts/markers";
import { ruleText } from "./signals";
import { importedName } from "./words";

export function noteMarkers(notes: readonly Note[]): Marker[] {
  return notes.map(({ annotation_id: id, start, end, text }) => ({
    id,
    kind: "note",
    start: Date.parse(start),
    end: end === null ? null : Date.parse(end),
    text,
  }));
}

function deviceMarker(start: number, text: string): Marker {
  return { id: `${start} ${text}`, kind: "device", start, end: null, text };
}

/** Devices that readings were stored from, the earliest first. */
function worn(devices: readonly Device[]) {
  return devices
    .flatMap(({ device_id: id, first_reading: first, last_reading: last }) => {
      return first && last ? [{ id, first: Date.parse(first), last: Date.parse(last) }] : [];
    })
    .sort((a, b) => a.first - b.first);
}

/** Where a further device begins, and where one ends before the last of all. */
export function deviceMarkers(devices: readonly Device[]): Marker[] {
  const all = worn(devices);
  const latest = Math.max(...all.map(({ last }) => last));
  return all.flatMap(({ id, first, last }, place) => [
    ...(place > 0 ? [deviceMarker(first, `First reading of ${id}`)] : []),
    ...(last < latest ? [deviceMarker(last, `Last reading of ${id}`)] : []),
  ]);
}

/** Whether more than one device has readings from within a stretch, as far as their ends tell. */
export function mayChange(devices: readonly Device[], start: number, end: number): boolean {
  return worn(devices).filter(({ first, last }) => first < end && last >= start).length > 1;
}

/** Where the device of a minute's average is another than that of the minute with readings before. */
export function changeMarkers(
  minutes: readonly { timestamp: string; device_id: string }[],
): Marker[] {
  return minutes.flatMap(({ timestamp, device_id: id }, i) => {
    const before = minutes[i - 1]?.device_id ?? id;
    return before === id ? [] : [deviceMarker(Date.parse(timestamp), `From ${before} to ${id}`)];
  });
}

export function sourceMarkers(
  connections: readonly Connection[],
  nameOf: (source: string) => string,
): Marker[] {
  return connections.map(({ source, connected }) => ({
    id: source,
    kind: "source",
    start: Date.parse(connected),
    end: null,
    text: `Connected to ${nameOf(source)}`,
  }));
}

/** Where the readings of each imported file begin, and where they end. */
export function importMarkers(origins: readonly Origin[], zone: string): Marker[] {
  return origins.flatMap(({ id, kind, name, received_at: received, ...stored }) => {
    if (kind !== "import" || name === null || received === null) return [];
    const from = `from ${importedName(name)}, imported ${dateLabel(Date.parse(received), zone)}`;
    const ends = [
      { start: Date.parse(stored.first_reading), text: `First reading ${from}` },
      { start: Date.parse(stored.last_reading), text: `Last reading ${from}` },
    ];
    return (stored.readings === 1 ? ends.slice(0, 1) : ends).map(
      (end): Marker => ({ ...end, id: `${id} ${end.text}`, kind: "import", end: null }),
    );
  });
}

/** The episodes of a person that are open, until now. */
export function signalMarkers(signals: readonly Signal[], userId: string, now: number): Marker[] {
  return signals.flatMap((signal) => {
    return signal.raised
      .filter((episode) => episode.user_id === userId)
      .map((episode): Marker => {
        const start = Date.parse(episode.start);
        const end = Math.max(now, start + 1);
        return { id: signal.signal_id, kind: "signal", start, end, text: ruleText(signal, null) };
      });
  });
}
