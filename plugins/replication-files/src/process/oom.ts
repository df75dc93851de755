/** Data of the application goes through these processes: the kernel should sacrifice others first. */
import { writeFileSync } from 'node:fs';

const OOM_SCORE_ADJUST = -900;

export function spareFromOom(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', String(OOM_SCORE_ADJUST));
  } catch {
    // Not permitted in some containers: the default score is a risk, not an error.
  }
}
