/** What is wrong with a form; fields refer to it by its id. */
export function FieldProblem({ id, problem }: { id: string; problem: string | null }) {
  return (
    problem && (
      <p id={id} className="field-problem" role="alert">
        {problem}
      </p>
    )
  );
}
