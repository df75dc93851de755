/**
 * What checkers measured: of this node, and of the other one as its heartbeats say. A figure holds until the next report of its check, and
 * no longer than the check runs; what the other node measured is known as long as it is heard and runs the same configuration. Nothing
 * is decided from figures here: a checker may compare its own with the other's, and a missing one says nothing.
 */
import { type Figure, FIGURE_NAME, FIGURE_UNITS, FIGURES_PER_CHECK_MAX } from '@holdfast/sdk';
import type { NodeReport, ToldFigure } from '../model/report.js';

/** So many of a module travel, the first by name of their resource: a heartbeat has its size. */
export const FIGURES_TOLD_MAX = 32;

/** Of a node whose agent hangs, or is silent, for so long nothing is known, whatever the timeout of its heartbeats. */
export const PEER_FIGURES_FRESH_MS = 5_000;

export class ResourceFigures {
  private readonly own = new Map<string, readonly Figure[]>();
  private heard: { readonly figures: ReadonlyMap<string, Figure>; readonly atMs: number } = { figures: new Map(), atMs: 0 };
  private heardText = '';
  /** What travels to the other node; the same object until something has changed. Undefined: nothing. */
  told: readonly ToldFigure[] | undefined;

  /** @param nowMs monotonic */
  constructor(private readonly nowMs: () => number) {}

  /** The figures of a check's last report, in place of those before. What is no figure is left out. */
  set(resource: string, figures: readonly Figure[] = []): void {
    const good = figures.filter(isFigure).slice(0, FIGURES_PER_CHECK_MAX);
    if (good.length === 0 && !this.own.has(resource)) return;
    if (good.length === 0) this.own.delete(resource);
    else this.own.set(resource, good);
    const all = [...this.own.keys()].sort().flatMap((name) => (this.own.get(name) ?? []).map((figure) => toldOf(name, figure)));
    this.told = all.length === 0 ? undefined : all.slice(0, FIGURES_TOLD_MAX);
  }

  of(resource: string): readonly Figure[] {
    return this.own.get(resource) ?? [];
  }

  /** @param configuration digest of this node's configuration: another one may mean something else by the same name */
  hear(report: Pick<NodeReport, 'configuration' | 'figures'>, configuration: string, receivedMs: number): void {
    const told = report.configuration === configuration ? (report.figures ?? []) : [];
    const text = JSON.stringify(told);
    // The same is heard ten times a second.
    const figures = text === this.heardText ? this.heard.figures : figuresOf(told);
    this.heardText = text;
    this.heard = { figures, atMs: receivedMs };
  }

  /** The other node is lost: what it said last says nothing of now. */
  forgetPeer(): void {
    this.heard = { figures: new Map(), atMs: 0 };
    this.heardText = '';
  }

  /** What the other node measured last. Undefined: not known. */
  ofPeer(resource: string, name: string): Figure | undefined {
    const { figures, atMs } = this.heard;
    return this.nowMs() - atMs > PEER_FIGURES_FRESH_MS ? undefined : figures.get(keyOf(resource, name));
  }
}

function isFigure({ name, value, unit }: Figure): boolean {
  return FIGURE_NAME.test(name) && Number.isFinite(value) && FIGURE_UNITS.includes(unit);
}

/** Rounded: a heartbeat is sent anew when it has changed. */
function toldOf(resource: string, { name, value, unit }: Figure): ToldFigure {
  return [resource, name, Number(value.toPrecision(4)), unit];
}

function figuresOf(told: readonly ToldFigure[]): ReadonlyMap<string, Figure> {
  return new Map(told.map(([resource, name, value, unit]) => [keyOf(resource, name), { name, value, unit }]));
}

/** A resource may have any character in its name but a control character. */
function keyOf(resource: string, name: string): string {
  return `${resource}\n${name}`;
}
