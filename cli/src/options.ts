/** Options that several commands share, with their words for --help. */
import { HoldfastError } from '@holdfast/sdk';
import { InvalidArgumentError, Option } from 'commander';

export function moduleOption(): Option {
  return new Option('-m, --module <name>', 'the module').env('SAFEMODULE');
}

export interface ModuleOption {
  readonly module?: string;
}

export function moduleOf(options: ModuleOption): string {
  if (options.module === undefined || options.module === '') {
    throw new HoldfastError('HF_CLI_MODULE_MISSING', 'which module? give -m NAME, or set SAFEMODULE; "holdfast module list" shows them');
  }
  return options.module;
}

export function naturalNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]+$/.test(text) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`);
    }
    return value;
  };
}

export function timeoutOption(secondsDefault: number): Option {
  return new Option('--timeout <seconds>', 'how long to wait').argParser(naturalNumber(1, 86_400)).default(secondsDefault);
}

/** Collects a repeated option. */
export function collected(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Where to listen. */
export function parsePlace(text: string): Place {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) throw new InvalidArgumentError('Write it like 127.0.0.1:9010 or [::1]:9010.');
  return { host, port };
}
