import { Ways } from "./begin/Ways";

/** Where readings are added, in any of the ways there are. */
export function ImportPage() {
  return (
    <main className="main main-alone">
      <div className="person-head">
        <div>
          <h1>Add data</h1>
          <p className="faint">Drop files, connect a cloud, or send readings here.</p>
        </div>
      </div>
      <Ways user="" />
    </main>
  );
}
