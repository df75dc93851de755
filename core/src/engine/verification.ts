/** Comparisons of both copies, as the module's log tells of them: each beginning and each outcome once. A difference is an alarm. */
import type { ReplicationStatus, VerifyResult, VerifyStatus } from '@holdfast/sdk';

/** Differences that get a line of their own. */
const LINES_MAX = 20;

interface Line {
  readonly level: 'C' | 'E' | 'I';
  readonly text: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** Why no comparison can begin now; undefined when one can. */
export function verificationRefusal(status: ReplicationStatus | undefined, peer: string): string | undefined {
  if (status === undefined) return 'the module replicates nothing';
  if (status.role === 'secondary') return `this node is secondary: run it on ${peer}, which is primary`;
  if (status.role === 'stopped') return 'the module is stopped: there is nothing to compare with';
  if (status.link !== 'connected') return `the link to ${peer} is ${status.link}: both copies are compared while they are connected`;
  const { progress } = status.verification ?? {};
  return progress === undefined ? undefined : `a verification is ${progress.phase} already`;
}

export class VerificationEvents {
  private runningId: string | undefined;
  private resultKey: string | undefined;
  private failureId: string | undefined;

  /** @param known what was found at the start is no news */
  constructor(
    known: VerifyStatus | undefined,
    private readonly node: string,
  ) {
    this.resultKey = keyOf(known?.last);
    this.failureId = known?.failure?.id;
  }

  /** @returns what is new */
  take(status: VerifyStatus | undefined): readonly Line[] {
    const lines: Line[] = [];
    const { progress, last, failure } = status ?? {};
    if (progress !== undefined && progress.id !== this.runningId) {
      this.runningId = progress.id;
      lines.push({ level: 'I', text: 'both copies are being compared', fields: { id: progress.id } });
    }
    if (last !== undefined && keyOf(last) !== this.resultKey) {
      this.resultKey = keyOf(last);
      lines.push(
        ...(last.node === this.node ? outcomeLines(last) : [{ level: 'I' as const, text: `${last.node} tells: ${sentenceOf(last)}` }]),
      );
    }
    if (failure !== undefined && failure.id !== this.failureId) {
      this.failureId = failure.id;
      lines.push({ level: 'E', text: `the verification ended without a result: ${failure.message}`, fields: { code: failure.code } });
    }
    return lines;
  }
}

/** One verification has a result before its repair and one after. */
function keyOf(result: VerifyResult | undefined): string | undefined {
  return result === undefined ? undefined : `${result.id} ${result.at}`;
}

function sentenceOf({ outcome, objects, bytes, durationMs, differences, repaired }: VerifyResult): string {
  const compared = `${objects} objects, ${bytes} bytes compared in ${(durationMs / 1000).toFixed(1)} s`;
  const before = repaired === 0 ? '' : `, ${repaired} repaired`;
  return outcome === 'identical'
    ? `both copies are identical${before}: ${compared}`
    : `${differences} objects differ${before}: ${compared}`;
}

function outcomeLines(result: VerifyResult): Line[] {
  const { id, outcome, objects, bytes, differences, listed, repaired } = result;
  const fields = { id, outcome, objects, bytes, differences, repaired };
  if (outcome === 'identical') return [{ level: 'E', text: sentenceOf(result), fields }];
  const what =
    'the copies are not the same; "holdfast verify --repair" on the primary makes the secondary like it, if the primary is right';
  const lines: Line[] = [{ level: 'C', text: `${sentenceOf(result)}; ${what}`, fields }];
  const shown = listed.slice(0, LINES_MAX);
  for (const { directory, path, detail } of shown) {
    lines.push({ level: 'C', text: `differs: ${path === '' ? directory : `${directory}/${path}`}: ${detail}` });
  }
  if (differences > shown.length) lines.push({ level: 'C', text: `and ${differences - shown.length} more` });
  return lines;
}
