/**
 * What ajv says about a value, said again in the words of the file: element, attribute, what was written and what is allowed. Errors
 * inside the branches of anyOf, oneOf, not and if are folded into one sentence about the element, because each branch alone misleads.
 */
import type { ErrorObject } from 'ajv';
import { formatDuration, isDurationUnit } from './duration.js';
import { extendedRegexProblem } from './element-schema.js';
import type { Origins } from './element-reader.js';
import { suggestion } from './nearest.js';
import { type ProblemList, quoted } from './problems.js';
import type { XmlElement } from './xml.js';

const BRANCH = /\/(?:anyOf|oneOf)\/\d+\/|\/(?:not|if)\//;

export function explainSchemaErrors(errors: readonly ErrorObject[], origins: Origins, problems: ProblemList): void {
  for (const error of errors) {
    if (BRANCH.test(error.schemaPath) || error.keyword === 'if' || touchesReported(error, origins)) continue;
    const attribute = origins.attributes.get(error.instancePath);
    if (attribute !== undefined) explainAttribute(error, origins, problems);
    else explainElement(error, origins, problems);
  }
}

/** A value that could not be read is missing from what ajv saw; its own problem has been reported. */
function touchesReported(error: ErrorObject, origins: Origins): boolean {
  if (origins.reported.has(error.instancePath)) return true;
  if (error.keyword === 'required') return origins.reported.has(`${error.instancePath}/${String(error.params['missingProperty'])}`);
  if (!['anyOf', 'oneOf', 'not', 'dependentRequired'].includes(error.keyword)) return false;
  return [...origins.reported].some((pointer) => pointer.startsWith(`${error.instancePath}/`));
}

function explainAttribute(error: ErrorObject, origins: Origins, problems: ProblemList): void {
  const origin = origins.attributes.get(error.instancePath);
  if (origin === undefined) return;
  const { attribute, element, schema } = origin;
  const place = `${attribute.name}=${quoted(attribute.value)} of <${element.name}>`;
  const unit = schema['x-unit'];
  const amount = (value: unknown): string =>
    isDurationUnit(unit) && typeof value === 'number' ? formatDuration(value, unit) : String(value);
  const limit = error.params['limit'] as unknown;
  switch (error.keyword) {
    case 'enum':
    case 'const': {
      const allowed: unknown = error.keyword === 'enum' ? error.params['allowedValues'] : [error.params['allowedValue']];
      const words = (Array.isArray(allowed) ? allowed : []).map(String);
      const hint = suggestion(attribute.value, words).replace(/^; known: /, '; allowed: ');
      problems.add('HF_CONFIG_VALUE', attribute, `${place} is not one of the allowed values${hint}`);
      return;
    }
    case 'minimum':
    case 'exclusiveMinimum':
      problems.add(
        'HF_CONFIG_VALUE_RANGE',
        attribute,
        `${place} must be ${error.keyword === 'minimum' ? 'at least' : 'more than'} ${amount(limit)}`,
      );
      return;
    case 'maximum':
    case 'exclusiveMaximum':
      problems.add(
        'HF_CONFIG_VALUE_RANGE',
        attribute,
        `${place} must be ${error.keyword === 'maximum' ? 'at most' : 'less than'} ${amount(limit)}`,
      );
      return;
    case 'minLength':
    case 'maxLength':
      problems.add(
        'HF_CONFIG_VALUE',
        attribute,
        `${place} must have ${error.keyword === 'minLength' ? 'at least' : 'at most'} ${String(limit)} characters`,
      );
      return;
    case 'pattern':
    case 'format':
      problems.add('HF_CONFIG_VALUE', attribute, `${place} ${expectation(error)}`);
      return;
    default:
      problems.add('HF_CONFIG_VALUE', attribute, `${place} ${error.message ?? 'is not allowed'}`);
  }
}

const FORMATS: Readonly<Record<string, string>> = {
  ip: 'an IPv4 or IPv6 address',
  'ip-list': 'one or more IPv4 or IPv6 addresses, separated by blanks',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  host: 'an IP address or a host name',
  hostname: 'a host name',
  'abs-path': 'an absolute path without ..',
};

function expectation(error: ErrorObject): string {
  const described = error.parentSchema?.['description'] as unknown;
  if (error.keyword === 'format') {
    const format = String(error.params['format']);
    if (format.startsWith('extended-regex')) {
      const problem = extendedRegexProblem(String(error.data), format === 'extended-regex-or-not');
      return `is not a POSIX extended regular expression: ${problem ?? ''}`;
    }
    return `must be ${FORMATS[format] ?? format}`;
  }
  const pattern = `must match ${String(error.params['pattern'])}`;
  return typeof described === 'string' ? `${pattern} (${described})` : pattern;
}

function explainElement(error: ErrorObject, origins: Origins, problems: ProblemList): void {
  const { element, parentPointer, list } = owner(error.instancePath, origins);
  if (element === undefined) return;
  switch (error.keyword) {
    case 'required': {
      const missing = String(error.params['missingProperty']);
      const shape = origins.shapes.get(error.instancePath);
      if (shape?.children.has(missing) === true)
        problems.add('HF_CONFIG_ELEMENT_MISSING', element, `<${element.name}> needs at least one <${missing}>`);
      else problems.add('HF_CONFIG_ATTRIBUTE_MISSING', element, `<${element.name}> needs the attribute ${missing}`);
      return;
    }
    case 'minItems':
      problems.add('HF_CONFIG_ELEMENT_MISSING', element, `<${element.name}> needs at least ${String(error.params['limit'])} <${list}>`);
      return;
    case 'maxItems': {
      const limit = Number(error.params['limit']);
      const first = origins.elements.get(`${parentPointer}/${list}/${limit}`) ?? element;
      problems.add('HF_CONFIG_ELEMENT_REPEATED', first, `<${element.name}> may contain at most ${limit} <${list}>`);
      return;
    }
    case 'dependentRequired': {
      const { property, missingProperty } = error.params as { property?: unknown; missingProperty?: unknown };
      const message = `<${element.name}> with the attribute ${String(property)} also needs ${String(missingProperty)}`;
      problems.add('HF_CONFIG_CONSTRAINT', element, message);
      return;
    }
    default:
      problems.add('HF_CONFIG_CONSTRAINT', element, `<${element.name}> ${constraint(error)}`);
  }
}

/** An error about an array belongs to the element that holds the children. */
function owner(pointer: string, origins: Origins): { element: XmlElement | undefined; parentPointer: string; list: string } {
  const direct = origins.elements.get(pointer);
  if (direct !== undefined) return { element: direct, parentPointer: pointer, list: '' };
  const cut = pointer.lastIndexOf('/');
  const parentPointer = pointer.slice(0, Math.max(cut, 0));
  return { element: origins.elements.get(parentPointer) ?? origins.elements.get(''), parentPointer, list: pointer.slice(cut + 1) };
}

function constraint(error: ErrorObject): string {
  const branches: unknown = error.schema;
  if ((error.keyword === 'anyOf' || error.keyword === 'oneOf') && Array.isArray(branches)) {
    const sets = branches.map((branch: { required?: unknown }) => branch.required);
    if (sets.every((set) => Array.isArray(set))) {
      const choices = sets.map((set) => (set as unknown[]).join(' with ')).join(', ');
      return `needs ${error.keyword === 'anyOf' ? 'one' : 'exactly one'} of: ${choices}`;
    }
  }
  const described = error.parentSchema?.['description'] as unknown;
  return typeof described === 'string' ? `breaks a rule: ${described}` : (error.message ?? 'breaks a rule of its schema');
}
