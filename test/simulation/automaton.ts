/** The decisions as a value, so that a deliberately broken copy of them can take their place. */
import type * as decisions from '@holdfast/core/decide';

export type Automaton = Pick<typeof decisions, 'createMirror' | 'durableAtFirst' | 'step' | 'reportOf' | 'refusalOf' | 'renderReason'>;
