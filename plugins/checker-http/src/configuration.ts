/** The element, already validated against schemas/http.json, as what to ask and what to expect. */
import { Attributes, type CheckHead, type ElementValue, ExtendedRegex, messageOf, readCheckHead } from '@holdfast/sdk';

export interface Target {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD';
  readonly isAccepted: (status: number) => boolean;
  /** Absent: whatever the body is. */
  readonly body?: BodyDemand;
  readonly host?: string;
  /** The certificate must be valid for so long yet. */
  readonly expiresMs?: number;
  readonly verify: boolean;
  readonly caFile?: string;
  readonly timeoutMs: number;
}

export interface BodyDemand {
  readonly expression?: { readonly source: string; readonly matches: (text: string) => Promise<boolean> };
  readonly json?: { readonly path: string; readonly equals: string | undefined };
}

/** @throws HoldfastError for what the schema cannot refuse, naming the attribute */
export function readConfiguration(element: ElementValue): {
  readonly head: CheckHead;
  readonly target: Target;
  readonly intervalMs: number;
} {
  const attributes = new Attributes('http', element);
  const to = attributes.child('to');
  const url = readUrl(to);
  const method = to.word('method', ['GET', 'HEAD']);
  const body = readBody(to);
  if (method === 'HEAD' && body !== undefined) {
    throw to.refusal('HF_HTTP_NO_BODY', 'method="HEAD" of <to> brings no body to look at; use GET, or leave out body and json', 'method');
  }
  for (const name of ['expires', 'ca']) {
    if (url.protocol === 'https:' || !to.has(name)) continue;
    throw to.refusal('HF_HTTP_NO_TLS', `${name} of <to> is about certificates, but the url is http: use https`, name);
  }
  const host = to.optionalText('host');
  const expiresMs = to.optionalNumber('expires');
  const caFile = to.optionalText('ca');
  const target: Target = {
    url,
    method,
    isAccepted: readStatuses(to),
    verify: to.flag('verify'),
    timeoutMs: to.number('timeout'),
    ...(body === undefined ? {} : { body }),
    ...(host === undefined ? {} : { host }),
    ...(expiresMs === undefined ? {} : { expiresMs }),
    ...(caFile === undefined ? {} : { caFile }),
  };
  return { head: readCheckHead(attributes), target, intervalMs: to.number('interval') };
}

function readUrl(to: Attributes): URL {
  const text = to.text('url');
  try {
    return new URL(text);
  } catch (error) {
    throw to.refusal('HF_HTTP_URL', `url="${text}" of <to> is not a URL: ${messageOf(error)}`, 'url', error);
  }
}

function readStatuses(to: Attributes): (status: number) => boolean {
  const text = to.text('status');
  const ranges = text.split(',').map((part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    if (first > last) throw to.refusal('HF_HTTP_STATUS', `status="${text}" of <to>: ${first} is more than ${last}; swap them`, 'status');
    return { first, last };
  });
  return (status) => ranges.some(({ first, last }) => status >= first && status <= last);
}

function readBody(to: Attributes): BodyDemand | undefined {
  const source = to.optionalText('body');
  const path = to.optionalText('json');
  if (source === undefined && path === undefined) return undefined;
  return {
    ...(source === undefined ? {} : { expression: { source, matches: readExpression(to, source) } }),
    ...(path === undefined ? {} : { json: { path, equals: to.optionalText('equals') } }),
  };
}

/** Without backtracking and in turns, so that no answer can stop the agent. A `!` in front turns it round. */
function readExpression(to: Attributes, source: string): (text: string) => Promise<boolean> {
  const negated = source.startsWith('!');
  try {
    const expression = new ExtendedRegex(negated ? source.slice(1) : source);
    return async (text) => (await expression.testInTurns(text)) !== negated;
  } catch (error) {
    throw to.refusal('HF_HTTP_BODY', `body="${source}" of <to> is not a POSIX extended expression: ${messageOf(error)}`, 'body', error);
  }
}
