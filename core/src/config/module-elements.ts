/**
 * Sorts the children of <safe>, <service>, <vip>, <check> and <witness>: to the core, to the plug-in that contributes the element, or to a
 * sentence that says why nobody takes it and what would help.
 */
import { type HoldfastError, messageOf } from '@holdfast/sdk';
import type { ConfigurationValue, ContributedConfiguration, ContributedPoint } from '../model/configuration.js';
import { CORE_PARENT, KNOWN_ELEMENTS, KNOWN_WITNESSES, type ParentElement } from './core-elements.js';
import { type ReadElement, readElement } from './element-reader.js';
import type { JsonSchema } from './element-schema.js';
import { nearestName } from './nearest.js';
import { type Position, type ProblemList, quoted } from './problems.js';
import type { XmlElement } from './xml.js';

/** An element of userconfig.xml that an installed plug-in serves. */
export interface ContributedSchema {
  /** Id of the plug-in. */
  readonly plugin: string;
  readonly point: ContributedPoint;
  readonly type: string;
  readonly element: string;
  readonly parent: ParentElement;
  readonly schema: JsonSchema;
}

/** Whose ident names a resource of the module. */
const NAMED: readonly ContributedPoint[] = ['checker', 'witness'];

/**
 * What the plug-in that serves an element has against it, although its schema accepts it. `details.pointer` and `details.attribute` of the
 * error say where.
 */
export type RefusalOf = (contributed: Pick<ContributedConfiguration, 'point' | 'type' | 'value'>) => HoldfastError | undefined;

const CORE_CHILDREN: Readonly<Record<ParentElement, readonly string[]>> = {
  service: Object.keys(CORE_PARENT).filter((name) => CORE_PARENT[name] === 'service'),
  vip: [],
  check: [],
  witness: [],
};

export class ModuleElements {
  readonly contributed: ContributedConfiguration[] = [];
  readonly #contributions: readonly ContributedSchema[];
  readonly #problems: ProblemList;
  readonly #refusalOf: RefusalOf;
  readonly #identOwners = new Map<string, Position>();

  constructor(contributions: readonly ContributedSchema[], problems: ProblemList, refusalOf: RefusalOf = () => undefined) {
    this.#refusalOf = refusalOf;
    this.#contributions = contributions;
    this.#problems = problems;
  }

  /** Reads the contributed children of one parent, reports strangers, and gives the core's own children back by name. */
  sort(parent: XmlElement, name: ParentElement): ReadonlyMap<string, XmlElement> {
    const own = new Map<string, XmlElement>();
    for (const child of parent.children) {
      const contribution = this.#contributions.find((candidate) => candidate.parent === name && candidate.element === child.name);
      if (CORE_CHILDREN[name].includes(child.name)) {
        const first = own.get(child.name);
        if (first === undefined) own.set(child.name, child);
        else this.#repeated(child, parent.name, first);
      } else if (contribution !== undefined) this.#contribute(child, contribution);
      else this.#stranger(child, name);
    }
    return own;
  }

  #repeated(child: XmlElement, parent: string, first: Position): void {
    const message = `<${parent}> may contain only one <${child.name}>; the first is in line ${first.line}`;
    this.#problems.add('HF_CONFIG_ELEMENT_REPEATED', child, message);
  }

  #contribute(child: XmlElement, contribution: ContributedSchema): void {
    const { point, type } = contribution;
    const earlier = this.contributed.find((other) => other.point === 'replicationBackend');
    if (point === 'replicationBackend' && earlier !== undefined) this.#repeated(child, contribution.parent, earlier);
    const read = this.#read(child, contribution);
    if (read === undefined) return;
    const ident = read.value['ident'];
    const scope = point === 'checker' ? child.name : point;
    if (NAMED.includes(point) && typeof ident === 'string') this.#checkIdent(child.name, scope, ident, read.at('', 'ident'));
    const value: ConfigurationValue = read.value;
    if (read.valid) this.#askPlugin(read, { point, type, value });
    this.contributed.push({ point, type, element: child.name, line: child.line, column: child.column, value });
  }

  #askPlugin(read: ReadElement, contributed: Parameters<RefusalOf>[0]): void {
    const refusal = this.#refusalOf(contributed);
    if (refusal === undefined) return;
    const { pointer, attribute } = refusal.details;
    const at = read.at(typeof pointer === 'string' ? pointer : '', typeof attribute === 'string' ? attribute : undefined);
    this.#problems.add('HF_CONFIG_REFUSED', at, refusal.message);
  }

  #read(child: XmlElement, contribution: ContributedSchema): ReadElement | undefined {
    try {
      return readElement(child, contribution.schema, this.#problems);
    } catch (error) {
      // Discovery compiles every schema, so this is a plug-in that came another way.
      this.#problems.add(
        'HF_CONFIG_SCHEMA',
        child,
        `plug-in ${quoted(contribution.plugin)} cannot check <${child.name}>: ${messageOf(error)}`,
      );
      return undefined;
    }
  }

  /** A checker's resource is named after its element and ident, a witness by its ident; two would overwrite each other's verdict. */
  #checkIdent(element: string, scope: string, ident: string, at: Position): void {
    const key = `${scope}.${ident}`;
    const first = this.#identOwners.get(key);
    if (first === undefined) this.#identOwners.set(key, at);
    else
      this.#problems.add('HF_CONFIG_NAME_DUPLICATE', at, `<${element}> with ident ${quoted(ident)} exists already, in line ${first.line}`);
  }

  #stranger(child: XmlElement, parent: ParentElement): void {
    const { name } = child;
    const home = this.#homeOf(name, parent);
    if (home !== undefined && home !== parent) {
      this.#problems.add('HF_CONFIG_ELEMENT_MISPLACED', child, `<${name}> belongs inside <${home}>, not inside <${parent}>`);
      return;
    }
    const known = knownElements(parent);
    if (Object.hasOwn(known, name)) {
      this.#problems.add('HF_CONFIG_ELEMENT_NOT_SERVED', child, `<${name}> inside <${parent}>: ${known[name]?.by ?? ''}`);
      return;
    }
    const served = this.#contributions.filter((contribution) => contribution.parent === parent).map(({ element }) => element);
    const candidates = [...CORE_CHILDREN[parent], ...served];
    const reference = Object.keys(knownElements(parent));
    const nearest = nearestName(name, candidates) ?? nearestName(name, reference);
    const knows = candidates.length === 0 ? '' : `; known: ${candidates.sort().join(', ')}`;
    const hint = nearest === undefined ? knows : `; did you mean <${nearest}>?`;
    this.#problems.add('HF_CONFIG_ELEMENT_UNKNOWN', child, `<${name}> inside <${parent}> is unknown${hint}`);
  }

  /** Where an element belongs that nobody serves below `parent`. */
  #homeOf(name: string, parent: ParentElement): string | undefined {
    if (Object.hasOwn(CORE_PARENT, name)) return CORE_PARENT[name];
    if (Object.hasOwn(knownElements(parent), name)) return parent;
    const contribution = this.#contributions.find(({ element }) => element === name);
    if (contribution !== undefined) return contribution.parent;
    if (Object.hasOwn(KNOWN_ELEMENTS, name)) return KNOWN_ELEMENTS[name]?.parent;
    return Object.hasOwn(KNOWN_WITNESSES, name) ? 'witness' : undefined;
  }
}

/** Elements of this parent that a plug-in could serve, or that no release serves yet. */
function knownElements(parent: ParentElement): Readonly<Record<string, { readonly by: string }>> {
  const known = parent === 'witness' ? KNOWN_WITNESSES : KNOWN_ELEMENTS;
  return Object.fromEntries(Object.entries(known).filter(([, element]) => element.parent === parent));
}
