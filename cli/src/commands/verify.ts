/**
 * `holdfast verify`: compares both copies of a module's data while the application works, and repairs the secondary on request. The
 * primary does it: from the secondary the command is sent there.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { HoldfastError } from '@holdfast/sdk';
import { type Command, Option } from 'commander';
import type { Client, ModuleView, VerificationOptions, VerificationView } from '../core.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption, naturalNumber } from '../options.js';
import { Session } from '../session.js';
import { differencesText, printable, verificationText, verifiedText } from '../terminal.js';
import { look, ProgressLine } from '../wait.js';

const EXIT_DIFFERENT = 1;
const EXIT_NOT_COMPARED = 2;
const POLL_MS = 250;
const LOOK_TIMEOUT_MS = 30_000;
/** An agent that knows nothing of the verification any more, or does not answer, for so long has lost it. */
const LOST_AFTER_MS = 60_000;
const MEGABYTE = 1_000_000;

interface VerifyCommandOptions extends ModuleOption {
  readonly repair?: boolean;
  readonly bandwidth?: number;
  readonly wait: boolean;
  readonly cancel?: boolean;
}

type Result = NonNullable<VerificationView['last']>;

export function addVerifyCommand(program: Command, exit: ExitCode): void {
  program
    .command('verify')
    .summary("compare both copies of a module's data")
    .description(
      'Compares names, attributes and content of both copies while the application works, and lists what differs. Only of a connected ' +
        'pair; from the secondary the command is sent to the primary. With --repair, what differs on the secondary is made like the ' +
        'primary and compared again: look first which copy is right. Exits with 0 when both are identical, 1 when they differ, 2 when ' +
        'they could not be compared. Ctrl-C cancels the verification.',
    )
    .addOption(moduleOption())
    .option('--repair', 'make the secondary like the primary where they differ')
    .addOption(
      new Option('--bandwidth <MB/s>', 'content to compare per second, at most; default: what the configuration says').argParser(
        naturalNumber(1, 100_000),
      ),
    )
    .option('--wait', 'wait for the result; shows progress on a terminal', true)
    .option('--no-wait', 'return when it has begun; "holdfast state -v" shows it')
    .addOption(new Option('--cancel', 'end a running verification').conflicts(['repair', 'bandwidth']))
    .addHelpText('after', '\nExamples:\n  holdfast verify -m ledger\n  holdfast verify -m ledger --repair --bandwidth 50')
    .action(async (options: VerifyCommandOptions, command: Command) => {
      exit.onError = EXIT_NOT_COMPARED;
      const session = Session.of(command, exit);
      const module = moduleOf(options);
      const { client, node } = await primaryOf(session, module);
      if (options.cancel === true) {
        await client.cancelVerification(module);
        session.report({ module, node, cancelled: true }, () => `no verification of ${module} runs on ${node} any more`);
        return;
      }
      if (!options.wait) {
        const { id } = await client.verify(module, bodyOf(options));
        session.report({ module, node, id }, () => `verification of ${module} is under way on ${node}`);
        return;
      }
      const result = await run(session, client, module, bodyOf(options));
      if (result.outcome === 'different') exit.code = EXIT_DIFFERENT;
      session.report({ module, ...result }, () => textOf(session, module, result));
    });
}

function bodyOf({ repair, bandwidth }: VerifyCommandOptions): VerificationOptions {
  return {
    ...(repair === true ? { repair } : {}),
    ...(bandwidth === undefined ? {} : { bytesPerSecondMax: bandwidth * MEGABYTE }),
  };
}

/** The node that can compare: the one that was asked, or its peer when that is primary. */
async function primaryOf(session: Session, module: string): Promise<{ readonly client: Client; readonly node: string }> {
  const local = await session.client();
  const [named, ...others] = (await session.nodes()) ?? [];
  if (others.length > 0) throw new HoldfastError('HF_CLI_USAGE', 'verify runs on the primary; give one node to -H, or none');
  const client = named === undefined ? local : local.onNode(named);
  const view = await client.module(module);
  const isElsewhere = view.replication?.role === 'secondary' && view.peer !== undefined;
  if (!isElsewhere) return { client, node: view.node };
  const node = view.peer.node;
  return { client: local.onNode(node), node };
}

/** Begins, and ends what it began when Ctrl-C is pressed, at whatever moment. */
async function run(session: Session, client: Client, module: string, options: VerificationOptions): Promise<Result> {
  let isCancelled = false;
  const cancel = (): void => {
    isCancelled = true;
  };
  process.on('SIGINT', cancel);
  try {
    const { id } = await client.verify(module, options);
    return await resultOf(session, client, module, id, () => isCancelled);
  } finally {
    process.off('SIGINT', cancel);
  }
}

/** @throws HoldfastError why there is no result */
async function resultOf(session: Session, client: Client, module: string, id: string, isCancelled: () => boolean): Promise<Result> {
  const line = new ProgressLine(session);
  try {
    let knownMs = performance.now();
    for (;;) {
      if (isCancelled()) {
        await client.cancelVerification(module);
        throw new HoldfastError('HF_CLI_CANCELLED', `the verification of ${module} was cancelled; with --no-wait it runs on by itself`);
      }
      const seen = await look(client, module, LOOK_TIMEOUT_MS);
      const verification = seen instanceof HoldfastError ? undefined : seen.replication?.verification;
      const result = verification === undefined ? undefined : endOf(verification, id);
      if (result !== undefined) return result;
      if (verification?.progress?.id === id) {
        knownMs = performance.now();
        line.show(`${module} on ${(seen as ModuleView).node}: ${verificationText(verification.progress)}`);
      } else if (performance.now() - knownMs > LOST_AFTER_MS) {
        throw new HoldfastError(
          'HF_CLI_VERIFY_LOST',
          `nothing is known of the verification of ${module} any more; was the agent restarted?`,
        );
      }
      await delay(POLL_MS);
    }
  } finally {
    line.clear();
  }
}

/** @throws HoldfastError when it ended without a result */
function endOf({ progress, last, failure }: VerificationView, id: string): Result | undefined {
  if (progress !== undefined) return undefined;
  if (failure?.id === id) throw new HoldfastError(failure.code, failure.message, { id, at: failure.at });
  return last?.id === id ? last : undefined;
}

function textOf(session: Session, module: string, result: Result): string {
  const colour = result.outcome === 'identical' ? 'green' : 'red';
  return [
    session.paint.as(colour, `${module}: ${printable(verifiedText(result))}`),
    ...differencesText(result).map((difference) => `  ${printable(difference)}`),
  ].join('\n');
}
