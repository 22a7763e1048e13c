import type { ReactNode } from "react";
import { TableScroll } from "./TableScroll";

export interface Column {
  title: string;
  number?: boolean;
}

export interface DataRow {
  key: string | number;
  /** One for each column; the first heads the row. */
  cells: readonly ReactNode[];
}

const as = (role: string) => ({ role });

/**
 * A table that becomes a list where there is little room: each row a block, each cell beside its column's title. Roles
 * are written out, since elements that are laid out otherwise lose those they have.
 */
export function DataTable(props: {
  label: string;
  caption: string;
  columns: readonly Column[];
  rows: readonly DataRow[];
}) {
  const { label, caption, columns, rows } = props;
  const classOf = (place: number) => (columns[place]?.number ? "number" : undefined);
  return (
    <TableScroll label={label}>
      <table className="stacks" {...as("table")}>
        <caption className="visually-hidden">{caption}</caption>
        <thead {...as("rowgroup")}>
          <tr {...as("row")}>
            {columns.map(({ title }, place) => (
              <th key={title} {...as("columnheader")} scope="col" className={classOf(place)}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody {...as("rowgroup")}>
          {rows.map(({ key, cells }) => (
            <tr key={key} {...as("row")}>
              {cells.map((cell, place) => {
                const title = columns[place]?.title;
                return place === 0 ? (
                  <th key={title} {...as("rowheader")} scope="row" data-title={title}>
                    {cell}
                  </th>
                ) : (
                  <td key={title} {...as("cell")} data-title={title} className={classOf(place)}>
                    {cell}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </TableScroll>
  );
}
