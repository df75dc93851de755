/**
 * Collects what is wrong with one file, so that an operator sees all of it at once, and throws it as one coded error. The number is
 * bounded: a megabyte of nonsense must not become a gigabyte of messages.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { ConfigErrorCode } from './errors.js';

export interface Position {
  /** 1-based. */
  readonly line: number;
  /** 1-based, in UTF-16 code units. */
  readonly column: number;
}

export interface ConfigProblem extends Position {
  readonly code: ConfigErrorCode;
  /** Without the position. */
  readonly message: string;
}

export const PROBLEMS_MAX = 100;
const QUOTED_CHARS_MAX = 80;

/** A value or name of the file for a message: in quotes, bounded, on one line. */
export function quoted(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return `"${line.length > QUOTED_CHARS_MAX ? `${line.slice(0, QUOTED_CHARS_MAX)}…` : line}"`;
}

export class ProblemList {
  readonly file: string;
  readonly #problems: ConfigProblem[] = [];
  readonly #warnings: string[] = [];

  constructor(file: string) {
    this.file = file;
  }

  get count(): number {
    return this.#problems.length;
  }

  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** @throws the error of all problems once there are PROBLEMS_MAX: what has so many is not worth reading on */
  add(code: ConfigErrorCode, at: Position, message: string): void {
    this.#problems.push({ code, line: at.line, column: at.column, message });
    if (this.#problems.length >= PROBLEMS_MAX) throw this.#error();
  }

  warn(at: Position, message: string): void {
    if (this.#warnings.length < PROBLEMS_MAX) this.#warnings.push(`${this.file}:${at.line}:${at.column}: ${message}`);
  }

  /** For what makes reading on pointless. */
  fail(code: ConfigErrorCode, at: Position, message: string): never {
    this.add(code, at, message);
    throw this.#error();
  }

  throwIfAny(): void {
    if (this.#problems.length > 0) throw this.#error();
  }

  #error(): HoldfastError {
    const problems = [...this.#problems].sort((a, b) => a.line - b.line || a.column - b.column);
    const place = (problem: ConfigProblem): string => `${this.file}:${problem.line}:${problem.column}`;
    const details = { file: this.file, problems };
    const [only] = problems;
    if (only !== undefined && problems.length === 1) return new HoldfastError(only.code, `${place(only)}: ${only.message}`, details);
    const lines = problems.map((problem) => `\n  ${place(problem)}: ${problem.code}: ${problem.message}`);
    if (this.count >= PROBLEMS_MAX) lines.push('\n  and perhaps more: reading stopped here');
    return new HoldfastError('HF_CONFIG_INVALID', `${this.file} has ${this.count} problems:${lines.join('')}`, details);
  }
}
