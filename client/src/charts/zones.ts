/** Methods of heart-rate zones: how the server names them, and what is said of them. */

/** A rule by which the server works zones out from the readings; without one they are those of sources. */
export type ZoneRule = "age" | "karvonen";

export const ZONE_RULES: readonly { id: ZoneRule; label: string }[] = [
  { id: "age", label: "By age (220 − age)" },
  { id: "karvonen", label: "By age and resting heart rate (Karvonen)" },
];

const OWN = "zones-";

/** The method of a rule, as the server names it; null stands for what sources state. */
export function methodOf(rule: ZoneRule | null): string | null {
  return rule && `${OWN}${rule}`;
}

/** Whether zones stated under a name are of the wanted method, or with null of a source. */
export function isOfMethod(stated: string | null, wanted: string | null): boolean {
  return wanted === null ? !stated?.startsWith(OWN) : stated === wanted;
}

export function ruleLabel(rule: ZoneRule | null): string {
  return ZONE_RULES.find(({ id }) => id === rule)?.label ?? "As the source states them";
}

/** Why there are no zones of somebody. `birthDate` is undefined while it is not known. */
export function whyNoZones(
  name: string,
  rule: ZoneRule | null,
  birthDate: string | null | undefined,
): string {
  if (birthDate === null) {
    const stated = rule === null ? `No source states zones of ${name}. ` : "";
    return `${stated}Zones by age need a birth date, and that of ${name} is not known.`;
  }
  if (rule === "karvonen") {
    return `No zones of ${name} here: they need readings, and a resting heart rate that a source states of the same day.`;
  }
  return `No zones of ${name} here: there are no readings to work them out from.`;
}
