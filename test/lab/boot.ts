/** The start of a machine's namespaces: from nothing to an init that has everything mounted and says so. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { HoldfastError } from '@holdfast/sdk';
import { LAB_ENVIRONMENT } from './supervisor.js';

export interface BootedNamespaces {
  /** For example `pid:[4026532281]`. */
  readonly pidNamespace: string;
  /** Resolves when the init and every other process of the machine have ended. */
  readonly ended: Promise<unknown>;
}

const BOOT_TIMEOUT_MS = 15_000;

/**
 * The launcher ends at once, so that the machine becomes a child of the supervisor, which reaps without delay, and not of some process of
 * the host. What the owner keeps is the machine's standard output: unshare holds it open until its child, the init, is gone.
 */
const LAUNCH = '"$@" &';

/**
 * @param entry arguments that enter the lab
 * @param script command that becomes the init; prints `ready <its PID namespace>`
 * @throws HF_LAB_START with the output of the script when it fails or takes longer than 15 s
 */
export async function bootNamespaces(
  name: string,
  entry: readonly string[],
  namespaces: readonly string[],
  script: readonly string[],
): Promise<BootedNamespaces> {
  const unshare = ['unshare', ...namespaces, '--fork', '--kill-child', '--mount-proc', '--', ...script];
  const [file = '', ...args] = [...entry, 'sh', '-c', LAUNCH, 'launch', ...unshare];
  const launcher = spawn(file, args, { env: LAB_ENVIRONMENT, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(launcher.stdout, 'close');
  let errors = '';
  launcher.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    const fail = (problem: string): void => {
      clearTimeout(timer);
      reject(new HoldfastError('HF_LAB_START', `${name} ${problem}: ${errors.trim() || 'no output'}`));
    };
    const timer = setTimeout(() => fail(`has not booted after ${BOOT_TIMEOUT_MS} ms`), BOOT_TIMEOUT_MS);
    createInterface({ input: launcher.stdout }).on('line', (line) => {
      const pidNamespace = /^ready (pid:.+)$/.exec(line)?.[1];
      if (pidNamespace === undefined) return;
      clearTimeout(timer);
      resolve({ pidNamespace, ended });
    });
    void ended.then(() => fail('cannot boot'));
  });
}
