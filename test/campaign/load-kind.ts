/** An application of the campaigns that works on files: see load-client.ts. */

export interface LoadKind {
  /** One promise after the other. */
  readonly work: (isEnding: () => boolean) => Promise<void>;
  /** @param promised all that was promised, in order */
  readonly check: (promised: readonly string[]) => void;
}

/** How it is heard. */
export interface LoadVoice {
  /** Something that is wrong. */
  readonly say: (text: string) => void;
  readonly promise: (text: string) => void;
  readonly lost: (text: string) => void;
  /** Renamed, removed and new names are durable when their directory is. */
  readonly syncPath: (path: string) => void;
}
