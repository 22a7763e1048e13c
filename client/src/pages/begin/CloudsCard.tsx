/** Connecting somebody to a wearable cloud. */
import { useId, useState } from "react";
import { Answered, Card } from "../../components/Card";
import { ConnectSource } from "../../components/ConnectSource";
import { useAnswer } from "../../state/useAnswer";

export function CloudsCard({ user }: { user: string }) {
  const [person, setPerson] = useState(user);
  const id = useId();
  const answer = useAnswer({ path: "/v1/sources", query: {}, subject: "sources" });
  return (
    <Card title="A cloud" note="what your wearable has sent to its maker">
      <label className="field-label" htmlFor={id}>
        Stored under this person
      </label>
      <input
        id={id}
        className="field"
        autoComplete="off"
        spellCheck={false}
        placeholder="an id, such as me"
        value={person}
        onChange={(event) => setPerson(event.target.value)}
      />
      <Answered of={answer} empty={() => null}>
        {({ data }) => (
          <ul className="rows rows-tall">
            {data.map((source) => (
              <ConnectSource key={source.source} source={source} userId={person.trim()} />
            ))}
          </ul>
        )}
      </Answered>
    </Card>
  );
}
