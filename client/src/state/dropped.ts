/** Files as they come from a drop or a choice: single ones as they are, those of folders packed into one. */
import { type Packed, tarOf } from "./tar";

function entriesOf(folder: FileSystemDirectoryReader): Promise<FileSystemEntry[]> {
  return new Promise((resolve, reject) => folder.readEntries(resolve, reject));
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function filesIn(folder: FileSystemDirectoryEntry, path: string): Promise<Packed[]> {
  const reader = folder.createReader();
  const found: Packed[] = [];
  // A reader gives a part of what there is each time, and in the end nothing.
  for (let some = await entriesOf(reader); some.length > 0; some = await entriesOf(reader)) {
    for (const entry of some) {
      const place = `${path}/${entry.name}`;
      if (entry.isDirectory)
        found.push(...(await filesIn(entry as FileSystemDirectoryEntry, place)));
      else found.push({ path: place, file: await fileOf(entry as FileSystemFileEntry) });
    }
  }
  return found;
}

function packed(name: string, files: readonly Packed[]): File {
  return new File([tarOf(files)], `${name}.tar`, { type: "application/x-tar" });
}

/** What was dropped. It has to be called while the event is handled, since the list is empty afterwards. */
export async function droppedFiles(given: DataTransfer): Promise<File[]> {
  const items = [...given.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry());
  const files = [...given.files];
  const found = await Promise.all(
    entries.map(async (entry, at) => {
      if (!entry?.isDirectory) return files[at] ?? null;
      return packed(entry.name, await filesIn(entry as FileSystemDirectoryEntry, entry.name));
    }),
  );
  return found.filter((file) => file !== null);
}

/** The files of a chosen folder as one. */
export function chosenFolder(files: readonly File[]): File[] {
  const first = files[0]?.webkitRelativePath.split("/")[0];
  if (!first) return [...files];
  return [
    packed(
      first,
      files.map((file) => ({ path: file.webkitRelativePath || file.name, file })),
    ),
  ];
}
