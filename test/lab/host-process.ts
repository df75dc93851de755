/**
 * Processes of the lab as the host sees them. A process in a node has three numbers (host, lab, node); what the library starts, signals
 * and enters goes by the host's number, what a person reads inside a node is the node's.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface NamespaceProcess {
  /** As the process sees itself. */
  readonly pid: number;
  /** Numbers from the outermost namespace that can see the process to its own. */
  readonly numbers: readonly number[];
  readonly hostPid: number;
  /** Name that the kernel keeps, at most 15 bytes; empty for a process that is gone. */
  readonly name: string;
  /** Command line, arguments separated by spaces; empty for a process that is ending. */
  readonly command: string;
}

/** All processes whose PID namespace is the given one, for example `pid:[4026532281]`. Processes that end meanwhile are left out. */
export function processesIn(pidNamespace: string): NamespaceProcess[] {
  const found: NamespaceProcess[] = [];
  for (const hostPid of hostPids()) {
    if (pidNamespaceOf(hostPid) !== pidNamespace) continue;
    const numbers = namespaceNumbers(hostPid);
    const pid = numbers.at(-1);
    if (pid !== undefined) found.push({ pid, numbers, hostPid, name: nameOf(hostPid), command: commandLine(hostPid) });
  }
  return found;
}

/** Children of a process of the host, in no order. */
export function childrenOf(hostPid: number): number[] {
  return hostPids().filter((candidate) => parentOf(candidate) === hostPid);
}

/** True while a process runs or could run at any moment; false when it is stopped, ending, gone, or fixed in the kernel. */
export function isRunnable(hostPid: number): boolean {
  return ['R', 'S'].includes(statFields(hostPid)[0] ?? '');
}

/** Sends a signal to a process that may have ended meanwhile. */
export function sendSignal(hostPid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(hostPid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export function pidNamespaceOf(hostPid: number): string | undefined {
  return unlessGone(() => readlinkSync(`/proc/${hostPid}/ns/pid`));
}

function hostPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function namespaceNumbers(hostPid: number): number[] {
  const status = unlessGone(() => readFileSync(`/proc/${hostPid}/status`, 'latin1'));
  const line = status === undefined ? null : /^NSpid:(.*)$/m.exec(status);
  return (line?.[1] ?? '').trim().split(/\s+/).filter(Boolean).map(Number);
}

function parentOf(hostPid: number): number | undefined {
  const field = statFields(hostPid)[1];
  return field === undefined ? undefined : Number(field);
}

/** Fields of /proc/<pid>/stat from the third (state, parent, …) on; empty when the process is gone. */
function statFields(hostPid: number): string[] {
  const stat = unlessGone(() => readFileSync(`/proc/${hostPid}/stat`, 'latin1'));
  // The name in parentheses may hold spaces and parentheses itself: fields are counted from the last one.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
}

function nameOf(hostPid: number): string {
  return (unlessGone(() => readFileSync(`/proc/${hostPid}/comm`, 'utf8')) ?? '').trim();
}

function commandLine(hostPid: number): string {
  const text = unlessGone(() => readFileSync(`/proc/${hostPid}/cmdline`, 'utf8')) ?? '';
  return text.replaceAll('\0', ' ').trim();
}

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined; // the process ended between the listing and the read
  }
}
