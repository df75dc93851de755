/** <vhost> to its configuration: the name that the application sees instead of the machine's. */
import type { VirtualHostConfiguration } from '../model/configuration.js';
import { readElement } from './element-reader.js';
import type { JsonSchema } from './element-schema.js';
import type { Position, ProblemList } from './problems.js';
import type { XmlElement } from './xml.js';

/** The kernel's limit is 64 bytes; a label's is 63. */
const HOST_NAME = '^(?=.{1,64}$)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*$';

export const VHOST_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    virtualhostname: {
      type: 'array',
      minItems: 1,
      maxItems: 1,
      items: {
        type: 'object',
        properties: {
          name: {
            type: 'string',
            description: 'letters, digits and -, in labels of at most 63, 64 in all',
            pattern: HOST_NAME,
          },
          envfile: {
            type: 'string',
            description: "the name of a file in the module's bin/, or an absolute path",
            pattern: '^(/[^\\s/]+(/[^\\s/]+)*|[A-Za-z0-9_][A-Za-z0-9_.-]*)$',
            maxLength: 1024,
          },
          when: { type: 'string', enum: ['prim', 'second', 'both'], default: 'prim' },
        },
        required: ['name'],
        additionalProperties: false,
      },
    },
  },
  required: ['virtualhostname'],
  additionalProperties: false,
};

interface VirtualHostValue {
  readonly virtualhostname: readonly { readonly name: string; readonly envfile?: string; readonly when: 'prim' | 'second' | 'both' }[];
}

/** undefined when there is none, or there were problems, which are in `problems`. */
export function readVirtualHost(
  element: XmlElement | undefined,
  user: Position | undefined,
  problems: ProblemList,
): VirtualHostConfiguration | undefined {
  if (element === undefined) return undefined;
  const read = readElement(element, VHOST_SCHEMA, problems);
  const [only] = read.valid ? (read.value as unknown as VirtualHostValue).virtualhostname : [];
  if (only === undefined) return undefined;
  if (user === undefined) problems.warn(element, '<vhost> names the host for scripts, but there is no <user>: no script will run');
  const { name, envfile, when } = only;
  return { name, when, ...(envfile === undefined ? {} : { envFile: envfile }) };
}
