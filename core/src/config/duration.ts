/**
 * Durations as operators write them: a whole number with one of the units d h m s ms us, or a bare number in the unit that the attribute
 * has always had. A value that rounds to 0 is an error: "500us" where milliseconds count would silently switch a delay off.
 */

const UNIT_US = { us: 1, ms: 1_000, s: 1_000_000, m: 60_000_000, h: 3_600_000_000, d: 86_400_000_000 } as const;

export type DurationUnit = keyof typeof UNIT_US;
export const DURATION_UNITS = Object.keys(UNIT_US) as DurationUnit[];

/** `value` is a whole number of the delivered unit; `exact` is false when it was rounded. */
export type Duration = { readonly value: number; readonly exact: boolean } | { readonly problem: string };

export function isDurationUnit(unit: unknown): unit is DurationUnit {
  return typeof unit === 'string' && Object.hasOwn(UNIT_US, unit);
}

export function parseDuration(text: string, bareUnit: DurationUnit, delivered: DurationUnit): Duration {
  const match = /^(\d{1,12})(d|h|m|s|ms|us)?$/.exec(text);
  if (match === null) return { problem: `must be a whole number with one of the units d h m s ms us, or a bare number of ${bareUnit}` };
  const [, digits = '', unit] = match;
  const written = isDurationUnit(unit) ? unit : bareUnit;
  const us = Number(digits) * UNIT_US[written];
  if (!Number.isSafeInteger(us)) return { problem: 'is longer than any duration that makes sense' };
  const value = Math.round(us / UNIT_US[delivered]);
  if (us > 0 && value === 0) return { problem: `rounds to 0 ${delivered}; write at least 1${delivered}, or 0 if that is what you mean` };
  return { value, exact: value * UNIT_US[delivered] === us };
}

/** For messages: the largest unit that keeps the number whole. */
export function formatDuration(value: number, unit: DurationUnit): string {
  const us = value * UNIT_US[unit];
  for (const candidate of ['d', 'h', 'm', 's', 'ms'] as const) {
    if (us !== 0 && us % UNIT_US[candidate] === 0) return `${us / UNIT_US[candidate]}${candidate}`;
  }
  return `${value}${unit}`;
}
