/**
 * AES-256-GCM by the OpenSSL that Node itself runs on, called directly: the result goes where the caller wants it (also in the place of
 * the input), and a key is set up once. node:crypto makes a new cipher for each message and returns new memory, which the system must map
 * and clear first: three times as slow, and most of what a replicated write costs.
 */
import koffi from 'koffi';
import { HoldfastError } from '@holdfast/sdk';

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;

const CTRL_GET_TAG = 0x10;
const CTRL_SET_TAG = 0x11;

type Context = object;
type Native<Result> = (...values: unknown[]) => Result;

/** Official builds of Node carry OpenSSL in the executable, builds of distributions load it as a library: both are in the process. */
const library = koffi.load(null);
const bind = <Result = number>(prototype: string): Native<Result> => library.func(prototype) as Native<Result>;

const newContext = bind<Context | null>('void *EVP_CIPHER_CTX_new()');
const freeContext = bind<undefined>('void EVP_CIPHER_CTX_free(void*)');
const aes256Gcm = bind<object>('void *EVP_aes_256_gcm()');
const control = bind('int EVP_CIPHER_CTX_ctrl(void*, int, int, void*)');
const encryptInit = bind('int EVP_EncryptInit_ex(void*, void*, void*, void*, void*)');
const encryptUpdate = bind('int EVP_EncryptUpdate(void*, void*, void*, void*, int)');
const encryptFinal = bind('int EVP_EncryptFinal_ex(void*, void*, void*)');
const decryptInit = bind('int EVP_DecryptInit_ex(void*, void*, void*, void*, void*)');
const decryptUpdate = bind('int EVP_DecryptUpdate(void*, void*, void*, void*, int)');
const decryptFinal = bind('int EVP_DecryptFinal_ex(void*, void*, void*)');

/** Where OpenSSL says how much it wrote: for GCM always as much as it was given. */
const written = Buffer.alloc(4);
const nothing = Buffer.alloc(TAG_BYTES);
const abandoned = new FinalizationRegistry<Context>((context) => freeContext(context));

function succeed(outcome: number): void {
  if (outcome !== 1)
    throw new HoldfastError('HF_REPLICATION_CIPHER', `AES-256-GCM of this Node (OpenSSL ${process.versions.openssl}) failed`);
}

function contextFor(owner: object, init: Native<number>, key: Buffer): Context {
  const context = newContext();
  if (context === null || key.length !== KEY_BYTES) throw new RangeError(`a key of ${key.length} bytes, or no memory`);
  abandoned.register(owner, context);
  succeed(init(context, aes256Gcm(), null, key, null));
  return context;
}

export class GcmSealer {
  readonly #context: Context;

  constructor(key: Buffer) {
    this.#context = contextFor(this, encryptInit, key);
  }

  /**
   * @param nonce 12 bytes, never used before with this key
   * @param clear pieces that lie anywhere, one after the other in `sealed`
   * @param tag receives TAG_BYTES
   */
  seal(nonce: Buffer, associated: Buffer, clear: readonly Buffer[], sealed: Buffer, tag: Buffer): void {
    const context = this.#context;
    succeed(encryptInit(context, null, null, null, nonce));
    succeed(encryptUpdate(context, null, written, associated, associated.length));
    let at = 0;
    for (const piece of clear) {
      succeed(encryptUpdate(context, at === 0 ? sealed : sealed.subarray(at), written, piece, piece.length));
      at += piece.length;
    }
    succeed(encryptFinal(context, nothing, written));
    succeed(control(context, CTRL_GET_TAG, TAG_BYTES, tag));
  }
}

export class GcmOpener {
  readonly #context: Context;

  constructor(key: Buffer) {
    this.#context = contextFor(this, decryptInit, key);
  }

  /** `clear` may be `sealed` itself. @returns false: it is not what was sealed, and `clear` is worthless */
  open(nonce: Buffer, associated: Buffer, sealed: Buffer, clear: Buffer, tag: Buffer): boolean {
    const context = this.#context;
    succeed(decryptInit(context, null, null, null, nonce));
    succeed(decryptUpdate(context, null, written, associated, associated.length));
    succeed(decryptUpdate(context, clear, written, sealed, sealed.length));
    succeed(control(context, CTRL_SET_TAG, TAG_BYTES, tag));
    return decryptFinal(context, nothing, written) === 1;
  }
}
