/** The element, already validated against schemas/sql.json, as where to log in, what to ask and what to expect. */
import { Attributes, type CheckHead, type ElementValue, readCheckHead } from '@holdfast/sdk';

export interface Target {
  readonly engine: 'postgresql' | 'mysql';
  readonly at: { readonly kind: 'tcp'; readonly host: string; readonly port: number } | { readonly kind: 'socket'; readonly path: string };
  readonly user: string;
  readonly passwordFile?: string;
  readonly database?: string;
  readonly tls: 'off' | 'on' | 'verify';
  readonly caFile?: string;
  readonly demand: Demand;
  readonly timeoutMs: number;
}

export type Demand =
  | { readonly kind: 'query'; readonly query: string; readonly min?: number; readonly max?: number }
  | { readonly kind: 'lag'; readonly lagMsMax: number };

const PORT_DEFAULT = { postgresql: 5432, mysql: 3306 } as const;
const QUERY_DEFAULT = 'SELECT 1';

/** @throws HoldfastError for what the schema cannot refuse, naming the attribute */
export function readConfiguration(element: ElementValue): {
  readonly head: CheckHead;
  readonly target: Target;
  readonly intervalMs: number;
} {
  const attributes = new Attributes('sql', element);
  const to = attributes.child('to');
  const engine = to.word('engine', ['postgresql', 'mysql']);
  const socket = to.optionalText('socket');
  if (socket !== undefined && to.has('port')) {
    throw to.refusal('HF_SQL_PLACE', 'socket and port of <to> are two ways to the database: leave one out', 'socket');
  }
  const tls = to.word('tls', ['off', 'on', 'verify']);
  if (to.has('ca') && tls !== 'verify') throw to.refusal('HF_SQL_CA', `ca of <to> is only looked at with tls="verify", not "${tls}"`, 'ca');
  const passwordFile = to.optionalText('password_file');
  const database = to.optionalText('database');
  const caFile = to.optionalText('ca');
  const target: Target = {
    engine,
    at:
      socket === undefined
        ? { kind: 'tcp', host: to.text('addr'), port: to.optionalNumber('port') ?? PORT_DEFAULT[engine] }
        : { kind: 'socket', path: socket },
    user: to.text('user'),
    tls,
    demand: readDemand(to),
    timeoutMs: to.number('timeout'),
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...(database === undefined ? {} : { database }),
    ...(caFile === undefined ? {} : { caFile }),
  };
  return { head: readCheckHead(attributes), target, intervalMs: to.number('interval') };
}

function readDemand(to: Attributes): Demand {
  const lagMsMax = to.optionalNumber('lag');
  const min = to.optionalNumber('min');
  const max = to.optionalNumber('max');
  if (lagMsMax !== undefined) {
    const also = ['query', 'min', 'max'].find((name) => to.has(name));
    if (also !== undefined) throw to.refusal('HF_SQL_LAG', `lag of <to> asks its own query: leave out ${also}`, also);
    return { kind: 'lag', lagMsMax };
  }
  if (min !== undefined && max !== undefined && min > max) {
    throw to.refusal('HF_SQL_BOUNDS', `min="${min}" and max="${max}" of <to> cannot both hold; swap or correct them`, 'min');
  }
  const query = to.optionalText('query') ?? QUERY_DEFAULT;
  return { kind: 'query', query, ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}
