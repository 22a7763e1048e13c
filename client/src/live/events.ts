/** Server-sent events out of the pieces in which a stream comes. */

export interface StreamEvent {
  id: string | null;
  kind: string;
  data: string;
}

/** Gathers text until events are whole; what is cut off at the end of a connection is no event. */
export class EventParser {
  private rest = "";

  /** The events that a piece completes. */
  push(text: string): StreamEvent[] {
    const blocks = (this.rest + text).replaceAll("\r\n", "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.flatMap((block) => {
      const event = read(block);
      return event ? [event] : [];
    });
  }
}

function read(block: string): StreamEvent | null {
  const event: StreamEvent = { id: null, kind: "message", data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    const value = line.slice(colon + 1).replace(/^ /, "");
    if (name === "id") event.id = value;
    if (name === "event") event.kind = value;
    if (name === "data") event.data += event.data ? `\n${value}` : value;
  }
  return event.data ? event : null;
}
