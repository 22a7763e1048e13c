/** The three ways in which readings come here. */
import { lacks, useAccess } from "../../state/useAccess";
import { CloudsCard } from "./CloudsCard";
import { FilesCard } from "./FilesCard";
import { PushCard } from "./PushCard";

const NOTHING = () => {};

/** `user` is offered as the person whose readings they are; `onShow` is told when what came is gone to. */
export function Ways({ user, onShow = NOTHING }: { user: string; onShow?: () => void }) {
  const access = useAccess();
  if (lacks(access, "ingest")) {
    return (
      <p>The key “{access?.name}” does not add readings. Whoever runs the server makes others.</p>
    );
  }
  return (
    <div className="cards ways">
      <FilesCard user={user} onShow={onShow} />
      <CloudsCard user={user} />
      <PushCard user={user} />
    </div>
  );
}
