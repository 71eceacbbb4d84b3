/**
 * @file The page that trains in a tab: the frame, and its content before, during and after a run.
 */
import '../styles.css';
import './styles.css';
import { render } from 'preact';
import { Brand, Skip, ThemeButton } from '../frame.js';
import { Page, Problem, Waiting } from '../ui.js';
import { Form, FromFile } from './form.js';
import { busy, note, open, opened, problem, run, version } from './link.js';
import { keepOffline } from './offline.js';
import { Actions, Run } from './views.js';

function Frame() {
  return (
    <>
      <Skip />
      <header class="top">
        <Brand href="./" />
        <ThemeButton class="right" />
      </header>
      <main id="main" tabIndex={-1}>
        <Content />
      </main>
    </>
  );
}

function Content() {
  const here = opened.value;
  const current = run.value;
  void version.value;
  const trouble = problem.value !== null && <Problem>{problem.value}</Problem>;
  if (here === null)
    return (
      <Page title="Train here" sub="A model that learns to reason, in this tab.">
        {trouble || <Waiting>Fetching the kernels…</Waiting>}
      </Page>
    );
  const notes = [...here.notes, ...(note.value === null ? [] : [note.value])].map((text) => (
    <p key={text} class="notice">
      {text}
    </p>
  ));
  if (current === null)
    return (
      <Page
        title="Train here"
        sub={`A model that learns to reason, in this tab and on this machine: nothing is sent anywhere. Graphics: ${here.device}.`}
      >
        {trouble}
        {notes}
        {busy.value ? (
          <Waiting>Preparing the run…</Waiting>
        ) : (
          <>
            <Form />
            <FromFile />
          </>
        )}
      </Page>
    );
  const { state, recipe, name } = current;
  return (
    <Page
      title={
        recipe.task?.name === 'scored'
          ? `${(recipe.task.task as { name: string }).name}, my reward`
          : recipe.name
      }
      sub={
        <>
          <span class="mono">{name}</span> · seed {recipe.seed} ·{' '}
          {state.fingerprint.split(' ')[0] || 'starting'} · {state.workers}{' '}
          {state.workers === 1 ? 'worker' : 'workers'}
        </>
      }
      actions={<Actions of={current} />}
    >
      {trouble}
      {notes}
      {state.ended?.message !== undefined && <Problem>{state.ended.message}</Problem>}
      <Run of={current} />
    </Page>
  );
}

keepOffline();
open();
render(<Frame />, document.getElementById('app') as HTMLElement);
