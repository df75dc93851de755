/** The kernel's own measures as it writes them: pressure (PSI) and counters of virtual memory. Pure. */

export type Average = '10s' | '60s' | '300s';

/** `some avg10=0.12 avg60=… avg300=… total=…`. @returns per cent, undefined when the text has no such line */
export function parsePressure(text: string, line: 'some' | 'full', over: Average): number | undefined {
  const found = text.split('\n').find((candidate) => candidate.startsWith(`${line} `));
  const average = new RegExp(`\\bavg${Number.parseInt(over, 10)}=([0-9.]+)`).exec(found ?? '')?.[1];
  return average === undefined ? undefined : Number(average);
}

/** Pages swapped in and out since the boot. */
export function parseSwapped(text: string): number {
  return [...text.matchAll(/^pswp(?:in|out) (\d+)$/gm)].reduce((sum, match) => sum + Number(match[1]), 0);
}
