/**
 * From anything thrown to an HTTP answer. One table maps codes to statuses; what is not a coded error is a programming error: the caller
 * gets a number to look up in the agent's log and nothing else, no text, no stack.
 */
import { HoldfastError } from '@holdfast/sdk';
import type { ErrorBody } from './schemas.js';

const STATUS: Readonly<Record<string, number>> = {
  HF_API_UNAUTHORIZED: 401,
  HF_API_ROUTE_UNKNOWN: 404,
  HF_API_BODY_TOO_LARGE: 413,
  HF_API_MEDIA_TYPE: 415,
  HF_API_STREAMS_MAX: 503,
  HF_API_STOPPING: 503,
  HF_AGENT_STOPPING: 503,
  HF_NODE_UNKNOWN: 404,
  HF_NODE_UNREACHABLE: 502,
  HF_NODE_TIMEOUT: 504,
  HF_MODULE_UNKNOWN: 404,
  HF_MODULE_MANIFEST: 400,
  HF_MODULE_NAME: 400,
  HF_CONFIG_STOP_NEEDED: 409,
  HF_CONFIG_BUSY: 409,
  HF_CONFIG_TRANSACTION_UNKNOWN: 409,
  HF_CONFIG_KEPT_UNKNOWN: 404,
  HF_CONFIG_STORE: 507,
  HF_CHECK_CLASS_UNKNOWN: 404,
  HF_RESOURCE_NOT_SETTABLE: 409,
  HF_COMMAND_UNSUPPORTED: 501,
  HF_REPLICATION_VERIFY: 409,
  HF_WATCHDOG_REQUIRED: 409,
  HF_CONFLICT_UNKNOWN: 404,
  HF_CONFLICT_PATH: 404,
  HF_CONFLICT_TARGET: 400,
};

/** Families, after the exact codes: what the caller sent is wrong (400), or it does not fit the present state (409). */
const STATUS_OF_FAMILY: readonly (readonly [prefix: string, status: number])[] = [
  ['HF_API_', 400],
  ['HF_CONFIG_', 400],
  ['HF_COMMAND_', 409],
  ['HF_CONFLICT_', 409],
  ['HF_MODULE_', 409],
  ['HF_EXTENSION_', 409],
];

const STATUS_OTHERWISE = 500;

export interface Failure {
  readonly status: number;
  readonly body: ErrorBody;
  /** The cause is ours: to be logged with its stack. */
  readonly internal: boolean;
}

export function statusOf(code: string): number {
  return STATUS[code] ?? STATUS_OF_FAMILY.find(([prefix]) => code.startsWith(prefix))?.[1] ?? STATUS_OTHERWISE;
}

export function failureOf(error: unknown, requestId: string): Failure {
  if (error instanceof HoldfastError) return { status: statusOf(error.code), body: bodyOf(error), internal: false };
  const refused = refusalOf(error);
  if (refused !== undefined) return { status: statusOf(refused.code), body: bodyOf(refused), internal: false };
  return {
    status: STATUS_OTHERWISE,
    body: { code: 'HF_INTERNAL', message: `the agent failed; its log tells more under request ${requestId}`, details: { requestId } },
    internal: true,
  };
}

export function bodyOf(error: HoldfastError): ErrorBody {
  const prefix = `${error.code}: `;
  const message = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
  return { code: error.code, message, details: error.details };
}

interface HttpError {
  readonly code?: unknown;
  readonly statusCode?: unknown;
  readonly message: string;
  readonly validation?: readonly { readonly instancePath: string; readonly message?: string }[];
  readonly validationContext?: string;
}

/** What fastify refuses before a route runs. Its own texts are kept where they name the offence; they never hold internals. */
function refusalOf(error: unknown): HoldfastError | undefined {
  if (!(error instanceof Error)) return undefined;
  const refused = error as Error & HttpError;
  if (refused.validation !== undefined) {
    const where = refused.validationContext ?? 'request';
    const problems = refused.validation.map((problem) => ({
      at: `${where}${problem.instancePath}`,
      problem: problem.message ?? 'invalid',
    }));
    const first = problems[0];
    const sentence = first === undefined ? 'the request does not fit the schema' : `${first.at} ${first.problem}`;
    return new HoldfastError('HF_API_REQUEST_INVALID', `${sentence}; /api/v1/openapi.json has the schema`, { problems });
  }
  switch (refused.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new HoldfastError('HF_API_BODY_TOO_LARGE', 'the body is larger than 65536 bytes');
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new HoldfastError('HF_API_MEDIA_TYPE', 'the body must be application/json');
    default:
      if (typeof refused.statusCode === 'number' && refused.statusCode >= 400 && refused.statusCode < 500) {
        return new HoldfastError(
          'HF_API_REQUEST_INVALID',
          'the request could not be read: is the body valid JSON and the URL well formed?',
        );
      }
      return undefined;
  }
}
