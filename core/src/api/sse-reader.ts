/** Reads server-sent events from a byte stream: one event at a time, bounded, and giving up when the sender falls silent. */
import { HoldfastError } from '@holdfast/sdk';

/** The server pings every 15 s: three missed pings mean that it, or the way to it, is gone. */
const SILENCE_TIMEOUT_MS = 45_000;
const EVENT_CHARACTERS_MAX = 1024 * 1024;

export interface ServerSentEvent {
  readonly type: string;
  readonly id: string;
  readonly data: string;
}

/** @param abort ends the underlying request; called when the sender was silent too long. */
export async function* readEvents(body: AsyncIterable<Uint8Array>, abort: () => void): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let rest = '';
  const silence = setTimeout(abort, SILENCE_TIMEOUT_MS);
  try {
    for await (const chunk of body) {
      silence.refresh();
      rest += decoder.decode(chunk, { stream: true });
      let end = rest.indexOf('\n\n');
      for (; end >= 0; end = rest.indexOf('\n\n')) {
        const event = parseBlock(rest.slice(0, end));
        rest = rest.slice(end + 2);
        if (event !== undefined) yield event;
      }
      if (rest.length > EVENT_CHARACTERS_MAX) {
        throw new HoldfastError(
          'HF_AGENT_ANSWER_INVALID',
          `an event is longer than ${EVENT_CHARACTERS_MAX} characters; is this the agent?`,
        );
      }
    }
  } finally {
    clearTimeout(silence);
  }
}

/** A block of comments alone is no event. */
function parseBlock(block: string): ServerSentEvent | undefined {
  let type = 'message';
  let id = '';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, '');
    switch (line.slice(0, colon)) {
      case 'event':
        type = value;
        break;
      case 'id':
        id = value;
        break;
      case 'data':
        data.push(value);
        break;
      default:
        break;
    }
  }
  return data.length === 0 ? undefined : { type, id, data: data.join('\n') };
}
