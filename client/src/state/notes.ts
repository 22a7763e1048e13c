/** Keeping, changing and removing what is noted about a person. */
import { change } from "../api/change";
import type { Note } from "../api/types";

const ALL = "/v1/users/{user_id}/annotations";
const ONE = "/v1/users/{user_id}/annotations/{annotation_id}";

export type NoteFields = Omit<Note, "annotation_id">;

/** Keeps a note under its id, or without one as a new one. */
export async function keepNote(
  userId: string,
  id: string | null,
  fields: NoteFields,
  signal: AbortSignal,
): Promise<void> {
  if (id === null) await change("POST", ALL, signal, { user_id: userId }, fields);
  else await change("PUT", ONE, signal, { user_id: userId, annotation_id: id }, fields);
}

export async function removeNote(userId: string, id: string, signal: AbortSignal): Promise<void> {
  await change("DELETE", ONE, signal, { user_id: userId, annotation_id: id });
}
