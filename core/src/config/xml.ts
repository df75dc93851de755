/**
 * XML text to a tree of elements and attributes with their positions. fast-xml-parser decides what is well-formed and gives the elements
 * with their offsets; the attributes are read from each start tag, because the library does not tell where they are. No entity is ever
 * declared or expanded: only the five of XML itself and character references are decoded, so there is nothing to explode.
 */
import { messageOf } from '@holdfast/sdk';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { type Position, type ProblemList, quoted } from './problems.js';
import { type TextPiece, textPieces } from './xml-text.js';

export interface XmlAttribute extends Position {
  readonly name: string;
  /** Decoded; macros not yet expanded. */
  readonly value: string;
  /** The value could not be read and was reported: say nothing more about it. */
  readonly broken: boolean;
}

export interface XmlElement extends Position {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, XmlAttribute>;
  readonly children: readonly XmlElement[];
  /** The first text between the children that is not blank; CDATA counts. */
  readonly text?: string;
  /** All text up to the first child, where it is. Only of an element that has any. */
  readonly pieces?: readonly TextPiece[];
}

export const XML_BYTES_MAX = 1024 * 1024;

const START: Position = { line: 1, column: 1 };
const METADATA: unknown = XMLParser.getMetaDataSymbol();
const PREDEFINED: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

class SourceText {
  readonly text: string;
  readonly #lineStarts: number[] = [0];

  constructor(text: string) {
    this.text = text;
    for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
  }

  position(offset: number): Position {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return { line: low + 1, column: offset - (this.#lineStarts[low] ?? 0) + 1 };
  }
}

/** @throws HoldfastError when the text is not XML that can be read; attribute values that cannot be decoded are added to `problems`. */
export function readXml(xml: string, root: string, problems: ProblemList): XmlElement {
  const bytes = Buffer.byteLength(xml);
  if (bytes > XML_BYTES_MAX) problems.fail('HF_CONFIG_TOO_LARGE', START, `${bytes} bytes; at most ${XML_BYTES_MAX} are read`);
  const source = new SourceText(xml.replace(/^\ufeff/, '').replaceAll('\r\n', '\n'));
  const bare = blankComments(source, problems);
  refuseDeclarations(source, bare, problems);
  refuseMalformed(source, problems);
  const nodes = parseNodes(source, problems);
  const element = nodes.find((node) => node.element !== undefined)?.element;
  if (element === undefined) return problems.fail('HF_CONFIG_ROOT', START, `no element; <${root}> is expected`);
  const start = source.position(element.start);
  const rest = bare.slice(element.end).search(/\S/);
  if (rest >= 0) {
    const again = source.position(element.end + rest);
    problems.fail('HF_CONFIG_ROOT', again, `something follows the end of <${element.name}>; exactly one root element is allowed`);
  }
  if (element.name !== root) problems.fail('HF_CONFIG_ROOT', start, `the root element is <${element.name}>; <${root}> is expected`);
  return toElement(element, source, problems);
}

/** The text with comments and CDATA replaced by blanks of the same length, so that what is left is markup and plain text. */
function blankComments(source: SourceText, problems: ProblemList): string {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const comment = source.text.indexOf('<!--', at);
    const cdata = source.text.indexOf('<![CDATA[', at);
    if (comment < 0 && cdata < 0) return parts.join('') + source.text.slice(at);
    const isComment = cdata < 0 || (comment >= 0 && comment < cdata);
    const start = isComment ? comment : cdata;
    const terminator = isComment ? '-->' : ']]>';
    const end = source.text.indexOf(terminator, start + (isComment ? 4 : 9));
    const kind = isComment ? 'comment' : 'CDATA section';
    if (end < 0) problems.fail('HF_CONFIG_XML_MALFORMED', source.position(start), `this ${kind} is not closed by ${terminator}`);
    parts.push(source.text.slice(at, start), ' '.repeat(end + 3 - start));
    at = end + 3;
  }
}

function refuseDeclarations(source: SourceText, bare: string, problems: ProblemList): void {
  for (let at = bare.indexOf('<!'); at >= 0; at = bare.indexOf('<!', at + 2)) {
    if (/^<!DOCTYPE\s+[\w.-]+\s*>/.test(bare.slice(at, at + 256))) continue;
    const message =
      'only a bare <!DOCTYPE name> is accepted: no [ ] subset, no SYSTEM or PUBLIC, no <!ENTITY>; use <macro> for repeated text';
    problems.fail('HF_CONFIG_DOCTYPE', source.position(at), message);
  }
}

function refuseMalformed(source: SourceText, problems: ProblemList): void {
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- its successor is the same code in one more package
  const result = XMLValidator.validate(source.text);
  if (result === true) return;
  // Some errors of the library have no column, and "no element at all" has not even a line.
  const line = Number.isInteger(result.err.line) ? result.err.line : 1;
  const column = Number.isInteger(result.err.col) ? result.err.col : 1;
  const code =
    result.err.msg.startsWith('Multiple possible root') || result.err.msg.startsWith('Extra text') ? 'HF_CONFIG_ROOT' : undefined;
  problems.fail(code ?? 'HF_CONFIG_XML_MALFORMED', { line, column }, result.err.msg);
}

interface ParsedElement {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly nodes: readonly ParsedNode[];
}

interface ParsedNode {
  readonly element?: ParsedElement;
  readonly text?: string;
}

function parseNodes(source: SourceText, problems: ProblemList): readonly ParsedNode[] {
  const parser = new XMLParser({
    preserveOrder: true,
    captureMetaData: true,
    ignoreAttributes: true,
    ignoreDeclaration: true,
    ignorePiTags: true,
    parseTagValue: false,
    processEntities: false,
    trimValues: false,
    cdataPropName: '#cdata',
  });
  try {
    return nodesOf(parser.parse(source.text) as unknown);
  } catch (error) {
    return problems.fail('HF_CONFIG_XML_MALFORMED', START, messageOf(error));
  }
}

/** The library's ordered form is a list of objects with one key, the element's name, `#text` or `#cdata`, and the metadata symbol. */
function nodesOf(list: unknown): ParsedNode[] {
  if (!Array.isArray(list)) return [];
  return list.map((entry: Record<string | symbol, unknown>): ParsedNode => {
    const name = Object.keys(entry)[0] ?? '';
    const content = entry[name];
    if (name === '#text') return { text: String(content) };
    if (name === '#cdata') return { text: '<![CDATA[' };
    const place = entry[METADATA as symbol] as { startIndex?: number; endIndex?: number } | undefined;
    const start = place?.startIndex ?? 0;
    return { element: { name, start, end: place?.endIndex ?? start, nodes: nodesOf(content) } };
  });
}

function toElement(parsed: ParsedElement, source: SourceText, problems: ProblemList): XmlElement {
  const position = source.position(parsed.start);
  const children = parsed.nodes.flatMap(({ element }) => (element === undefined ? [] : [toElement(element, source, problems)]));
  const text = parsed.nodes.find((node) => (node.text ?? '').trim() !== '')?.text?.trim();
  const { attributes, end } = readAttributes(parsed, source, problems);
  const pieces = text === undefined ? [] : textPieces(source.text, end, (offset) => source.position(offset));
  return { name: parsed.name, ...position, attributes, children, ...(text === undefined ? {} : { text, pieces }) };
}

/** No element that anyone serves contains text. */
export function refuseText(element: XmlElement, problems: ProblemList): void {
  if (element.text === undefined) return;
  problems.add('HF_CONFIG_TEXT', element, `<${element.name}> contains the text ${quoted(element.text)}; only elements are expected`);
}

/** The validator has accepted the tag, so a sticky expression that stops anywhere but at its end means a construct that we do not know. */
function readAttributes(
  parsed: ParsedElement,
  source: SourceText,
  problems: ProblemList,
): { readonly attributes: ReadonlyMap<string, XmlAttribute>; readonly end: number } {
  const attributes = new Map<string, XmlAttribute>();
  const attribute = /(\s+)([^\s=<>"'/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/y;
  let at = parsed.start + 1 + parsed.name.length;
  for (;;) {
    attribute.lastIndex = at;
    const match = attribute.exec(source.text);
    if (match === null) break;
    const [whole, space = '', name = '', double, single] = match;
    const position = source.position(at + space.length);
    const decoded = decode(double ?? single ?? '');
    if ('problem' in decoded) problems.add(decoded.code, position, `attribute ${name} of <${parsed.name}>: ${decoded.problem}`);
    const value = 'value' in decoded ? decoded.value : '';
    attributes.set(name, { name, value, broken: 'problem' in decoded, ...position });
    at += whole.length;
  }
  const tail = /\s*\/?>/y;
  tail.lastIndex = at;
  if (!tail.test(source.text)) {
    problems.fail('HF_CONFIG_XML_MALFORMED', source.position(at), `the start tag of <${parsed.name}> cannot be read from here`);
  }
  return { attributes, end: tail.lastIndex };
}

type Decoded = { readonly value: string } | { readonly code: 'HF_CONFIG_ENTITY' | 'HF_CONFIG_XML_MALFORMED'; readonly problem: string };

function decode(raw: string): Decoded {
  if (raw.includes('<')) return { code: 'HF_CONFIG_XML_MALFORMED', problem: `write < as &lt; in the value ${quoted(raw)}` };
  let problem: string | undefined;
  const value = raw
    .replaceAll(/[\t\n\r]/g, ' ')
    .replaceAll(/&(#x[0-9a-fA-F]{1,6};|#\d{1,7};|\w{1,16};)?/g, (whole: string, name?: string) => {
      const character = name === undefined ? undefined : decodeReference(name.slice(0, -1));
      if (character !== undefined) return character;
      problem ??= name === undefined ? `write & as &amp; in the value ${quoted(raw)}` : `entity ${whole} is unknown`;
      return '';
    });
  return problem === undefined ? { value } : { code: 'HF_CONFIG_ENTITY', problem };
}

function decodeReference(name: string): string | undefined {
  if (!name.startsWith('#')) return Object.hasOwn(PREDEFINED, name) ? PREDEFINED[name] : undefined;
  const code = name.startsWith('#x') ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
  // Not a character of XML: NUL, other controls and lone surrogates would end up in file names and arguments.
  const legal = code === 9 || code === 10 || code === 13 || (code >= 0x20 && code <= 0xd7ff) || (code >= 0xe000 && code <= 0x10ffff);
  return legal ? String.fromCodePoint(code) : undefined;
}

/** The tree as text again, one element per line, attributes in the order written. */
export function writeXml(element: XmlElement, indent = ''): string {
  const attributes = [...element.attributes.values()].map(({ name, value }) => ` ${name}="${encode(value)}"`).join('');
  const text = (element.pieces ?? []).map((piece) => `<![CDATA[${piece.text}]]>`).join('');
  if (text !== '') return `${indent}<${element.name}${attributes}>${text}</${element.name}>\n`;
  if (element.children.length === 0) return `${indent}<${element.name}${attributes}/>\n`;
  const children = element.children.map((child) => writeXml(child, `${indent}  `)).join('');
  return `${indent}<${element.name}${attributes}>\n${children}${indent}</${element.name}>\n`;
}

function encode(value: string): string {
  return value
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('"', '&quot;')
    .replaceAll(/[\t\n\r]/g, (c) => `&#${c.charCodeAt(0)};`);
}
