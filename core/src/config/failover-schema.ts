/** The element <failover> and its children, as their schemas describe them; rules as text are not part of it. */
import type { JsonSchema } from './element-schema.js';
import { NAME_CHARS_MAX, RULES_MAX } from './failover-limits.js';

export const PERIOD_MS_DEFAULT = 1_000;
export const HANDLE_TIME_MS_DEFAULT = 5_000;

const LABEL = { type: 'string', minLength: 1, maxLength: NAME_CHARS_MAX } as const;

export const FAILOVER_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    extends: { type: 'boolean', default: true },
    period: { type: 'integer', 'x-unit': 'ms', minimum: 50, maximum: 600_000, default: PERIOD_MS_DEFAULT },
    handle_time: { type: 'integer', 'x-unit': 'ms', minimum: 50, maximum: 3_600_000, default: HANDLE_TIME_MS_DEFAULT },
    rule: {
      type: 'array',
      maxItems: RULES_MAX,
      items: {
        type: 'object',
        properties: {
          label: LABEL,
          group: LABEL,
          if: { type: 'string', minLength: 1, maxLength: 8_192 },
          resource: LABEL,
          state: LABEL,
          action: LABEL,
        },
        required: ['label', 'action'],
        oneOf: [{ required: ['if'] }, { required: ['resource', 'state'] }],
        additionalProperties: false,
      },
    },
    disable: {
      type: 'array',
      maxItems: RULES_MAX,
      items: { type: 'object', properties: { label: LABEL }, required: ['label'], additionalProperties: false },
    },
  },
  additionalProperties: false,
};
