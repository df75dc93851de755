/** The cases for checkers, proved against one checker that keeps every promise and many that break one each. */
import assert from 'node:assert/strict';
import type { Check, CheckResult } from '../src/checker.js';
import { PeriodicCheck } from '../src/periodic-check.js';
import { checkerCases, type CheckerSubject } from '../src/testkit/checker.js';

type Report = (result: CheckResult) => void;

/** What the checks of this file watch. */
let works = true;

function soundCheck(): PeriodicCheck {
  return new PeriodicCheck({
    resource: 'memory.word',
    phase: 'prim',
    action: 'restart',
    intervalMs: 20,
    timeoutMs: 100,
    test: async () => (works ? { verdict: 'up', detail: 'it works' } : { verdict: 'down', detail: 'it does not work' }),
  });
}

function subjectOf(create: () => Check): CheckerSubject {
  return {
    create,
    makeUp: async () => {
      works = true;
    },
    makeDown: async () => {
      works = false;
    },
    verdictWithinMs: 300,
  };
}

/** A sound check with one method broken. */
function broken(change: (sound: PeriodicCheck) => Partial<Check>): () => Check {
  return () => {
    const sound = soundCheck();
    const base: Check = {
      resource: sound.resource,
      phase: sound.phase,
      action: sound.action,
      start: (report) => sound.start(report),
      stop: () => sound.stop(),
    };
    return { ...base, ...change(sound) };
  };
}

/** Ended after each test: what broken checks leave behind on purpose. */
const left: (() => void)[] = [];

function leave(timer: NodeJS.Timeout): void {
  left.push(() => clearInterval(timer));
}

let created = 0;
const BROKEN: readonly { readonly what: string; readonly rejectedBy: RegExp; readonly create: () => Check }[] = [
  {
    what: 'names its resource anew each time',
    rejectedBy: /says what it watches/,
    create: broken(() => {
      created += 1;
      return { resource: `memory.word${created}` };
    }),
  },
  { what: 'wants an action that nobody knows', rejectedBy: /says what it watches/, create: broken(() => ({ action: 'panic' as 'stop' })) },
  { what: 'cannot repeat half a verdict', rejectedBy: /says what it watches/, create: broken(() => ({ repeats: { down: 0.5, up: 1 } })) },
  {
    what: 'fails when it is stopped before it was started',
    rejectedBy: /without having been started/,
    create: broken((sound) => {
      let started = false;
      return {
        start: async (report) => {
          started = true;
          await sound.start(report);
        },
        stop: async () => {
          if (!started) throw new Error('not started');
          await sound.stop();
        },
      };
    }),
  },
  {
    what: 'reports nothing at the start',
    rejectedBy: /reports the state that it finds/,
    create: broken(() => ({ start: () => Promise.resolve() })),
  },
  {
    what: 'says down before it has looked',
    rejectedBy: /reports the state that it finds/,
    create: broken((sound) => ({
      start: async (report) => {
        report({ verdict: 'down', detail: 'not looked yet' });
        await sound.start(report);
      },
    })),
  },
  { what: 'holds up the start', rejectedBy: /starts at once/, create: broken(() => ({ start: () => new Promise(() => undefined) })) },
  {
    what: 'has nothing to say for people',
    rejectedBy: /one readable line/,
    create: broken((sound) => ({ start: (report) => sound.start(({ verdict }) => report({ verdict, detail: '' })) })),
  },
  {
    what: 'tells a novel',
    rejectedBy: /one readable line/,
    create: broken((sound) => ({ start: (report) => sound.start(({ verdict }) => report({ verdict, detail: 'line\n'.repeat(300) })) })),
  },
  {
    what: 'reports the last test although it was stopped',
    rejectedBy: /middle of its first test/,
    create: broken((sound) => ({
      start: async (report) => {
        setTimeout(() => report({ verdict: 'up', detail: 'late' }), 50);
        await sound.start(report);
      },
    })),
  },
  {
    what: 'fails to stop a second time',
    rejectedBy: /stopped twice/,
    create: broken((sound) => {
      let stops = 0;
      return {
        stop: async () => {
          stops += 1;
          if (stops > 1) throw new Error('stopped already');
          await sound.stop();
        },
      };
    }),
  },
  {
    what: 'starts only once',
    rejectedBy: /started again/,
    create: broken((sound) => {
      let used = false;
      return {
        start: async (report) => {
          if (!used) await sound.start(report);
          used = true;
        },
      };
    }),
  },
  {
    what: 'keeps talking to its first listener',
    rejectedBy: /another listener/,
    create: broken((sound) => {
      let first: Report | undefined;
      return {
        start: (report) => {
          first ??= report;
          return sound.start(first);
        },
      };
    }),
  },
  {
    what: 'works while nothing happens',
    rejectedBy: /costs next to nothing/,
    create: broken((sound) => {
      let timer: NodeJS.Timeout | undefined;
      return {
        start: (report) => {
          timer = setInterval(() => burn(8), 10);
          return sound.start(report);
        },
        stop: () => {
          clearInterval(timer);
          return sound.stop();
        },
      };
    }),
  },
  {
    what: 'leaves a timer behind',
    rejectedBy: /leaves no timer/,
    create: broken((sound) => ({
      start: (report) => {
        leave(setInterval(() => undefined, 1000));
        return sound.start(report);
      },
    })),
  },
  {
    what: 'says up whatever happens',
    rejectedBy: /reports down when what it watches breaks/,
    create: broken((sound) => ({ start: (report) => sound.start(() => report({ verdict: 'up', detail: 'fine' })) })),
  },
  {
    what: 'never says up again after a failure',
    rejectedBy: /up when that is repaired/,
    create: broken((sound) => {
      let failed = false;
      return {
        start: (report) =>
          sound.start((result) => {
            failed ||= result.verdict === 'down';
            report(failed ? { verdict: 'down', detail: 'it failed once' } : result);
          }),
      };
    }),
  },
  {
    what: 'goes on after it was stopped',
    rejectedBy: /nothing after it was stopped/,
    create: broken((sound) => ({
      start: async (report) => {
        leave(setInterval(() => report({ verdict: works ? 'up' : 'down', detail: 'still here' }), 100));
        await sound.start(report);
      },
    })),
  },
];

function burn(durationMs: number): void {
  const beganMs = performance.now();
  while (performance.now() - beganMs < durationMs);
}

describe('the cases for checkers', function () {
  this.timeout(60_000);

  afterEach(() => {
    for (const end of left.splice(0)) end();
  });

  describe('hold for a sound checker, which', () => {
    for (const { title, run } of checkerCases(subjectOf(soundCheck))) it(title, run);
  });

  for (const { what, rejectedBy, create } of BROKEN) {
    it(`reject a checker that ${what}`, async () => {
      const cases = checkerCases(subjectOf(create)).filter(({ title }) => rejectedBy.test(title));
      assert.equal(cases.length, 1, `one case is about that: ${rejectedBy}`);
      for (const { run } of cases) await assert.rejects(run, /not kept|stopped already|not started/);
    });
  }
});
