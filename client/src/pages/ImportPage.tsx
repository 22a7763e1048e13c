import { type DragEvent, useId, useState } from "react";
import { Card } from "../components/Card";
import { ErrorNotice } from "../components/ErrorNotice";
import { ImportFields } from "../components/ImportFields";
import { ImportSummary } from "../components/ImportSummary";
import { sizeLabel } from "../figures/words";
import { EMPTY_FORM } from "../state/importForm";
import { onFollow } from "../state/navigation";
import { addressOf } from "../state/route";
import { type FileImport, shareDone, useImports } from "../state/useImports";

const STAGES: Record<FileImport["stage"], string> = {
  waiting: "Waiting for the files before",
  sending: "Being sent",
  reading: "Being read",
  ended: "Done",
};

/** Where files are dropped or chosen. */
function DropZone({ onFiles }: { onFiles: (files: File[]) => void }) {
  const [over, setOver] = useState(false);
  const id = useId();
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    onFiles([...event.dataTransfer.files]);
  };
  return (
    <label
      htmlFor={id}
      className="drop-zone"
      data-over={over}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <strong>Drop files here, or choose them</strong>
      <span className="faint">
        Takeout, Apple Health, FIT, TCX, GPX, the exports of many apps and vendors, CSV of any kind;
        zip and tar archives of them
      </span>
      <input
        id={id}
        type="file"
        multiple
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
    </label>
  );
}

function Outcome({ one }: { one: FileImport }) {
  const status = one.detail?.status;
  if (one.stage !== "ended") return <span className="badge">{STAGES[one.stage]}</span>;
  const good = one.error === null && status === "done";
  return <span className={`badge badge-${good ? "good" : "bad"}`}>{good ? "Done" : "Failed"}</span>;
}

function ImportCard({ one }: { one: FileImport }) {
  const course = one.detail?.course ?? null;
  const percent = Math.floor(shareDone(one) * 100);
  const link = one.stage === "ended" && one.user !== "" && (course?.people ?? 0) > 0;
  return (
    <Card title={one.name} note={sizeLabel(one.sizeBytes)} wide>
      <p className="card-line import-state" role="status">
        <Outcome one={one} />
        {course?.failure && <span className="bad">{course.failure}</span>}
        {link && (
          <a
            href={addressOf("person", `?people=${encodeURIComponent(one.user)}`)}
            onClick={onFollow}
          >
            Show {one.user}
          </a>
        )}
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

/** Files of people are brought here, and what became of them is told. */
export function ImportPage() {
  const [form, setForm] = useState(EMPTY_FORM);
  const { files, add } = useImports();
  return (
    <main className="main main-alone">
      <div className="person-head">
        <h1>Import files</h1>
      </div>
      <div className="cards">
        <Card title="Files" wide>
          <ImportFields form={form} onForm={setForm} />
          <DropZone onFiles={(chosen) => add(chosen, form)} />
        </Card>
        {files.map((one) => (
          <ImportCard key={one.id} one={one} />
        ))}
      </div>
    </main>
  );
}
