import { expect, it } from "vitest";
import { EMPTY_FORM, inFieldNames, queryFor } from "./importForm";

it("sends only what was said", () => {
  expect(queryFor("day.csv", { ...EMPTY_FORM, user: " ann " })).toEqual({
    name: "day.csv",
    user_id: "ann",
  });
});

it("sends two time columns as a date and a time of day", () => {
  const form = { ...EMPTY_FORM, timeColumn: "date, clock", delimiter: ";", decimalComma: true };
  expect(queryFor("day.csv", form)).toEqual({
    name: "day.csv",
    time_column: ["date", "clock"],
    delimiter: ";",
    decimal_comma: true,
  });
});

it("keeps the end of a long name, which has its ending", () => {
  const { name } = queryFor(`${"x".repeat(200)}.csv`, EMPTY_FORM);
  expect(name).toHaveLength(128);
  expect(name.endsWith(".csv")).toBe(true);
});

it("names the fields of the form where the server names options", () => {
  expect(inFieldNames("times: add --time-format '%d.%m.%Y'")).toBe(
    "times: add “Times are written” '%d.%m.%Y'",
  );
  expect(inFieldNames("add --decimal-comma or --user-column id; --else stays")).toBe(
    "add “Decimal commas” or “Column of people” id; --else stays",
  );
});
