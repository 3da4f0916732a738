/** What a newcomer does first, in three lines. */
export function GettingStarted(): JSX.Element {
  return (
    <section className="prodml-GettingStarted" aria-labelledby="prodml-begin">
      <h3 id="prodml-begin">Put a model into production</h3>
      <ol>
        <li>
          Load the magics in a notebook
          <code>%load_ext prodml_magics</code>
        </li>
        <li>
          Register a fitted model
          <code>%register model --name cancer --train X y</code>
        </li>
        <li>
          Serve it, outside the kernel
          <code>%deploy cancer</code>
        </li>
      </ol>
    </section>
  );
}
