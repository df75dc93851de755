/**
 * The `errd` element as a list of processes to watch. What the schema cannot say (an expression that is not POSIX, limits that exclude
 * each other, a value that is not served yet) is refused here, with the attribute and the process named.
 */
import { Buffer } from 'node:buffer';
import {
  type CheckAction,
  type CheckClass,
  type CheckPhase,
  type ElementValue,
  ExtendedRegex,
  HoldfastError,
  messageOf,
} from '@holdfast/sdk';

/** What a process must be like; every criterion that is given must hold. Plain data: it travels to the worker. */
export interface ProcessCriteria {
  /** One process, whatever it is called: who asks knows what replaces it, so its death is told without a look for successors. */
  readonly pid?: number;
  readonly name?: string;
  readonly nameRegex?: string;
  readonly argumentsRegex?: string;
}

export interface WatchedProcess {
  readonly resource: string;
  readonly criteria: ProcessCriteria;
  /** A service of the system's service manager instead of processes that match. */
  readonly service?: string;
  readonly phase: CheckPhase | CheckClass;
  readonly action: CheckAction;
  /** An executable of the module instead of the action. */
  readonly script?: string;
  /** What a restart is limited to. */
  readonly restartServices?: readonly string[];
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
/** As both kinds of service managers take them; no slash, because it becomes part of a path. */
const SERVICE_NAME = /^[A-Za-z0-9_][A-Za-z0-9:._@\\-]*$/;
const POLL_INTERVAL_MS_DEFAULT = 30_000;
const PHASES: readonly CheckPhase[] = ['prim', 'both', 'pre', 'second', 'sec'];
const ACTIONS: readonly CheckAction[] = ['restart', 'stopstart', 'stop', 'noaction'];

/** @throws HoldfastError naming the attribute and its value */
export function readWatchedProcesses(configuration: ElementValue): readonly WatchedProcess[] {
  const pollIntervalMs = numberOf(configuration['polltimer'], POLL_INTERVAL_MS_DEFAULT);
  const processes = configuration['proc'];
  const taken = new Set<string>();
  return (typeof processes === 'object' ? processes : []).map((process, index) => {
    const read = at(`/proc/${index}`, () => readOne(process, pollIntervalMs));
    const resource = unique(read.resource, taken);
    taken.add(resource);
    return { ...read, resource };
  });
}

/** Says of which element a refusal is. */
function at<T>(pointer: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const message = error.message.slice(error.code.length + ': '.length);
    throw new HoldfastError(error.code, message, { ...error.details, pointer }, { cause: error });
  }
}

function readOne(process: ElementValue, pollIntervalMs: number): WatchedProcess {
  const service = readService(process);
  const criteria = service === undefined ? readCriteria(process) : {};
  const label = service ?? criteria.name ?? criteria.nameRegex ?? criteria.argumentsRegex;
  if (label === undefined) {
    throw new HoldfastError('HF_ERRD_CRITERION_MISSING', 'proc names no process; give at least one of name, nameregex and argregex');
  }
  const restartServices = readRestartServices(process, label);
  const limits = readLimits(process, label);
  const startAfter = numberOf(process['start_after'], 0);
  const className = textOf(process['class']) ?? 'prim';
  const action = textOf(process['action']) ?? 'stopstart';
  const known = ACTIONS.find((candidate) => candidate === action);
  return {
    resource: `proc.${label}`,
    criteria,
    ...(service === undefined ? {} : { service }),
    ...(restartServices === undefined ? {} : { restartServices }),
    phase: PHASES.find((phase) => phase === className) ?? `class:${className}`,
    action: known ?? 'stopstart',
    ...(known === undefined ? { script: action } : {}),
    startAfterMs: Math.max(0, startAfter - 1) * pollIntervalMs,
    ...limits,
    pollIntervalMs,
  };
}

/** @returns its name, when a service is watched */
function readService(process: ElementValue): string | undefined {
  if (process['service'] !== true) return undefined;
  const name = textOf(process['name']);
  if (name === undefined) {
    throw new HoldfastError('HF_ERRD_SERVICE_NAME', 'service="on" of proc needs name: the name of the service, for example postgresql', {
      attribute: 'service',
    });
  }
  if (!SERVICE_NAME.test(name)) {
    throw new HoldfastError('HF_ERRD_SERVICE_NAME', `name="${name}" of proc is no name of a service: letters, digits and : . _ @ - only`, {
      attribute: 'name',
    });
  }
  for (const attribute of ['nameregex', 'argregex']) {
    if (process[attribute] === undefined) continue;
    const message = `${attribute} of proc "${name}" has no meaning with service="on": the service manager says whether it runs; remove it`;
    throw new HoldfastError('HF_ERRD_SERVICE_EXPRESSION', message, { attribute });
  }
  return name;
}

/** `"a, b"`: one value, separated by commas. */
function readRestartServices(process: ElementValue, label: string): readonly string[] | undefined {
  const text = textOf(process['restart_services']);
  if (text === undefined) return undefined;
  const services = text.split(',').map((service) => service.trim());
  const refusal = (why: string): HoldfastError =>
    new HoldfastError('HF_ERRD_RESTART_SERVICES', `restart_services="${text}" of proc "${label}" ${why}`, {
      attribute: 'restart_services',
    });
  if (process['service'] !== true || textOf(process['action']) !== 'restart') throw refusal('needs service="on" and action="restart"');
  const wrong = services.find((service) => !/^[^\s"'](?:[^"'\p{Cc}]*[^\s"'])?$/u.test(service));
  if (wrong !== undefined) throw refusal(`names no service with "${wrong}"; write it like "a, b"`);
  return services;
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
