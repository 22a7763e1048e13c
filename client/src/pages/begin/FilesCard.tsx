/** Files of people are brought here, and what became of them is told. */
import { type ChangeEvent, type DragEvent, useId, useState } from "react";
import { Card } from "../../components/Card";
import { ErrorNotice } from "../../components/ErrorNotice";
import { ImportFields } from "../../components/ImportFields";
import { ImportSummary } from "../../components/ImportSummary";
import { sizeLabel } from "../../figures/words";
import { chosenFolder, droppedFiles } from "../../state/dropped";
import { EMPTY_FORM } from "../../state/importForm";
import { onFollow } from "../../state/navigation";
import { addressOf } from "../../state/route";
import { type FileImport, shareDone, useImports } from "../../state/useImports";

const STAGES: Record<FileImport["stage"], string> = {
  waiting: "Waiting for the files before",
  sending: "Being sent",
  reading: "Being read",
  ended: "Done",
};

/** Where files are dropped or chosen. */
function DropZone({ onFiles }: { onFiles: (files: File[]) => void }) {
  const [over, setOver] = useState(false);
  const [unread, setUnread] = useState(false);
  const [files, folder] = [useId(), useId()];
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    setUnread(false);
    droppedFiles(event.dataTransfer).then(onFiles, () => setUnread(true));
  };
  const chosen = (event: ChangeEvent<HTMLInputElement>, whole: boolean) => {
    const given = [...(event.target.files ?? [])];
    event.target.value = "";
    if (given.length > 0) onFiles(whole ? chosenFolder(given) : given);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keyboard has the two buttons in it
    <div
      className="drop-zone"
      data-over={over}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <strong>Drop files or a folder here</strong>
      <span className="faint">
        Takeout, Apple Health, FIT, TCX, GPX, FHIR, the exports of many apps and vendors, CSV of any
        kind; zip and tar archives of them
      </span>
      <div className="drop-choices">
        <label className="button drop-choice" htmlFor={files}>
          Choose files
          <input id={files} type="file" multiple onChange={(event) => chosen(event, false)} />
        </label>
        <label className="button drop-choice" htmlFor={folder}>
          Choose a folder
          <input
            id={folder}
            type="file"
            {...{ webkitdirectory: "" }}
            onChange={(event) => chosen(event, true)}
          />
        </label>
      </div>
      {unread && (
        <p className="bad" role="alert">
          The browser could not read what was dropped. Choose it with a button instead.
        </p>
      )}
    </div>
  );
}

function Outcome({ one }: { one: FileImport }) {
  const status = one.detail?.status;
  if (one.stage !== "ended") return <span className="badge">{STAGES[one.stage]}</span>;
  const good = one.error === null && status === "done";
  return <span className={`badge badge-${good ? "good" : "bad"}`}>{good ? "Done" : "Failed"}</span>;
}

/** Where what an import brought is seen: the person who was named, else everybody. */
function Way({ one, onShow }: { one: FileImport; onShow: () => void }) {
  const course = one.detail?.course;
  if (one.stage !== "ended" || !course || course.people === 0) return null;
  const named = one.user !== "" && course.people === 1;
  const search = named ? `?people=${encodeURIComponent(one.user)}` : "";
  return (
    <a
      className="button button-main button-link"
      href={addressOf(named ? "person" : "compare", search)}
      onClick={(event) => {
        onFollow(event);
        onShow();
      }}
    >
      {named ? `Show ${one.user}` : "Show the chart"}
    </a>
  );
}

function ImportCard({ one, onShow }: { one: FileImport; onShow: () => void }) {
  const course = one.detail?.course ?? null;
  const percent = Math.floor(shareDone(one) * 100);
  return (
    <Card title={one.name} note={sizeLabel(one.sizeBytes)} wide>
      <p className="card-line import-state" role="status">
        <Outcome one={one} />
        {course?.failure && <span className="bad">{course.failure}</span>}
        <Way one={one} onShow={onShow} />
      </p>
      <div className="import-progress">
        <progress max={100} value={percent} aria-label={`Progress of ${one.name}`} />
        <span className="number">{percent} %</span>
      </div>
      {one.error !== null && <ErrorNotice error={one.error} onRetry={null} />}
      {course && <ImportSummary course={course} />}
    </Card>
  );
}

/** `user` is offered as the person of files that name nobody; `onShow` is told when what came is gone to. */
export function FilesCard({ user, onShow }: { user: string; onShow: () => void }) {
  const [form, setForm] = useState({ ...EMPTY_FORM, user });
  const { files, add } = useImports();
  return (
    <>
      <Card title="Files" note="from an app, a device or another program" wide>
        <ImportFields form={form} onForm={setForm} />
        <DropZone onFiles={(chosen) => add(chosen, form)} />
      </Card>
      {files.map((one) => (
        <ImportCard key={one.id} one={one} onShow={onShow} />
      ))}
    </>
  );
}
