/** What plug-ins registered, by extension point and type. The only way from the core to an implementation. */
import type { Checker, ExtensionPoint, HeartbeatTransport, ReplicationBackend, VirtualIpDriver, WitnessProvider } from '@holdfast/sdk';

export interface Implementations {
  readonly heartbeatTransport: HeartbeatTransport;
  readonly virtualIpDriver: VirtualIpDriver;
  readonly replicationBackend: ReplicationBackend;
  readonly checker: Checker;
  readonly witness: WitnessProvider;
}

export interface Extension<Point extends ExtensionPoint> {
  readonly point: Point;
  readonly type: string;
  /** Id of the plug-in. */
  readonly plugin: string;
  readonly implementation: Implementations[Point];
}

export type AnyExtension = { [Point in ExtensionPoint]: Extension<Point> }[ExtensionPoint];

export class ExtensionRegistry {
  readonly #extensions = new Map<string, AnyExtension>();

  get<Point extends ExtensionPoint>(point: Point, type: string): Implementations[Point] | undefined {
    return this.#extensions.get(key(point, type))?.implementation as Implementations[Point] | undefined;
  }

  /** In the order of registration. */
  list<Point extends ExtensionPoint>(point: Point): readonly Extension<Point>[] {
    return [...this.#extensions.values()].filter((extension) => extension.point === point) as unknown as Extension<Point>[];
  }

  add(extension: AnyExtension): void {
    this.#extensions.set(key(extension.point, extension.type), extension);
  }

  /** Forgets everything of one plug-in. */
  remove(plugin: string): void {
    for (const [place, extension] of this.#extensions) if (extension.plugin === plugin) this.#extensions.delete(place);
  }
}

function key(point: ExtensionPoint, type: string): string {
  return `${point}/${type}`;
}
