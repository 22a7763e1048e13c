/**
 * The shapes of the answers, taken from the paths of the generated schema. This is the one module
 * that knows how the OpenAPI document is built; everything else imports from here.
 */
import type { components, paths } from "./schema";

/** Paths that can be read with GET. */
export type GetPath = {
  [P in keyof paths]: paths[P] extends { get: { responses: unknown } } ? P : never;
}[keyof paths];

export type QueryOf<P extends GetPath> = paths[P]["get"] extends {
  parameters: { query?: infer Q };
}
  ? [NonNullable<Q>] extends [never]
    ? Record<string, never>
    : NonNullable<Q>
  : never;

/** The page asks for one metric at a time, so it never gets the answer about several. */
export type AnswerOf<P extends GetPath> = paths[P]["get"] extends {
  responses: { 200: { content: { "application/json": infer A } } };
}
  ? Exclude<A, components["schemas"]["SeveralMetrics"]>
  : never;

export type ChangeMethod = "POST" | "PUT" | "DELETE";
/** Paths of the API that change something. */
export type ChangePath = {
  [P in keyof paths]: paths[P] extends { post: object } | { delete: object } ? P : never;
}[keyof paths];

export type Access = AnswerOf<"/v1/access">;
export type Scope = Access["scopes"][number];
export type Source = AnswerOf<"/v1/sources">["data"][number];
export type MadeKey = components["schemas"]["MadeKey"];
export type ConsentPage = components["schemas"]["ConsentPage"];
export type UserList = AnswerOf<"/v1/users">;
export type User = UserList["data"][number];
export type MultiSeries = AnswerOf<"/v1/multi-user/timeseries">;
export type UserSeries = MultiSeries["series"][number];
/** What a key that may see people is told of a cohort. */
export type CohortPage = Extract<AnswerOf<"/v1/cohorts/heart-rate">, { data: unknown }>;
export type CohortMember = Exclude<CohortPage["data"][number], string>;
export type TopHour = Exclude<
  AnswerOf<"/v1/users/{user_id}/heart-rate/top-hours">["data"][number],
  number
>;
export type Connection = AnswerOf<"/v1/users/{user_id}/sources">["data"][number];
export type Device = AnswerOf<"/v1/users/{user_id}/devices">["data"][number];
export type Origin = AnswerOf<"/v1/users/{user_id}/origins">["data"][number];
export type ImportDetail = AnswerOf<"/v1/imports/{import_id}">;
export type ImportCourse = NonNullable<ImportDetail["course"]>;
export type ImportQuery = paths["/v1/imports"]["post"]["parameters"]["query"];
export type Note = AnswerOf<"/v1/users/{user_id}/annotations">["data"][number];
export type Signal = AnswerOf<"/v1/signals">["data"][number];
export type NewSignal = components["schemas"]["NewSignal"];
export type NewWebhook = components["schemas"]["NewWebhook"];
export type Webhook = AnswerOf<"/v1/webhooks">["data"][number];
export type MadeWebhook = components["schemas"]["CreatedWebhook"];
export type Delivery = AnswerOf<"/v1/webhooks/{webhook_id}/deliveries">["data"][number];
export type Run = AnswerOf<"/v1/etl/runs">["data"][number];

/** The columns of one series, whatever its resolution. */
export interface Columns {
  timestamp: string[];
  avg: number[];
  min: number[];
  max: number[];
  count: number[];
  /** There for raw readings only. */
  value: number[] | null;
}

/** Columns that the server leaves out are empty here. Daily summaries have none of these and are another picture. */
export function columnsOf(series: UserSeries): Columns {
  const found = series.columns;
  if (!("timestamp" in found)) throw new TypeError("A series of readings was asked for.");
  return {
    timestamp: found.timestamp,
    avg: found.avg ?? [],
    min: found.min ?? [],
    max: found.max ?? [],
    count: found.count ?? [],
    value: found.value ?? null,
  };
}

/** An error body after RFC 9457. */
export interface Problem {
  title?: string;
  status?: number;
  detail?: string;
  request_id?: string;
  errors?: { field: string; reason: string }[];
}
