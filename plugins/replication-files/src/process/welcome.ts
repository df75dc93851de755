/** Whether a primary is welcome at this secondary: both must mean the same thing by what follows. */
import { isRestored, readMark } from '../journal/checkpoint-mark.js';
import type { Hello, Reply } from '../link/greeting.js';
import { PROTOCOL_VERSION } from '../wire/limits.js';

interface Here {
  readonly module: string;
  /** Of the last primary that this node knows. */
  readonly epoch: number;
  readonly directories: readonly string[];
  /** Digest of what is excluded. */
  readonly exclusions: string;
}

/** @returns undefined: it is welcome */
export function refusalOf(hello: Hello, { module, epoch, directories, exclusions }: Here): Reply | undefined {
  if (hello.protocol !== PROTOCOL_VERSION) {
    return {
      welcome: false,
      code: 'version',
      message: `protocol ${hello.protocol}; this node speaks ${PROTOCOL_VERSION}: install the same version on both nodes`,
    };
  }
  if (hello.module !== module) {
    return { welcome: false, code: 'module', message: `module "${hello.module}"; this port belongs to "${module}"` };
  }
  if (hello.epoch < epoch) {
    return {
      welcome: false,
      code: 'deposed',
      message: `epoch ${hello.epoch} is over, the epoch here is ${epoch}: another node became primary`,
    };
  }
  if (hello.roots.length !== directories.length || hello.roots.some((root, index) => root !== directories[index])) {
    return {
      welcome: false,
      code: 'roots',
      message: `directories ${hello.roots.join(', ')}; here ${directories.join(', ')}: apply the same configuration on both nodes`,
    };
  }
  if (hello.exclusions !== exclusions) {
    const message = 'something else is excluded from the replication here: apply the same configuration on both nodes';
    return { welcome: false, code: 'exclusions', message };
  }
  return undefined;
}

/** What a primary says of its last session. */
export function markOf(stateDirectory: string): Pick<Hello, 'mark'> {
  const mark = readMark(stateDirectory);
  return mark === undefined ? {} : { mark };
}

/** Whether the copy of this secondary is older than the primary knows it to have been. */
export function isOlder(stateDirectory: string, { mark }: Hello): boolean {
  return isRestored(readMark(stateDirectory), mark);
}
