/** What is asked of the reader before files are imported, and how it is sent. */
import type { ImportQuery } from "../api/types";

export interface ImportForm {
  user: string;
  device: string;
  zone: string;
  metric: string;
  /** One column, or a date and a time of day separated by a comma. */
  timeColumn: string;
  valueColumn: string;
  userColumn: string;
  deviceColumn: string;
  delimiter: string;
  decimalComma: boolean;
  timeFormat: string;
}

export const EMPTY_FORM: ImportForm = {
  user: "",
  device: "",
  zone: "",
  metric: "",
  timeColumn: "",
  valueColumn: "",
  userColumn: "",
  deviceColumn: "",
  delimiter: "",
  decimalComma: false,
  timeFormat: "",
};

export type TextField = Exclude<keyof ImportForm, "decimalComma">;

/** What the fields are called, and which option of the command line each one stands for. */
export const FIELDS: Record<TextField, { label: string; option: string }> = {
  user: { label: "Person", option: "--user" },
  device: { label: "Device", option: "--device" },
  zone: { label: "Time zone of local times", option: "--tz" },
  metric: { label: "Metric of the values", option: "--metric" },
  timeColumn: { label: "Time column", option: "--time-column" },
  valueColumn: { label: "Value column", option: "--value-column" },
  userColumn: { label: "Column of people", option: "--user-column" },
  deviceColumn: { label: "Column of devices", option: "--device-column" },
  delimiter: { label: "Columns are separated by", option: "--delimiter" },
  timeFormat: { label: "Times are written", option: "--time-format" },
};
export const DECIMAL_COMMA = { label: "Decimal commas", option: "--decimal-comma" };

/** A message of the server, which names options of the command line, with the names of the fields instead. */
export function inFieldNames(text: string): string {
  const fields = [...Object.values(FIELDS), DECIMAL_COMMA];
  return text.replace(/--[a-z]+(-[a-z]+)*/g, (option) => {
    const field = fields.find((one) => one.option === option);
    return field ? `“${field.label}”` : option;
  });
}

const MOST_NAME = 128;

/** The parameters of the import of a file: only what was said. */
export function queryFor(name: string, form: ImportForm): ImportQuery {
  const said = {
    user_id: form.user,
    device_id: form.device,
    tz: form.zone,
    metric: form.metric,
    value_column: form.valueColumn,
    user_column: form.userColumn,
    device_column: form.deviceColumn,
    delimiter: form.delimiter,
    time_format: form.timeFormat,
  };
  const texts = Object.entries(said)
    .map(([field, text]): [string, string] => [field, text.trim()])
    .filter(([, text]) => text !== "");
  const times = form.timeColumn.split(",").map((column) => column.trim());
  const columns = times.filter((column) => column !== "");
  return {
    name: name.slice(-MOST_NAME) || "file",
    ...Object.fromEntries(texts),
    ...(columns.length > 0 ? { time_column: columns } : {}),
    ...(form.decimalComma ? { decimal_comma: true } : {}),
  };
}
