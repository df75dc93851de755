/**
 * Coded errors. Every error that an operator can meet carries a code from one catalogue per package, the offending value and the likely
 * cause, so that a message can be looked up and a test can assert on it.
 */
export class HoldfastError extends Error {
  /** Stable identifier, `HF_` and upper case, for example `HF_CONFIG_ATTRIBUTE_UNKNOWN`. */
  readonly code: string;
  /** Values for machines: what was wrong, where, what was expected. JSON-serialisable. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, details: Readonly<Record<string, unknown>> = {}, options?: { cause?: unknown }) {
    super(`${code}: ${message}`, options);
    this.name = 'HoldfastError';
    this.code = code;
    this.details = details;
  }
}

/** The message of anything thrown, for logs and for `details`. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
