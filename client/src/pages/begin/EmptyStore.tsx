import { useTick } from "../../live/useTick";
import { useAnswer } from "../../state/useAnswer";
import { Ways } from "./Ways";

/** Under this id a first visitor's own readings are stored, unless they write another one. */
const MYSELF = "me";
const LOOK_MS = 3000;

/** Says so when the first readings have come, from wherever. */
function Arrivals({ onShow }: { onShow: () => void }) {
  const again = useTick(LOOK_MS);
  const answer = useAnswer({ path: "/v1/users", query: { limit: 1 }, subject: "arrivals", again });
  const first = answer.answer?.data[0];
  return (
    <div role="status">
      {answer.answer && !first && <p className="faint">There is nobody here yet.</p>}
      {first && (
        <div className="notice begin-notice">
          <p>
            Readings of <strong>{first.name ?? first.user_id}</strong> have come in.
          </p>
          <button type="button" className="button button-main" onClick={onShow}>
            Show the chart
          </button>
        </div>
      )}
    </div>
  );
}

/** What a store without anybody offers; `onShow` leaves it for the chart. */
export function EmptyStore({ onShow }: { onShow: () => void }) {
  return (
    <main className="main main-alone">
      <div className="person-head">
        <div>
          <h1>Begin</h1>
          <p className="faint">
            Bring readings in one of three ways. A person appears with their first reading.
          </p>
        </div>
      </div>
      <Arrivals onShow={onShow} />
      <Ways user={MYSELF} onShow={onShow} />
    </main>
  );
}
