/**
 * The `errd` element as a list of processes to watch. What the schema cannot say (an expression that is not POSIX, limits that exclude
 * each other, a value that is not served yet) is refused here, with the attribute and the process named.
 */
import { Buffer } from 'node:buffer';
import { type CheckAction, type CheckPhase, type ElementValue, ExtendedRegex, HoldfastError, messageOf } from '@holdfast/sdk';

/** What a process must be like; every criterion that is given must hold. Plain data: it travels to the worker. */
export interface ProcessCriteria {
  readonly name?: string;
  readonly nameRegex?: string;
  readonly argumentsRegex?: string;
}

export interface WatchedProcess {
  readonly resource: string;
  readonly criteria: ProcessCriteria;
  readonly phase: CheckPhase;
  readonly action: CheckAction;
  /** Before the first look. */
  readonly startAfterMs: number;
  /** Absent: no lower limit. */
  readonly atLeast: number | undefined;
  /** Absent: no upper limit. */
  readonly atMost: number | undefined;
  readonly pollIntervalMs: number;
}

/** The kernel keeps 15 bytes of a process name. */
const NAME_BYTES_MAX = 15;
const POLL_INTERVAL_MS_DEFAULT = 30_000;
const PHASES: readonly CheckPhase[] = ['prim', 'both', 'pre', 'second', 'sec'];
const ACTIONS: readonly CheckAction[] = ['restart', 'stopstart', 'stop', 'noaction'];

/** @throws HoldfastError naming the attribute and its value */
export function readWatchedProcesses(configuration: ElementValue): readonly WatchedProcess[] {
  const pollIntervalMs = numberOf(configuration['polltimer'], POLL_INTERVAL_MS_DEFAULT);
  const processes = configuration['proc'];
  const taken = new Set<string>();
  return (typeof processes === 'object' ? processes : []).map((process) => {
    const read = readOne(process, pollIntervalMs);
    const resource = unique(read.resource, taken);
    taken.add(resource);
    return { ...read, resource };
  });
}

function readOne(process: ElementValue, pollIntervalMs: number): WatchedProcess {
  const criteria = readCriteria(process);
  const label = criteria.name ?? criteria.nameRegex ?? criteria.argumentsRegex;
  if (label === undefined) {
    throw new HoldfastError('HF_ERRD_CRITERION_MISSING', 'proc names no process; give at least one of name, nameregex and argregex');
  }
  if (process['service'] === true) {
    throw new HoldfastError(
      'HF_ERRD_UNSUPPORTED',
      `service="on" of proc "${label}" is not supported yet; watch the service's process by name or argregex`,
      {
        attribute: 'service',
        process: label,
      },
    );
  }
  const limits = readLimits(process, label);
  const startAfter = numberOf(process['start_after'], 0);
  return {
    resource: `proc.${label}`,
    criteria,
    phase: PHASES.find((phase) => phase === process['class']) ?? 'prim',
    action: ACTIONS.find((action) => action === process['action']) ?? 'stopstart',
    startAfterMs: Math.max(0, startAfter - 1) * pollIntervalMs,
    ...limits,
    pollIntervalMs,
  };
}

function readCriteria(process: ElementValue): ProcessCriteria {
  const name = textOf(process['name']);
  const nameRegex = textOf(process['nameregex']);
  const argumentsRegex = textOf(process['argregex']);
  if (name !== undefined && Buffer.byteLength(name) > NAME_BYTES_MAX) {
    throw new HoldfastError(
      'HF_ERRD_NAME_TOO_LONG',
      `proc name="${name}" is longer than the ${NAME_BYTES_MAX} bytes that the kernel keeps of a name; shorten it, or use argregex`,
      { name },
    );
  }
  assertRegex('nameregex', nameRegex);
  assertRegex('argregex', argumentsRegex);
  return {
    ...(name === undefined ? {} : { name }),
    ...(nameRegex === undefined ? {} : { nameRegex }),
    ...(argumentsRegex === undefined ? {} : { argumentsRegex }),
  };
}

function assertRegex(attribute: string, expression: string | undefined): void {
  if (expression === undefined) return;
  try {
    new ExtendedRegex(expression);
  } catch (error) {
    throw new HoldfastError(
      'HF_ERRD_REGEX_INVALID',
      `${attribute}="${expression}" of proc is not a POSIX extended regular expression: ${messageOf(error)}`,
      { attribute, expression },
      { cause: error },
    );
  }
}

/** `atmax="0"` means: act whenever it appears, so that `atleast` has nothing to say. */
function readLimits(process: ElementValue, label: string): { readonly atLeast: number | undefined; readonly atMost: number | undefined } {
  const limit = (value: number): number | undefined => (value < 0 ? undefined : value);
  const atMost = limit(numberOf(process['atmax'], -1));
  const atLeast = atMost === 0 ? undefined : limit(numberOf(process['atleast'], 1));
  if (atLeast !== undefined && atMost !== undefined && atLeast > atMost) {
    throw new HoldfastError(
      'HF_ERRD_LIMITS',
      `atleast="${atLeast}" and atmax="${atMost}" of proc "${label}" cannot both hold; swap or correct them`,
      {
        process: label,
        atLeast,
        atMost,
      },
    );
  }
  return { atLeast, atMost };
}

/** Two entries may watch the same name with different limits or classes. */
function unique(resource: string, taken: ReadonlySet<string>): string {
  if (!taken.has(resource)) return resource;
  let number = 2;
  while (taken.has(`${resource}#${number}`)) number += 1;
  return `${resource}#${number}`;
}

function textOf(value: ElementValue[string] | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function numberOf(value: ElementValue[string] | undefined, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}
