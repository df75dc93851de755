/** A limit in time for work that may never end. The work goes on in the background when it ignores the signal; its outcome is dropped. */

export type Outcome<T> = { readonly kind: 'done'; readonly value: T } | { readonly kind: 'timeout' } | { readonly kind: 'cancelled' };

/**
 * Aborts the signal given to `work` when the limit has passed or `cancel` fires, and settles at once in either case.
 * @throws what `work` throws in time
 */
export async function withinDeadline<T>(
  limitMs: number,
  work: (signal: AbortSignal) => Promise<T> | T,
  cancel?: AbortSignal,
): Promise<Outcome<T>> {
  const controller = new AbortController();
  let finish: (outcome: Outcome<T>) => void = () => undefined;
  const interrupted = new Promise<Outcome<T>>((resolve) => {
    finish = resolve;
  });
  const interrupt = (kind: 'timeout' | 'cancelled'): void => {
    finish({ kind });
    controller.abort(new Error(kind === 'timeout' ? `the limit of ${limitMs} ms has passed` : 'the plug-in host is stopping'));
  };
  const onCancel = (): void => interrupt('cancelled');
  const timer = setTimeout(() => interrupt('timeout'), limitMs);
  cancel?.addEventListener('abort', onCancel, { once: true });
  if (cancel?.aborted === true) onCancel();
  try {
    // The wrapper turns a synchronous throw into a rejection; the race leaves no rejection unhandled.
    const running = (async (): Promise<Outcome<T>> => ({ kind: 'done', value: await work(controller.signal) }))();
    return await Promise.race([interrupted, running]);
  } finally {
    clearTimeout(timer);
    cancel?.removeEventListener('abort', onCancel);
  }
}
